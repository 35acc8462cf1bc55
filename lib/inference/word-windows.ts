/** Words of a text laid into sequences. */
import type { EncodedText, Tokenizer } from '../text/index.js'

/** Some words of a text in one sequence. */
export interface Window<Word> extends EncodedText {
  text: number
  words: Word[]
  /** Where in the sequence the first piece of each word stands. */
  places: number[]
}

/** As many whole words a sequence as fit. A word longer than a sequence is cut: its first piece decides. */
export function windowsOfWords<Word extends { pieces: Int32Array }>(
  words: readonly Word[],
  text: number,
  maxTokens: number,
  tokenizer: Tokenizer,
): Window<Word>[] {
  const { clsId, sepId } = tokenizer.specialTokens
  const room = maxTokens - 2
  const windows: Window<Word>[] = []
  for (let first = 0; first < words.length; ) {
    const ids = [clsId]
    const places: number[] = []
    let next = first
    for (; next < words.length; next++) {
      const pieces = words[next].pieces.subarray(0, room)
      if (ids.length - 1 + pieces.length > room) break
      places.push(ids.length)
      ids.push(...pieces)
    }
    ids.push(sepId)
    const tokenIds = Int32Array.from(ids)
    const segmentIds = new Int32Array(tokenIds.length)
    windows.push({ tokenIds, segmentIds, truncated: false, text, words: words.slice(first, next), places })
    first = next
  }
  return windows
}
