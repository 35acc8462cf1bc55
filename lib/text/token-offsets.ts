import type { Tokenizer as NativeTokenizer } from 'tokenizers'
import { StrataError } from '../errors.js'
import { wellFormed } from './encoded-text.js'

/** The T tokens of a text, without special tokens, each with the characters that it was made of. */
export interface TokenOffsets {
  /** Shape (T). */
  tokenIds: Int32Array
  /** First character of each token in the text as it was given, in UTF-16 units, shape (T). */
  starts: Int32Array
  /** Behind the last one, shape (T). */
  ends: Int32Array
}

/** Texts, and characters, that the library's threads take together; between blocks the event loop runs. */
const TEXTS_PER_CALL = 64
/** What the library answers is read on the calling thread: a megabyte would take it 0.2 to 0.5 s. */
const CHARACTERS_PER_CALL = 20_000

/** @internal `ofLongText` encodes a text of more characters than a block has elsewhere; without it here. */
export async function encodeWithOffsets(
  native: NativeTokenizer,
  texts: readonly string[],
  ofLongText?: (text: string) => Promise<TokenOffsets>,
): Promise<TokenOffsets[]> {
  const results: TokenOffsets[] = []
  for (let start = 0, end = 0; start < texts.length; start = end) {
    let characters = 0
    do characters += texts[end++].length
    while (end < texts.length && end - start < TEXTS_PER_CALL && characters + texts[end].length <= CHARACTERS_PER_CALL)
    if (ofLongText && characters > CHARACTERS_PER_CALL) {
      results.push(await ofLongText(texts[start]))
      continue
    }
    const block = texts.slice(start, end).map(wellFormed)
    let encodings: Awaited<ReturnType<NativeTokenizer['encodeBatch']>>
    try {
      encodings = await native.encodeBatch(block, { addSpecialTokens: false })
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      throw new StrataError('BAD_DATA', `the tokenizer could not encode the text: ${message}`, { cause: error })
    }
    encodings.forEach((encoding, index) => {
      const offsets = encoding.getOffsets()
      const units = codePointStarts(block[index])
      results.push({
        tokenIds: Int32Array.from(encoding.getIds()),
        starts: Int32Array.from(offsets, ([from]) => units?.[from] ?? from),
        ends: Int32Array.from(offsets, ([, to]) => units?.[to] ?? to),
      })
    })
  }
  return results
}

/** Python and the tokenizers library count code points: the UTF-16 place of each, the text's end included; undefined when both are the same. */
export function codePointStarts(text: string): number[] | undefined {
  if (!/[\ud800-\udfff]/.test(text)) return undefined
  const starts: number[] = []
  let unit = 0
  for (const character of text) {
    starts.push(unit)
    unit += character.length
  }
  starts.push(unit)
  return starts
}
