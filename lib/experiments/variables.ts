/** `${name}` in the strings of an experiment. */
import type { RecipeProblem } from '../recipes/index.js'

const PLACE = /\$\{([^{}]*)\}/g

/** Every name that the strings of a value ask for, with the dotted path of its first place. */
export function variablesIn(value: unknown, path = '', found = new Map<string, string>()): Map<string, string> {
  if (typeof value === 'string') {
    for (const [, name] of value.matchAll(PLACE)) if (!found.has(name)) found.set(name, path)
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, inner] of Object.entries(value)) variablesIn(inner, path ? `${path}.${key}` : key, found)
  }
  return found
}

/** The value with every `${name}` filled in. All names are known: see {@link missingVariables}. */
export function fillVariables<T>(value: T, variables: Readonly<Record<string, string>>): T {
  if (typeof value === 'string') return value.replace(PLACE, (_, name: string) => variables[name]) as T
  if (Array.isArray(value)) return value.map((inner) => fillVariables(inner, variables)) as T
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, fillVariables(inner, variables)])) as T
}

export function missingVariables(value: unknown, path: string, known: readonly string[]): RecipeProblem[] {
  return [...variablesIn(value, path)]
    .filter(([name]) => !known.includes(name))
    .map(([name, key]) => ({
      key,
      message: `names \${${name}}, expected one of ${known.join(', ') || 'the names of paths'}; give --data ${name}=PATH, or paths.${name}`,
    }))
}
