import { StrataError } from '../errors.js'
import { shownValue } from '../shown-value.js'
import type { EncodeInput } from '../text/index.js'
import { ownList, ownStrings } from './own-arguments.js'

/** One text, or a pair of texts. */
export type TextInput = string | readonly [string, string]

export function positive(name: string, value: unknown): void {
  if (!Number.isInteger(value) || (value as number) < 1)
    throw new StrataError('BAD_ARGUMENT', `${name} came as ${shownValue(value)}, expected a whole number ≥ 1`)
}

export function nonNegative(name: string, value: unknown): void {
  if (!Number.isFinite(value) || (value as number) < 0)
    throw new StrataError('BAD_ARGUMENT', `${name} came as ${shownValue(value)}, expected a number ≥ 0`)
}

/** Inputs that come one after the other. */
export function isStream<Input>(inputs: unknown): inputs is AsyncIterable<Input> {
  return typeof inputs === 'object' && inputs !== null && !Array.isArray(inputs) && Symbol.asyncIterator in inputs
}

/** `index`: of the list's element that the text is or belongs to. */
export function checkText(name: string, text: unknown, index?: number): void {
  if (typeof text === 'string') return
  const message = `${name} came as ${came(text)}, expected a string`
  throw new StrataError('BAD_ARGUMENT', message, { details: index === undefined ? {} : { index } })
}

const came = (value: unknown): string => (value === null ? 'null' : typeof value)

/** Throws BAD_ARGUMENT that names the place of what is no list of texts. A single string is a list of one. */
export function textList(texts: unknown): string[] {
  if (typeof texts === 'string') return [texts]
  return ownList('texts', texts, 'a string or a list of strings', (text, index) => {
    if (typeof text !== 'string') checkText(`texts[${index}]`, text, index)
    return text as string
  })
}

/** As {@link textList}, for texts and pairs. `pair`: what the task takes, undefined when it is not known. */
export function inputList(inputs: unknown, pair: boolean | undefined, task: string): EncodeInput[] {
  const list = typeof inputs === 'string' ? [inputs] : inputs
  const refuse = (index: number, came: string, expected: string): never => {
    const message = `texts[${index}] came as ${came}, expected ${expected}`
    throw new StrataError('BAD_ARGUMENT', message, { details: { index } })
  }
  return ownList('texts', list, 'a list of texts or of pairs of texts', (input, index) => {
    if (typeof input === 'string') {
      return pair === true ? refuse(index, 'one text', `a pair [first, second]: task ${task} reads two texts`) : input
    }
    const texts = ownStrings(input)
    if (texts?.length !== 2) {
      const was = Array.isArray(input) ? `a list of ${input.length}` : came(input)
      return refuse(index, was, pair === false ? 'a string' : 'a string or a pair of strings')
    }
    if (pair === false) refuse(index, 'a pair', `a string: task ${task} reads one text, leave the second out`)
    return texts as [string, string]
  })
}

/** Texts, or texts cut into words, each as `own` makes it of a string or a list of strings. */
export function wordsList<Own>(name: string, given: unknown, own: (text: string | string[]) => Own): Own[] {
  const list = typeof given === 'string' ? [given] : given
  return ownList(name, list, 'a string or a list of strings or of words', (text, index) => {
    const words = typeof text === 'string' ? text : ownStrings(text)
    if (words !== undefined) return own(words)
    const was = Array.isArray(text) ? 'a list with other than strings' : came(text)
    throw new StrataError('BAD_ARGUMENT', `${name}[${index}] came as ${was}, expected a string or a list of words`, {
      details: { index },
    })
  })
}

/** [CLS], one token of the text, [SEP]. */
const SHORTEST_SEQUENCE = 3

/** The longest sequence that a call may use. Throws BAD_ARGUMENT above the encoder's positions, and where no token of a text has room. */
export function tokenLimit(maxTokens: number, positions: number): number {
  if (Number.isInteger(maxTokens) && maxTokens >= SHORTEST_SEQUENCE && maxTokens <= positions) return maxTokens
  const expected =
    maxTokens > positions
      ? `at most the encoder's ${positions} positions`
      : `a whole number ≥ ${SHORTEST_SEQUENCE}: [CLS], a token of the text and [SEP]`
  throw new StrataError('BAD_ARGUMENT', `maxTokens came as ${shownValue(maxTokens)}, expected ${expected}`)
}
