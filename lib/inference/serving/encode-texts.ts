import type { EncodedText, EncodeInput, EncodeOptions, Tokenizer } from '../../text/index.js'

/**
 * Characters of a call that are tokenised on the calling thread: more than 512 tokens of English have. Words seen before take some 0.2 ms,
 * words all new some 3 ms; a message to the tokenizer's worker and back takes longer than the former (docs/serving.md has the figures).
 */
const INLINE_CHARACTERS = 4_000
/** BERT's English pieces have four to five characters. */
const CHARACTERS_PER_TOKEN = 4

/** Short texts here, longer ones in the worker. */
export async function encodeTexts(
  tokenizer: Tokenizer,
  inputs: readonly EncodeInput[],
  options: EncodeOptions,
): Promise<EncodedText[]> {
  if (inputs.length === 0) return []
  if (characters(inputs, INLINE_CHARACTERS + 1) > INLINE_CHARACTERS) return tokenizer.encodeBatch(inputs, options)
  return Promise.all(
    inputs.map((input) =>
      typeof input === 'string' ? tokenizer.encode(input, options) : tokenizer.encodePair(input[0], input[1], options),
    ),
  )
}

/** About how many tokens texts of these lengths in characters will have; each has its two special ones. */
export function estimateTokens(lengths: readonly number[], maxTokens = Number.POSITIVE_INFINITY): number {
  return lengths.reduce((sum, length) => sum + Math.min(maxTokens, 2 + Math.ceil(length / CHARACTERS_PER_TOKEN)), 0)
}

export function charactersOf(input: EncodeInput): number {
  return typeof input === 'string' ? input.length : input[0].length + input[1].length
}

/** Of all inputs together, or more than enough. */
function characters(inputs: readonly EncodeInput[], enough: number): number {
  let sum = 0
  for (const input of inputs) {
    sum += charactersOf(input)
    if (sum >= enough) break
  }
  return sum
}
