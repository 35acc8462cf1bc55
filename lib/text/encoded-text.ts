import { StrataError } from '../errors.js'
import { shownValue } from '../shown-value.js'
import type { SpecialTokens } from './special-tokens.js'

/** A text, or a pair of texts that become one input with two segments. */
export type EncodeInput = string | readonly [string, string]

/** Special tokens and the longest result. */
export interface EncodeOptions {
  /** Longest input in tokens, special tokens included; of a pair the longer text is cut first. Default: no limit. */
  maxTokens?: number
  /** Wrap as [CLS] A [SEP] (B [SEP]). Default true. */
  addSpecialTokens?: boolean
}

/** One encoded input of T tokens. */
export interface EncodedText {
  /** Token ids, shape (T). */
  tokenIds: Int32Array
  /** 0 for [CLS] A [SEP], 1 for B [SEP], shape (T). */
  segmentIds: Int32Array
  /** True when `maxTokens` cut something off. */
  truncated: boolean
}

/** Throws BAD_ARGUMENT on a text that is no string or a limit that leaves no room. */
export function checkEncodeArguments(inputs: readonly EncodeInput[], options: EncodeOptions): void {
  const { maxTokens, addSpecialTokens = true } = options
  let paired = false
  // Not forEach and every, which skip the holes of a list.
  for (let index = 0; index < inputs.length; index++) {
    const input: unknown = inputs[index]
    if (typeof input === 'string') continue
    const isTexts =
      Array.isArray(input) &&
      (input.length === 1 || input.length === 2) &&
      typeof input[0] === 'string' &&
      typeof input.at(-1) === 'string'
    if (!isTexts) {
      throw new StrataError(
        'BAD_ARGUMENT',
        `text ${index} is ${describe(input)}; a string or a pair of strings was expected`,
      )
    }
    if (input.length === 2) paired = true
  }
  const least = addSpecialTokens ? (paired ? 4 : 3) : 1
  if (maxTokens !== undefined && (!Number.isInteger(maxTokens) || maxTokens < least)) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `maxTokens is ${shownValue(maxTokens)}; an integer of at least ${least} was expected`,
    )
  }
}

/** Cuts the longer text first (Hugging Face's `longest_first`) and puts the special tokens around. */
export function assemble(
  first: Int32Array,
  second: Int32Array | undefined,
  special: SpecialTokens,
  options: EncodeOptions,
): EncodedText {
  const { maxTokens = Number.POSITIVE_INFINITY, addSpecialTokens = true } = options
  const extra = addSpecialTokens ? (second === undefined ? 2 : 3) : 0
  const room = maxTokens - extra
  let firstLength = first.length
  let secondLength = second?.length ?? 0
  const truncated = firstLength + secondLength > room
  if (truncated) [firstLength, secondLength] = longestFirst(firstLength, secondLength, room)
  const tokenIds = new Int32Array(firstLength + secondLength + extra)
  const segmentIds = new Int32Array(tokenIds.length)
  let offset = 0
  if (addSpecialTokens) tokenIds[offset++] = special.clsId
  tokenIds.set(first.subarray(0, firstLength), offset)
  offset += firstLength
  if (addSpecialTokens) tokenIds[offset++] = special.sepId
  if (second !== undefined) {
    segmentIds.fill(1, offset)
    tokenIds.set(second.subarray(0, secondLength), offset)
    offset += secondLength
    if (addSpecialTokens) tokenIds[offset++] = special.sepId
  }
  return { tokenIds, segmentIds, truncated }
}

/** Lengths of both texts after `longest_first` truncation as the tokenizers library does it (an odd room favours the longer). */
function longestFirst(first: number, second: number, room: number): [number, number] {
  const swap = first > second
  let shorter = swap ? second : first
  let longer: number
  if (shorter > room) longer = shorter
  else longer = Math.max(shorter, room - shorter)
  if (shorter + longer > room) {
    shorter = Math.floor(room / 2)
    longer = shorter + (room % 2)
  }
  return swap ? [longer, shorter] : [shorter, longer]
}

/** Replaces lone surrogates, which UTF-8 cannot hold, by U+FFFD. */
export function wellFormed(text: string): string {
  return (text as string & { toWellFormed(): string }).toWellFormed()
}

/**
 * A copy that keeps nothing else in memory: V8 makes a slice a view into the text it was cut from, so that a table of
 * words would hold on to all text ever read.
 */
export function ownString(slice: string): string {
  return slice.length < 13 ? slice : Buffer.from(slice, 'utf16le').toString('utf16le')
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return `a list of ${value.length}`
  return value === null ? 'null' : typeof value
}
