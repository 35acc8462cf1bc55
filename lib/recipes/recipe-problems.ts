import type { z } from 'zod'
import { nearest } from '../edit-distance.js'
import { StrataError } from '../errors.js'

/** One fault of a recipe. */
export interface RecipeProblem {
  /** Dotted path of the key, like `heads.nsp.layer`. */
  key: string
  /** What came, what was expected, what to do. */
  message: string
}

/** Tells where in a file a key stands, like `line 12`; undefined when unknown. */
export type Locate = (path: readonly (string | number)[]) => string | undefined

type Path = readonly (string | number)[]
type Schema = { def: Record<string, any>; shape?: Record<string, Schema> }

/** Problems beyond these are counted; to look up the place and the near spellings of thousands would take minutes. */
const MOST_EXPLAINED = 50

/** A BAD_RECIPE error that lists every problem. */
export function recipeError(problems: readonly RecipeProblem[], source: string): StrataError {
  const lines = problems.map((problem) => `${problem.key}: ${problem.message}`)
  const shown = lines.length > 8 ? [...lines.slice(0, 8), `and ${lines.length - 8} more problems`] : lines
  const text = shown.length === 1 ? shown[0] : `${problems.length} problems\n  ${shown.join('\n  ')}`
  return new StrataError('BAD_RECIPE', `${source}: ${text}`, { details: { source, problems } })
}

/** Turns the schema's issues into problems that name key, value, expectation and a near spelling. */
export function schemaProblems(error: z.ZodError, schema: unknown, value: unknown, locate?: Locate): RecipeProblem[] {
  const problems: RecipeProblem[] = []
  const add = (path: Path, message: string) => {
    const place = problems.length < MOST_EXPLAINED ? locate?.(path) : undefined
    problems.push({ key: dotted(path), message: place ? `${message} (${place})` : message })
  }
  const visit = (issue: any, base: Path) => {
    const path: Path = [...base, ...issue.path]
    if (issue.code === 'unrecognized_keys') {
      const known = knownKeys(schema as Schema, path, value)
      for (const key of issue.keys as string[])
        add([...path, key], problems.length < MOST_EXPLAINED ? unknownKey(key, known) : 'unknown key')
    } else if (issue.code === 'invalid_union' && issue.errors.length > 0) {
      const inner = closestOption(issue.errors)
      if (inner) for (const one of inner) visit(one, path)
      else
        add(
          path,
          `came ${show(at(value, path))}, expected ${issue.errors.map((all: any[]) => expectation(all[0])).join(' or ')}${spelling(at(value, path), { values: issue.errors.flatMap((all: any[]) => all[0]?.values ?? []) })}`,
        )
    } else if (issue.code === 'invalid_key') {
      add(path, `is no name, expected ${issue.issues?.[0] ? expectation(issue.issues[0]) : 'another one'}`)
    } else {
      const came = at(value, path)
      add(
        path,
        `${came === undefined ? 'is missing' : `came ${show(came)}`}, expected ${expectation(issue)}${spelling(came, issue)}`,
      )
    }
  }
  for (const issue of error.issues) visit(issue, [])
  return problems
}

/** `unknown key` with the nearest known one, or all of them. */
function unknownKey(key: string, known: readonly string[]): string {
  const near = nearest(key, known)
  return near ? `unknown key; did you mean "${near}"?` : `unknown key; known here: ${known.join(', ') || 'none'}`
}

/** A value as an error shows it: short, with its type. */
export function show(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return `a list of ${value.length}`
  if (typeof value === 'object') return `an object with ${Object.keys(value).slice(0, 5).join(', ') || 'no keys'}`
  const text =
    typeof value === 'string' ? JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}…` : value) : String(value)
  return `${text} (${typeof value})`
}

export function dotted(path: Path): string {
  return path.length === 0 ? 'recipe' : path.map((part) => String(part).slice(0, 100)).join('.')
}

/** The union's branch that the value was meant for: the one whose faults lie deeper than the value's own type. */
function closestOption(options: any[][]): any[] | undefined {
  return options.find((issues) => issues.every((issue) => issue.path.length > 0 || issue.code === 'unrecognized_keys'))
}

function spelling(came: unknown, issue: any): string {
  const choices: unknown[] = issue.values ?? issue.options ?? []
  const near = typeof came === 'string' ? nearest(came, choices.map(String)) : undefined
  return near ? `; did you mean "${near}"?` : ''
}

/** What values with a length consist of: one of it, several. */
const PARTS: Record<string, [string, string]> = { string: ['character', 'characters'], array: ['entry', 'entries'] }

function counted(count: number, origin: string): string {
  return `${count} ${PARTS[origin][count === 1 ? 0 : 1]}`
}

function expectation(issue: any): string {
  switch (issue.code) {
    case 'invalid_type':
      return (
        { int: 'a whole number', number: 'a number', record: 'an object', array: 'a list' }[issue.expected as string] ??
        (issue.expected === 'object' ? 'an object' : `a ${issue.expected}`)
      )
    case 'invalid_value':
      return issue.values.length === 1 ? JSON.stringify(issue.values[0]) : `one of ${issue.values.join(', ')}`
    case 'invalid_union':
      if (issue.options) return `one of ${issue.options.join(', ')}`
      return [...new Set((issue.errors ?? []).map((all: any[]) => expectation(all[0])))].join(' or ') || 'another type'
    case 'too_small':
      return PARTS[issue.origin]
        ? `at least ${counted(issue.minimum, issue.origin)}`
        : `a number ${issue.inclusive ? '≥' : '>'} ${issue.minimum}`
    case 'too_big':
      return PARTS[issue.origin]
        ? `at most ${counted(issue.maximum, issue.origin)}`
        : `a number ${issue.inclusive ? '≤' : '<'} ${issue.maximum}`
    case 'invalid_format':
      return /^Invalid/.test(issue.message) ? `text like ${issue.pattern}` : issue.message
    default:
      return issue.message
  }
}

function at(value: unknown, path: Path): unknown {
  return path.reduce<any>((inner, key) => (inner === null || inner === undefined ? undefined : inner[key]), value)
}

/** The keys that the schema knows at a path. */
function knownKeys(schema: Schema, path: Path, value: unknown): string[] {
  let reached: Schema[] = [schema]
  let inner: any = value
  for (const step of [...path, undefined]) {
    reached = reached.flatMap((one) => unwrap(one, inner))
    if (step === undefined) break
    reached = reached.flatMap((one) => {
      const { type, valueType, element } = one.def
      if (type === 'object') return one.shape?.[step] ? [one.shape[step]] : []
      return type === 'record' ? [valueType] : type === 'array' ? [element] : []
    })
    inner = inner?.[step]
  }
  return [...new Set(reached.flatMap((one) => Object.keys(one.shape ?? {})))]
}

/** Objects behind defaults, optionals and unions; of a union by `kind` or the like only the branch that the value names. */
function unwrap(schema: Schema, value: any): Schema[] {
  const { innerType, options } = schema.def
  if (innerType) return unwrap(innerType, value)
  if (!options) return [schema]
  const branches = (options as Schema[]).flatMap((option) => unwrap(option, value))
  const key = schema.def.discriminator ?? 'kind'
  const kind = value?.[key]
  const named = branches.filter((branch) => kind !== undefined && branch.shape?.[key]?.def.values?.includes(kind))
  return named.length > 0 ? named : branches
}
