/**
 * Any value for a message: short, on one line, and without what would disturb a terminal. Never throws, whatever an argument or a file
 * holds.
 */
export function shownValue(value: unknown): string {
  switch (typeof value) {
    case 'undefined':
      return 'missing'
    case 'number':
    case 'boolean':
      return String(value)
    case 'bigint':
      return `${String(value).slice(0, 80)}n`
    case 'symbol':
      return 'a symbol'
    case 'function':
      return 'a function'
    case 'string':
      return clipped(JSON.stringify(value.slice(0, 100)))
    default:
      return value === null ? 'null' : shownObject(value as object)
  }
}

function shownObject(value: object): string {
  try {
    if (!Array.isArray(value)) return 'an object'
    const first: unknown[] = value.slice(0, 20)
    const flat = first.every((item) => (typeof item !== 'object' || item === null) && typeof item !== 'bigint')
    return flat ? clipped(JSON.stringify(first)) : 'a nested list'
  } catch {
    return 'an object that cannot be read'
  }
}

function clipped(text: string): string {
  return text.length <= 80 ? text : `${text.slice(0, 80)}…`
}
