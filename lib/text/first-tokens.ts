/** The beginnings of long texts: what is cut off after some hundred tokens is not tokenised first. */
import { assemble, type EncodedText, type EncodeInput, type EncodeOptions, wellFormed } from './encoded-text.js'
import type { SpecialTokens } from './special-tokens.js'
import type { WordPieceEncoder } from './wordpiece-encoder.js'

/** Of the first try: English has four to five a token and a space. */
const CHARACTERS_PER_TOKEN = 8
/** How much longer each further try is. */
const GROWTH = 4

/** Inputs as they come out of an encoder that reads all of each: same ids, same `truncated`. */
export async function encodeInputs(
  encoder: WordPieceEncoder,
  inputs: readonly EncodeInput[],
  special: SpecialTokens,
  options: EncodeOptions,
): Promise<EncodedText[]> {
  // One more than any text keeps: that it is cut shows as well.
  const most = (options.maxTokens ?? Number.POSITIVE_INFINITY) + 1
  const tokens = await firstTokens(encoder, inputs.flatMap(textsOf), most)
  let next = 0
  const pairs = inputs.map((input): readonly Int32Array[] => textsOf(input).map(() => tokens[next++]))
  for (const [index, pair] of pairs.entries()) {
    // Which of two long texts is the longer decides how they are cut: only then all of both is read.
    if (pair.length < 2 || pair.some(({ length }) => length < most)) continue
    pairs[index] = await firstTokens(encoder, textsOf(inputs[index]), Number.POSITIVE_INFINITY)
  }
  return pairs.map(([first, second]) => assemble(first, second, special, options))
}

function textsOf(input: EncodeInput): readonly string[] {
  return (typeof input === 'string' ? [input] : input).map(wellFormed)
}

/** Ids of each text, without special tokens: at least the first `most`, or all that it has. */
async function firstTokens(encoder: WordPieceEncoder, texts: readonly string[], most: number): Promise<Int32Array[]> {
  const found = new Array<Int32Array>(texts.length)
  let open = texts.map((_, index) => index)
  for (let characters = most * CHARACTERS_PER_TOKEN; open.length > 0; characters *= GROWTH) {
    const parts = open.map((index) => beginning(texts[index], characters, encoder.breaks))
    const { tokenIds, offsets } = await encoder.encode(parts)
    open = open.filter((index, at) => {
      found[index] = tokenIds.subarray(offsets[at], offsets[at + 1])
      return found[index].length < most && parts[at].length < texts[index].length
    })
  }
  return found
}

/**
 * The text up to the first place behind `characters` at which it falls apart for the tokenizer, so that the tokens of the part are the first
 * of the whole's. Without such a place the whole text.
 *
 * White space: see {@link WordPieceEncoder}. Between two ideographs of U+4E00 to U+9FFF: BERT's normaliser puts a space on both sides of each
 * before anything else looks at more than one character; none of them decomposes or is part of a special token.
 */
function beginning(text: string, characters: number, breaks: { spaces: boolean; ideographs: boolean }): string {
  if (!breaks.spaces || text.length <= GROWTH * characters) return text
  let before = false
  for (let place = characters; place < text.length; place++) {
    const code = text.charCodeAt(place)
    const ideograph = code >= 0x4e00 && code <= 0x9fff
    if (code === 32 || code === 10 || code === 9 || code === 13) return text.slice(0, place)
    if (breaks.ideographs && before && ideograph) return text.slice(0, place)
    before = ideograph
  }
  return text
}
