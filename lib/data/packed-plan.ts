/**
 * Fixed-length sequences without padding, as Cramming makes them (Geiping & Goldstein 2022, arXiv 2212.14034, section 4.4): all
 * documents in a row, each followed by one separator, cut every L tokens. The remainder behind the last whole sequence is left out.
 * Nothing is copied: a sequence is found again by its place in that row.
 */
import { StrataError } from '../errors.js'
import type { PlanStatistics } from './plan-tables.js'
import { orderSequences, type SequenceOrder } from './sequence-order.js'
import type { TokenCorpus } from './token-corpus.js'

export interface PackedPlanOptions {
  /** Documents that take part; default all. */
  documents?: Int32Array
  /** Tokens of a sequence, separators included. */
  sequenceTokens: number
  /** Most tokens a batch. */
  batchTokens: number
  /** Id of the token behind every document. */
  separatorId: number
  vocabSize: number
  /** Order in which the sequences are met; default `shuffle`. */
  order?: SequenceOrder
  /** Id of the token "."; needed by the order `sentence-length`. */
  fullStopId?: number
  seed: number
}

/** A run of tokens of a sequence: of the corpus, or a separator (`from` = -1, one token). */
export interface Fragment {
  /** First token in the corpus. */
  from: number
  length: number
}

/** Documents cut into sequences, and the order of each epoch. Legend: D documents with text, N sequences of L tokens. */
export class PackedPlan {
  readonly sequenceCount: number
  readonly batchCount: number
  readonly sequencesPerBatch: number
  readonly statistics: PlanStatistics
  readonly #corpus: TokenCorpus
  readonly #options: PackedPlanOptions
  /** First corpus token of each document, shape (D). */
  readonly #firstTokens: Uint32Array
  /** Place of each document in the row, and the row's end; shape (D + 1). Beyond 32 bits with the separators. */
  readonly #places: Float64Array
  readonly #orders = new Map<number, Uint32Array>()

  /** Throws BAD_ARGUMENT on sizes that do not fit each other and BAD_DATA when the documents do not fill one sequence. */
  constructor(corpus: TokenCorpus, options: PackedPlanOptions) {
    checkSizes(options)
    this.#corpus = corpus
    this.#options = options
    const { sequenceTokens, batchTokens } = options
    const documents = options.documents ?? Int32Array.from({ length: corpus.documentCount }, (_, index) => index)
    const { firstTokens, places, singles } = layInARow(corpus, documents)
    this.#firstTokens = firstTokens
    this.#places = places
    const rowTokens = places[places.length - 1]
    this.sequenceCount = Math.floor(rowTokens / sequenceTokens)
    if (this.sequenceCount === 0) {
      throw new StrataError(
        'BAD_DATA',
        `${documents.length} documents hold ${rowTokens} tokens with their separators; at least one sequence of ${sequenceTokens} was expected, give more text`,
      )
    }
    this.sequencesPerBatch = Math.floor(batchTokens / sequenceTokens)
    this.batchCount = Math.ceil(this.sequenceCount / this.sequencesPerBatch)
    const tokens = this.sequenceCount * sequenceTokens
    this.statistics = {
      inputs: this.sequenceCount,
      followed: 0,
      random: 0,
      unlabelled: this.sequenceCount,
      tokens,
      cutTokens: rowTokens - tokens,
      documents: documents.length,
      singleSentenceDocuments: singles,
      emptyDocuments: documents.length - firstTokens.length,
      batches: this.batchCount,
      fill: tokens / (this.batchCount * batchTokens),
    }
  }

  /** The sequences of a batch, in order. */
  batch(epoch: number, index: number): Uint32Array {
    const start = index * this.sequencesPerBatch
    return this.#order(epoch).subarray(start, start + this.sequencesPerBatch)
  }

  /** What a sequence is made of, from its first to its last token. */
  fragments(sequence: number): Fragment[] {
    const { sequenceTokens } = this.#options
    const fragments: Fragment[] = []
    let place = sequence * sequenceTokens
    const end = place + sequenceTokens
    for (let document = this.#documentAt(place); place < end; document++) {
      const separator = this.#places[document + 1] - 1
      if (place < separator) {
        const length = Math.min(separator, end) - place
        fragments.push({ from: this.#firstTokens[document] + (place - this.#places[document]), length })
        place += length
      }
      if (place < end) {
        fragments.push({ from: -1, length: 1 })
        place++
      }
    }
    return fragments
  }

  /** Calls `visit` with the tokens of every sequence, in the order of the text; the array is used again. */
  forEachSequence(visit: (tokenIds: Int32Array, sequence: number) => void): void {
    const tokenIds = new Int32Array(this.#options.sequenceTokens)
    for (let sequence = 0; sequence < this.sequenceCount; sequence++) {
      let at = 0
      for (const { from, length } of this.fragments(sequence)) {
        if (from < 0) tokenIds[at] = this.#options.separatorId
        else tokenIds.set(this.#corpus.tokenIds.subarray(from, from + length), at)
        at += length
      }
      visit(tokenIds, sequence)
    }
  }

  /** Only a shuffle differs from epoch to epoch. */
  #order(epoch: number): Uint32Array {
    const { order = 'shuffle', vocabSize, fullStopId, seed } = this.#options
    const key = order === 'shuffle' ? epoch : 0
    let found = this.#orders.get(key)
    if (!found) {
      found = orderSequences(this, { order, vocabSize, fullStopId, seed, epoch })
      // The epoch at hand and the one that prefetching has reached.
      if (this.#orders.size === 2) this.#orders.delete(this.#orders.keys().next().value!)
      this.#orders.set(key, found)
    }
    return found
  }

  /** The document that holds a place of the row, its separator included. */
  #documentAt(place: number): number {
    let low = 0
    let high = this.#places.length - 1
    while (high - low > 1) {
      const middle = (low + high) >>> 1
      if (this.#places[middle] <= place) low = middle
      else high = middle
    }
    return low
  }
}

function layInARow(corpus: TokenCorpus, documents: Int32Array) {
  const { documentOffsets, sentenceOffsets } = corpus
  const firstTokens = new Uint32Array(documents.length)
  const places = new Float64Array(documents.length + 1)
  let count = 0
  let singles = 0
  for (const document of documents) {
    if (document < 0 || document >= corpus.documentCount) {
      throw new StrataError(
        'BAD_ARGUMENT',
        `document ${document}: an index from 0 to ${corpus.documentCount - 1} was expected`,
      )
    }
    const [first, last] = [documentOffsets[document], documentOffsets[document + 1]]
    const tokens = sentenceOffsets[last] - sentenceOffsets[first]
    if (tokens === 0) continue
    if (last - first === 1) singles++
    firstTokens[count] = sentenceOffsets[first]
    places[count + 1] = places[count] + tokens + 1
    count++
  }
  return { firstTokens: firstTokens.slice(0, count), places: places.slice(0, count + 1), singles }
}

function checkSizes({ sequenceTokens, batchTokens }: PackedPlanOptions): void {
  if (!(Number.isInteger(sequenceTokens) && sequenceTokens >= 2)) {
    throw new StrataError('BAD_ARGUMENT', `sequenceTokens ${sequenceTokens}: an integer of at least 2 was expected`)
  }
  if (!(Number.isInteger(batchTokens) && batchTokens >= sequenceTokens)) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `batchTokens ${batchTokens}: an integer of at least sequenceTokens (${sequenceTokens}) was expected`,
    )
  }
}
