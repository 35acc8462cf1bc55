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

/** Texts that the library's threads take together; between blocks the event loop runs. */
const TEXTS_PER_CALL = 64

/** @internal */
export async function encodeWithOffsets(native: NativeTokenizer, texts: readonly string[]): Promise<TokenOffsets[]> {
  const results: TokenOffsets[] = []
  for (let start = 0; start < texts.length; start += TEXTS_PER_CALL) {
    const block = texts.slice(start, start + TEXTS_PER_CALL).map(wellFormed)
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

/** The library counts code points: the UTF-16 place of each, the text's end included; undefined when both are the same. */
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
