import { StrataError } from '../errors.js'

export type Values = Record<string, unknown>

/** Keys whose fields exclude each other: what an overlay says replaces the whole of them. */
const REPLACED_WHOLE = ['budget']

/** What tells the kinds of a key's value apart: the fields of one mean nothing to another. */
const KIND_KEYS: Readonly<Record<string, string>> = { sampler: 'kind', adapter: 'kind', pruning: 'method' }

export function isValues(value: unknown): value is Values {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * Whether two values of a key at a recipe's top are of different kinds: the upper one then replaces the lower one whole. A value
 * that names no kind is of the other one's.
 */
export function isOtherKind(key: string, below: unknown, above: unknown): boolean {
  const kind = KIND_KEYS[key]
  if (kind === undefined || !isValues(below) || !isValues(above)) return false
  return below[kind] !== undefined && above[kind] !== undefined && below[kind] !== above[kind]
}

/**
 * `overlay` over `base`: objects are joined key by key, a list's entries by number (`stages.0.budget`), other values
 * replace, `null` removes a key. Neither is changed.
 */
export function mergeValues(base: Values, overlay: Values): Values {
  return mergeAt('', base, overlay)
}

/** `place` is the dotted path of both, for messages. */
function mergeAt(place: string, base: Values, overlay: Values): Values {
  const merged: Values = { ...base }
  for (const [key, value] of Object.entries(overlay)) {
    const path = place === '' ? key : `${place}.${key}`
    refuseMagic(key, path)
    const before = Object.hasOwn(base, key) ? base[key] : undefined
    if (value === null) delete merged[key]
    else if (isValues(value) && Array.isArray(before)) merged[key] = mergeEntries(before, value, path)
    else if (isValues(value)) {
      merged[key] = mergeAt(path, isValues(before) && !REPLACED_WHOLE.includes(key) ? before : {}, value)
    } else if (value !== undefined) merged[key] = value
  }
  return merged
}

/** Sets the value at a dotted path of a plain object in place, making objects on the way. */
export function setAt(target: Values, path: readonly string[], value: unknown): void {
  let inner = target
  for (const key of path.slice(0, -1)) {
    refuseMagic(key)
    const next = isValues(inner[key]) ? inner[key] : {}
    inner[key] = next
    inner = next
  }
  const last = path[path.length - 1]
  refuseMagic(last)
  inner[last] = value
}

function mergeEntries(base: readonly unknown[], overlay: Values, path: string): unknown[] {
  const merged = [...base]
  for (const [index, value] of Object.entries(overlay)) {
    if (!/^\d+$/.test(index) || Number(index) >= base.length) {
      throw new StrataError('BAD_RECIPE', `${path}.${index}: no such entry, expected a number below ${base.length}`)
    }
    const before = base[Number(index)]
    merged[Number(index)] = isValues(value) && isValues(before) ? mergeAt(`${path}.${index}`, before, value) : value
  }
  return merged
}

/** Keys that would reach an object's prototype are refused, whatever the schema says. */
function refuseMagic(key: string, path = key): void {
  if (key === '__proto__' || key === 'constructor' || key === 'prototype') {
    throw new StrataError('BAD_RECIPE', `${path}: unknown key; a recipe has no key of this name, remove it`)
  }
}
