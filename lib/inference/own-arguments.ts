/**
 * Arguments read once, at the call: what the caller changes afterwards, or answers differently when asked again, has no effect, and what
 * throws when it is read is a BAD_ARGUMENT like any other.
 */
import { nearest } from '../edit-distance.js'
import { StrataError } from '../errors.js'
import { shownValue } from '../shown-value.js'

/** The entries of a list, holes included, each as `own` makes it. An entry that throws when it is read is named with its place. */
export function ownList<Own>(
  name: string,
  given: unknown,
  expected: string,
  own: (entry: unknown, index: number) => Own,
): Own[] {
  const list: Own[] = []
  let place: number | undefined
  try {
    if (!Array.isArray(given)) {
      throw new StrataError(
        'BAD_ARGUMENT',
        `${name} came as ${given === null ? 'null' : typeof given}, expected ${expected}`,
      )
    }
    // Not forEach or map, which skip holes: the first one is refused, however long the list says that it is.
    for (let index = 0; index < given.length; index++) {
      place = index
      list.push(own(given[index], index))
    }
    return list
  } catch (error) {
    throw place === undefined ? unreadable(name, error) : unreadable(`${name}[${place}]`, error, { index: place })
  }
}

/** A list of strings as a list of our own; undefined for anything else. */
export function ownStrings(given: unknown): string[] | undefined {
  if (!Array.isArray(given)) return undefined
  const strings: string[] = []
  for (let index = 0; index < given.length; index++) {
    const entry: unknown = given[index]
    if (typeof entry !== 'string') return undefined
    strings.push(entry)
  }
  return strings
}

const PLAIN = ['undefined', 'boolean', 'number', 'string']

/** Of an option: a boolean, a finite number, an AbortSignal, options of its own, or `any`: what uses it checks it. */
type OptionKind = 'flag' | 'number' | 'signal' | 'any' | { [name: string]: OptionKind }

/** Every option of a method. */
export type OptionKinds<Options> = { readonly [Name in keyof Required<Options>]: OptionKind }

/**
 * A copy of an options object. Values are plain, lists of plain values, options in options, or an AbortSignal. Throws BAD_ARGUMENT for an
 * option that the method does not have, since it would do nothing, and for one of a wrong kind.
 */
export function ownOptions<Options extends object>(
  given: Options | undefined,
  kinds: OptionKinds<Options>,
  name = 'the options',
): Options {
  if (given === undefined) return {} as Options
  if (typeof given !== 'object' || given === null) {
    throw new StrataError('BAD_ARGUMENT', `${name} came as ${shownValue(given)}, expected an object`)
  }
  return readable(name, () => {
    const own = { ...given } as Record<string, unknown>
    for (const [key, value] of Object.entries(own)) {
      const kind = Object.hasOwn(kinds, key) ? (kinds as Record<string, OptionKind>)[key] : undefined
      if (!kind) throw unknownOption(key, Object.keys(kinds), name)
      own[key] = ownValue(key, value, kind)
    }
    return own as Options
  })
}

function unknownOption(key: string, known: string[], name: string): StrataError {
  const near = nearest(key, known)
  const message = `${shownValue(key)} came among ${name}, expected ${known.join(', ')}${near ? `; did you mean ${near}?` : ''}`
  return new StrataError('BAD_ARGUMENT', message, { details: { option: key.slice(0, 100) } })
}

function ownValue(key: string, value: unknown, kind: OptionKind): unknown {
  const refuse = (expected: string): never => {
    throw new StrataError('BAD_ARGUMENT', `${key} came as ${shownValue(value)}, expected ${expected}`)
  }
  if (value === undefined) return value
  if (kind === 'signal') return value instanceof AbortSignal ? value : refuse('an AbortSignal')
  if (kind === 'flag') return typeof value === 'boolean' ? value : refuse('true or false')
  if (kind === 'number') return Number.isFinite(value) ? value : refuse('a finite number')
  if (typeof kind === 'object') return ownOptions(value as object, kind, `the options of ${key}`)
  if (Array.isArray(value)) return ownList(key, value, 'a list', (entry, index) => ownEntry(`${key}[${index}]`, entry))
  return ownEntry(key, value)
}

function ownEntry(name: string, value: unknown): unknown {
  if (PLAIN.includes(typeof value) || value === null) return value
  throw new StrataError('BAD_ARGUMENT', `${name} came as ${shownValue(value)}; a plain value was expected`)
}

/** What `read` gives. Errors of the caller's own getters and proxies become BAD_ARGUMENT. */
export function readable<Value>(name: string, read: () => Value): Value {
  try {
    return read()
  } catch (error) {
    throw unreadable(name, error)
  }
}

function unreadable(name: string, error: unknown, details: { index?: number } = {}): StrataError {
  if (error instanceof StrataError) return error
  return new StrataError('BAD_ARGUMENT', `${name} cannot be read: ${wordsOf(error)}`, { cause: error, details })
}

function wordsOf(error: unknown): string {
  try {
    return String((error as Error).message ?? error).slice(0, 200)
  } catch {
    return 'reading throws'
  }
}
