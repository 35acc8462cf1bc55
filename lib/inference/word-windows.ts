/** Words of a text laid into sequences. */
import type { EncodedText, Tokenizer } from '../text/index.js'
import type { Turns } from './pause.js'

/** Some words of a text in one sequence. */
export interface Window<Word> extends EncodedText {
  text: number
  words: Word[]
  /** Where in the sequence the first piece of each word stands. */
  places: number[]
}

/** As many whole words a sequence as fit. A word longer than a sequence is cut: its first piece decides. */
export async function windowsOfWords<Word extends { pieces: Int32Array }>(
  words: readonly Word[],
  text: number,
  maxTokens: number,
  tokenizer: Tokenizer,
  turns: Turns,
): Promise<Window<Word>[]> {
  const { clsId, sepId } = tokenizer.specialTokens
  const room = maxTokens - 2
  const windows: Window<Word>[] = []
  for (let first = 0; first < words.length; ) {
    await turns.next()
    const places: number[] = []
    let length = 1
    let next = first
    for (; next < words.length; next++) {
      const pieces = Math.min(room, words[next].pieces.length)
      if (length - 1 + pieces > room) break
      places.push(length)
      length += pieces
    }
    const tokenIds = new Int32Array(length + 1)
    tokenIds[0] = clsId
    tokenIds[length] = sepId
    // Value by value: most words are one or two pieces, for which a view costs more than they do.
    let at = 1
    for (let word = first; word < next; word++) {
      const { pieces } = words[word]
      for (let piece = 0; piece < pieces.length && piece < room; piece++) tokenIds[at++] = pieces[piece]
    }
    const segmentIds = new Int32Array(tokenIds.length)
    windows.push({ tokenIds, segmentIds, truncated: false, text, words: words.slice(first, next), places })
    first = next
  }
  return windows
}
