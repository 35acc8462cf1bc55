import { StrataError } from '../errors.js'
import type { EncodeInput } from '../text/index.js'

/** One text, or a pair of texts. */
export type TextInput = string | readonly [string, string]

export function positive(name: string, value: number): void {
  if (!Number.isInteger(value) || value < 1)
    throw new StrataError('BAD_ARGUMENT', `${name} came as ${value}, expected a whole number ≥ 1`)
}

export function nonNegative(name: string, value: number): void {
  if (!Number.isFinite(value) || value < 0)
    throw new StrataError('BAD_ARGUMENT', `${name} came as ${value}, expected a number ≥ 0`)
}

/** Inputs that come one after the other. */
export function isStream<Input>(inputs: unknown): inputs is AsyncIterable<Input> {
  return typeof inputs === 'object' && inputs !== null && Symbol.asyncIterator in inputs
}

export function checkText(name: string, text: unknown): void {
  if (typeof text === 'string') return
  throw new StrataError('BAD_ARGUMENT', `${name} came as ${text === null ? 'null' : typeof text}, expected a string`)
}

/** Throws BAD_ARGUMENT that names the place of what is no list of texts. A single string is a list of one. */
export function textList(texts: unknown): string[] {
  const list = typeof texts === 'string' ? [texts] : texts
  if (!Array.isArray(list))
    throw new StrataError('BAD_ARGUMENT', `texts came as ${typeof texts}, expected a string or a list of strings`)
  // Not forEach, which skips the holes of a list.
  for (let index = 0; index < list.length; index++)
    if (typeof list[index] !== 'string') checkText(`texts[${index}]`, list[index])
  return list as string[]
}

/** As {@link textList}, for texts and pairs. `pair`: what the task takes, undefined when it is not known. */
export function inputList(inputs: unknown, pair: boolean | undefined, task: string): EncodeInput[] {
  const list = typeof inputs === 'string' ? [inputs] : inputs
  if (!Array.isArray(list)) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `texts came as ${typeof inputs}, expected a list of texts or of pairs of texts`,
    )
  }
  const refuse = (index: number, came: string, expected: string): never => {
    const message = `texts[${index}] came as ${came}, expected ${expected}`
    throw new StrataError('BAD_ARGUMENT', message, { details: { index } })
  }
  for (const [index, input] of list.entries()) {
    const isPair = Array.isArray(input) && input.length === 2 && input.every((text) => typeof text === 'string')
    if (!isPair && typeof input !== 'string') {
      const came = Array.isArray(input) ? `a list of ${input.length}` : input === null ? 'null' : typeof input
      refuse(index, came, pair === false ? 'a string' : 'a string or a pair of strings')
    }
    if (pair === true && !isPair) refuse(index, 'one text', `a pair [first, second]: task ${task} reads two texts`)
    if (pair === false && isPair) refuse(index, 'a pair', `a string: task ${task} reads one text, leave the second out`)
  }
  return list as EncodeInput[]
}

/** The longest sequence that a call may use. Throws BAD_ARGUMENT above the encoder's positions. */
export function tokenLimit(maxTokens: number, positions: number): number {
  positive('maxTokens', maxTokens)
  if (maxTokens <= positions) return maxTokens
  throw new StrataError(
    'BAD_ARGUMENT',
    `maxTokens came as ${maxTokens}, expected at most the encoder's ${positions} positions`,
  )
}
