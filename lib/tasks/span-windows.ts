/**
 * Questions and contexts in windows of a fixed length with a document stride (Devlin et al. 2019, arXiv 1810.04805 §4.2, and its program):
 * [CLS] question [SEP] part of the context [SEP], segments 0 and 1.
 */
import { StrataError } from '../errors.js'
import type { SpanWindow } from './span-decoding.js'

export interface WindowSizes {
  /** Longest window in tokens, special tokens included; default 384. */
  sequenceTokens?: number
  /** How many context tokens further each window begins; default 128. */
  stride?: number
  /** Longest question in tokens; the rest is cut off. Default 64. */
  questionTokens?: number
}

/** Throws BAD_RECIPE when a window has no room for the context. */
export function windowSizes(task: string, sizes: WindowSizes): Required<WindowSizes> {
  const { sequenceTokens = 384, stride = 128, questionTokens = 64 } = sizes
  for (const [name, value] of Object.entries({ sequenceTokens, stride, questionTokens })) {
    if (!(Number.isInteger(value) && value >= 1)) {
      throw new StrataError('BAD_RECIPE', `task ${task}: ${name} ${value}; a whole number of at least 1 was expected`, {
        details: { task },
      })
    }
  }
  if (sequenceTokens < questionTokens + 4) {
    throw new StrataError(
      'BAD_RECIPE',
      `task ${task}: sequenceTokens ${sequenceTokens} leaves no room for the context beside a question of ${questionTokens} tokens (questionTokens) and 3 special ones; give at least ${questionTokens + 4}`,
      { details: { task } },
    )
  }
  return { sequenceTokens, stride, questionTokens }
}

/**
 * The windows of a context of `contextTokens` tokens beside a question of `questionTokens`. Every token stands in at least one: a stride
 * beyond a window's room is shortened to it.
 */
export function windowsOf(contextTokens: number, questionTokens: number, sizes: Required<WindowSizes>): SpanWindow[] {
  const question = Math.min(questionTokens, sizes.questionTokens)
  const room = sizes.sequenceTokens - question - 3
  const windows: SpanWindow[] = []
  let firstToken = 0
  for (;;) {
    const tokens = Math.min(room, contextTokens - firstToken)
    windows.push({ firstToken, tokens, contextPlace: question + 2 })
    if (firstToken + tokens >= contextTokens) return windows
    firstToken += Math.min(tokens, sizes.stride)
  }
}

/** The context's tokens that share a character with [start, end): first and last, or undefined when none does. */
export function tokensOfSpan(
  starts: Int32Array,
  ends: Int32Array,
  start: number,
  end: number,
): { first: number; last: number } | undefined {
  let first = -1
  let last = -1
  for (let token = 0; token < starts.length; token++) {
    if (ends[token] <= start || starts[token] >= end) continue
    if (first < 0) first = token
    last = token
  }
  return first < 0 ? undefined : { first, last }
}
