/**
 * In which order the sequences of a corpus are met: the curricula of Cramming (Geiping & Goldstein 2022, arXiv 2212.14034, section
 * 4.4, and its code's curriculum_sorting.py), the order of the text, or a shuffle.
 */
import { StrataError } from '../errors.js'
import { stream } from './random.js'

/**
 * - `shuffle`: by seed, another one in every epoch;
 * - `text`: as the documents come;
 * - `unigram`: by the mean log-probability of a sequence's tokens under the sequences' own unigram counts plus one, likely first (the
 *   code's `reverse-unigram-curriculum`);
 * - `sentence-length`: by the number of "." tokens, most first.
 *
 * Of equal sequences the one that comes first in the text is first.
 */
export type SequenceOrder = 'shuffle' | 'text' | 'unigram' | 'sentence-length'

export interface OrderOptions {
  order: SequenceOrder
  vocabSize: number
  /** Id of the token "."; needed by `sentence-length`. */
  fullStopId?: number
  seed: number
  epoch: number
}

/** N sequences of L tokens that can be gone through. */
export interface Sequences {
  readonly sequenceCount: number
  forEachSequence(visit: (tokenIds: Int32Array, sequence: number) => void): void
}

/** The sequences' numbers in their order, shape (N). Two passes over the text at most; 20 bytes a sequence. */
export function orderSequences(sequences: Sequences, options: OrderOptions): Uint32Array {
  const order = new Uint32Array(sequences.sequenceCount)
  for (let sequence = 0; sequence < order.length; sequence++) order[sequence] = sequence
  switch (options.order) {
    case 'text':
      return order
    case 'shuffle':
      stream(options.seed, 'packed-plan', options.epoch).shuffle(order)
      return order
    case 'unigram':
      return descending(order, unigramScores(sequences, options.vocabSize))
    case 'sentence-length':
      return descending(order, fullStops(sequences, options.fullStopId))
    default:
      throw new StrataError(
        'BAD_ARGUMENT',
        `order is ${JSON.stringify(options.order)}; shuffle, text, unigram or sentence-length was expected`,
      )
  }
}

/** Mean of log((count + 1) / (total + V)) over each sequence's tokens, shape (N). */
export function unigramScores(sequences: Sequences, vocabSize: number): Float64Array {
  const logs = new Float64Array(vocabSize).fill(1)
  let total = vocabSize
  sequences.forEachSequence((tokenIds) => {
    for (const id of tokenIds) logs[id]++
    total += tokenIds.length
  })
  for (let id = 0; id < vocabSize; id++) logs[id] = Math.log(logs[id] / total)
  const scores = new Float64Array(sequences.sequenceCount)
  sequences.forEachSequence((tokenIds, sequence) => {
    let sum = 0
    for (const id of tokenIds) sum += logs[id]
    scores[sequence] = sum / tokenIds.length
  })
  return scores
}

function fullStops(sequences: Sequences, fullStopId: number | undefined): Float64Array {
  if (fullStopId === undefined) {
    throw new StrataError(
      'BAD_ARGUMENT',
      'order sentence-length counts the token ".", which this vocabulary lacks; take another order or vocabulary',
    )
  }
  const counts = new Float64Array(sequences.sequenceCount)
  sequences.forEachSequence((tokenIds, sequence) => {
    for (const id of tokenIds) if (id === fullStopId) counts[sequence]++
  })
  return counts
}

function descending(order: Uint32Array, scores: Float64Array): Uint32Array {
  return order.sort((left, right) => scores[right] - scores[left] || left - right)
}
