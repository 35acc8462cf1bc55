/** Pieces of words that stay as they are: those of a list, or of a text that was split before. */
import type { Tokenizer } from '../text/index.js'
import type { Turns } from './pause.js'
import { encodeTexts } from './serving/encode-texts.js'

/** Words between two looks at the clock. */
export const WORDS_A_LOOK = 256

/** Pieces by word, each encoded once; one that the normaliser leaves nothing of is [UNK], so that it keeps its place. */
export async function piecesOfWords(
  tokenizer: Tokenizer,
  lists: readonly (readonly string[])[],
  turns: Turns,
): Promise<Map<string, Int32Array>> {
  const different = new Set<string>()
  for (const words of lists) {
    for (const [index, word] of words.entries()) {
      if (index % WORDS_A_LOOK === 0) await turns.next()
      different.add(word)
    }
  }
  const forms = [...different]
  const encoded = await encodeTexts(tokenizer, forms, { addSpecialTokens: false })
  const unknown = Int32Array.of(tokenizer.specialTokens.unkId)
  return new Map(forms.map((form, i) => [form, encoded[i].tokenIds.length > 0 ? encoded[i].tokenIds : unknown]))
}
