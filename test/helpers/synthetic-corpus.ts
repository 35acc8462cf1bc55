import { stream } from '../../lib/data/random.js'
import { type SpecialTokens, TOKEN_FLAGS, type TokenCorpus } from '../../lib/data/token-corpus.js'

/** A word: its token ids, the first of which begins it. */
export interface SyntheticWord {
  ids: number[]
  punctuation?: boolean
}

export const SPECIAL: SpecialTokens = { vocabSize: 1000, padId: 0, unkId: 1, clsId: 2, sepId: 3, maskId: 4 }
/** Ids 5…14 are punctuation, 15…699 begin words, 700…999 continue them. */
export const PUNCTUATION = { first: 5, count: 10 }
const WORD_START = { first: 15, count: 685 }
const CONTINUATION = { first: 700, count: 300 }

/** An in-memory corpus of the given documents → sentences → words. */
export function corpusOf(documents: SyntheticWord[][][]): TokenCorpus {
  const tokenIds: number[] = []
  const tokenFlags: number[] = []
  const sentenceOffsets = [0]
  const documentOffsets = [0]
  for (const document of documents) {
    for (const sentence of document) {
      for (const word of sentence) {
        word.ids.forEach((id, i) => {
          tokenIds.push(id)
          tokenFlags.push((i === 0 ? TOKEN_FLAGS.wordStart : 0) | (word.punctuation ? TOKEN_FLAGS.punctuation : 0))
        })
      }
      sentenceOffsets.push(tokenIds.length)
    }
    documentOffsets.push(sentenceOffsets.length - 1)
  }
  return {
    directory: '',
    documentCount: documents.length,
    sentenceCount: sentenceOffsets.length - 1,
    tokenCount: tokenIds.length,
    tokenIds: Int32Array.from(tokenIds),
    tokenFlags: Uint8Array.from(tokenFlags),
    sentenceOffsets: Uint32Array.from(sentenceOffsets),
    documentOffsets: Uint32Array.from(documentOffsets),
  }
}

export interface SyntheticOptions {
  documents: number
  /** Inclusive bounds of a uniform draw. */
  sentences?: [number, number]
  words?: [number, number]
  seed?: number
}

/** Random documents: words of one to three pieces with frequencies like 1/rank, some commas, a full stop at each end. */
export function syntheticCorpus({
  documents,
  sentences = [2, 20],
  words = [3, 40],
  seed = 1,
}: SyntheticOptions): TokenCorpus {
  const random = stream(seed, 'synthetic-corpus')
  const between = ([low, high]: [number, number]): number => low + random.below(high - low + 1)
  const zipf = (count: number): number => Math.floor((count + 1) ** random.float()) - 1
  const word = (): SyntheticWord => {
    if (random.chance(0.06)) return { ids: [PUNCTUATION.first + random.below(PUNCTUATION.count)], punctuation: true }
    const ids = [WORD_START.first + zipf(WORD_START.count)]
    while (ids.length < 3 && random.chance(0.2)) ids.push(CONTINUATION.first + zipf(CONTINUATION.count))
    return { ids }
  }
  return corpusOf(
    Array.from({ length: documents }, () =>
      Array.from({ length: between(sentences) }, () => [
        ...Array.from({ length: between(words) }, word),
        { ids: [PUNCTUATION.first], punctuation: true },
      ]),
    ),
  )
}
