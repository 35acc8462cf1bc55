/** A sentence of words as token sequences. */
import type { SpecialTokens } from '../text/special-tokens.js'
import { wordWindow } from './word-window.js'

export interface TaggedWord {
  /** Its place in the sentence. */
  number: number
  pieces: Int32Array
}

/** Words of a sentence in one sequence. */
export interface TaggedSequence {
  tokenIds: Int32Array
  /** Numbers of the words, and where the first piece of each stands. */
  words: number[]
  places: number[]
  /** Pieces are missing. */
  cut: boolean
}

type SpecialIds = Pick<SpecialTokens, 'clsId' | 'sepId' | 'unkId'>

/** What fits of a sentence, the last word perhaps cut: what is trained on. */
export function firstSequence(
  words: readonly TaggedWord[],
  maxTokens: number,
  { clsId, sepId }: SpecialIds,
): TaggedSequence {
  const ids = [clsId]
  const shown: number[] = []
  const places: number[] = []
  let cut = false
  for (const { number, pieces } of words) {
    const free = maxTokens - 1 - ids.length
    cut ||= pieces.length > free
    if (free === 0) break
    shown.push(number)
    places.push(ids.length)
    ids.push(...pieces.subarray(0, free))
  }
  return { tokenIds: Int32Array.from([...ids, sepId]), words: shown, places, cut }
}

/** The whole sentence, as serving reads it: in windows of whole words, one without a piece as [UNK]. */
export function windows(words: readonly TaggedWord[], maxTokens: number, special: SpecialIds): TaggedSequence[] {
  const unknown = Int32Array.of(special.unkId)
  const spelled = words.map(({ pieces }) => ({ pieces: pieces.length > 0 ? pieces : unknown }))
  const sequences: TaggedSequence[] = []
  for (let first = 0; first < words.length; ) {
    const { tokenIds, places, next } = wordWindow(spelled, first, maxTokens, special)
    const shown = words.slice(first, next)
    const cut = shown.some(({ pieces }) => pieces.length > maxTokens - 2)
    sequences.push({ tokenIds, words: shown.map(({ number }) => number), places, cut })
    first = next
  }
  return sequences
}
