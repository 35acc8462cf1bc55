import { StrataError } from '../errors.js'
import { splitSentences, type Tokenizer, WordPieceEncoder } from '../text/index.js'
import { stream } from './random.js'
import type { TokenCorpus } from './token-corpus.js'

/** Some documents of a corpus. */
export interface CorpusView {
  readonly corpus: TokenCorpus
  /** Indices of the documents, ascending. */
  readonly documents: Int32Array
  readonly sentenceCount: number
  readonly tokenCount: number
}

export interface SplitOptions {
  /** How many documents are held out; or give `heldOutShare`. */
  heldOutDocuments?: number
  /** Share of the documents that is held out, above 0 and below 1. */
  heldOutShare?: number
  /** Default 0. */
  seed?: number
}

/** A view of all documents. */
export function wholeCorpus(corpus: TokenCorpus): CorpusView {
  return viewOf(
    corpus,
    Int32Array.from({ length: corpus.documentCount }, (_, index) => index),
  )
}

/** A view of the documents with these indices (sorted, repeated ones once). Throws BAD_ARGUMENT on an index that is none. */
function viewOf(corpus: TokenCorpus, indices: ArrayLike<number>): CorpusView {
  const documents = Int32Array.from(indices)
    .sort()
    .filter((document, place, all) => place === 0 || document !== all[place - 1])
  let sentenceCount = 0
  let tokenCount = 0
  for (const document of documents) {
    if (document < 0 || document >= corpus.documentCount) {
      throw new StrataError(
        'BAD_ARGUMENT',
        `document ${document} does not exist; the corpus has ${corpus.documentCount}`,
      )
    }
    const [first, last] = [corpus.documentOffsets[document], corpus.documentOffsets[document + 1]]
    sentenceCount += last - first
    tokenCount += corpus.sentenceOffsets[last] - corpus.sentenceOffsets[first]
  }
  return { corpus, documents, sentenceCount, tokenCount }
}

/**
 * Cuts a corpus into training and held-out documents: document i takes the i-th number of the seed's stream, and the
 * smallest are held out. The same corpus and seed give the same cut, and a larger held-out set contains the smaller one.
 */
export function splitDocuments(corpus: TokenCorpus, options: SplitOptions): { train: CorpusView; heldOut: CorpusView } {
  const { documentCount } = corpus
  const count = heldOutCount(documentCount, options)
  const draws = new Float64Array(documentCount)
  const random = stream(options.seed ?? 0, 'split-documents')
  for (let document = 0; document < documentCount; document++) draws[document] = random.uint32()
  const order = Int32Array.from({ length: documentCount }, (_, index) => index)
  order.sort((left, right) => draws[left] - draws[right] || left - right)
  return { train: viewOf(corpus, order.subarray(count)), heldOut: viewOf(corpus, order.subarray(0, count)) }
}

function heldOutCount(documentCount: number, { heldOutDocuments, heldOutShare }: SplitOptions): number {
  if ((heldOutDocuments === undefined) === (heldOutShare === undefined)) {
    throw new StrataError('BAD_ARGUMENT', 'exactly one of heldOutDocuments and heldOutShare was expected')
  }
  if (documentCount < 2) {
    throw new StrataError('BAD_DATA', `the corpus has ${documentCount} document; at least 2 are needed to hold one out`)
  }
  if (heldOutShare !== undefined) {
    if (!(heldOutShare > 0 && heldOutShare < 1)) {
      throw new StrataError(
        'BAD_ARGUMENT',
        `heldOutShare is ${heldOutShare}; a number above 0 and below 1 was expected`,
      )
    }
    return Math.min(documentCount - 1, Math.max(1, Math.round(documentCount * heldOutShare)))
  }
  if (!Number.isInteger(heldOutDocuments) || heldOutDocuments! < 1 || heldOutDocuments! >= documentCount) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `heldOutDocuments is ${heldOutDocuments}; an integer from 1 to ${documentCount - 1} was expected`,
    )
  }
  return heldOutDocuments!
}

/**
 * A corpus in memory, for small inputs and tests: each document is a list of sentences, or one text that is split here.
 * Sentences without a token are left out. Throws BAD_DATA on a document without a token.
 */
export async function corpusFromDocuments(
  documents: readonly (string | readonly string[])[],
  tokenizer: Tokenizer,
): Promise<TokenCorpus> {
  const sentences: string[] = []
  const ends = documents.map((document) => {
    const parts = typeof document === 'string' ? document.split(/\r?\n/).flatMap(splitSentences) : document
    sentences.push(...parts)
    return sentences.length
  })
  const { tokenIds, tokenFlags, offsets } = await new WordPieceEncoder(tokenizer.definition, 'plain').encode(sentences)
  const sentenceOffsets = [0]
  const documentOffsets = [0]
  let sentence = 0
  ends.forEach((end, document) => {
    for (; sentence < end; sentence++) {
      if (offsets[sentence + 1] > offsets[sentence]) sentenceOffsets.push(offsets[sentence + 1])
    }
    if (sentenceOffsets.length - 1 === documentOffsets[document]) {
      throw new StrataError('BAD_DATA', `document ${document} has no token; text was expected`)
    }
    documentOffsets.push(sentenceOffsets.length - 1)
  })
  return {
    directory: '',
    documentCount: documents.length,
    sentenceCount: sentenceOffsets.length - 1,
    tokenCount: tokenIds.length,
    tokenIds,
    tokenFlags,
    sentenceOffsets: Uint32Array.from(sentenceOffsets),
    documentOffsets: Uint32Array.from(documentOffsets),
  }
}
