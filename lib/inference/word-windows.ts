/** Words of a text laid into sequences. */
import { wordWindow } from '../tasks/word-window.js'
import type { EncodedText, Tokenizer } from '../text/index.js'
import type { Turns } from './pause.js'

/** Some words of a text in one sequence. */
export interface Window<Word> extends EncodedText {
  text: number
  words: Word[]
  /** Where in the sequence the first piece of each word stands. */
  places: number[]
}

/** As many whole words a sequence as fit, see {@link wordWindow}. */
export async function windowsOfWords<Word extends { pieces: Int32Array }>(
  words: readonly Word[],
  text: number,
  maxTokens: number,
  tokenizer: Tokenizer,
  turns: Turns,
): Promise<Window<Word>[]> {
  const windows: Window<Word>[] = []
  for (let first = 0; first < words.length; ) {
    await turns.next()
    const { tokenIds, places, next } = wordWindow(words, first, maxTokens, tokenizer.specialTokens)
    const segmentIds = new Int32Array(tokenIds.length)
    windows.push({ tokenIds, segmentIds, truncated: false, text, words: words.slice(first, next), places })
    first = next
  }
  return windows
}
