import { readFile, stat } from 'node:fs/promises'
import { extname, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Document, isScalar, LineCounter, parseDocument, visit } from 'yaml'
import { fileError, StrataError } from '../errors.js'
import { isValues, type Values } from './merge.js'
import { findNamedRecipe, unknownRecipe } from './named-recipes.js'
import type { Locate } from './recipe-problems.js'

/** A recipe's own values and where they came from. */
export interface RecipeSource {
  values: Values
  /** Name for messages: the recipe's name or the file's path. */
  label: string
  locate?: Locate
}

/** Most bytes of a recipe file: anything larger is some other file. The YAML library needs seconds for a megabyte. */
const MAX_RECIPE_BYTES = 262_144
/** No recipe is nested so deep; the readers behind this one may recurse. */
const DEEPEST_RECIPE = 64

/** A named recipe, or a recipe file (.yaml, .yml, .json, or a module .js, .mjs, .cjs, .ts with the recipe as default export). */
export async function loadRecipe(nameOrFile: string): Promise<RecipeSource> {
  if (findNamedRecipe(nameOrFile)) return { values: { extends: nameOrFile, name: nameOrFile }, label: nameOrFile }
  const extension = extname(nameOrFile).toLowerCase()
  const looksLikeFile = /[\\/]/.test(nameOrFile) || extension !== ''
  if (!looksLikeFile) throw unknownRecipe(nameOrFile)
  return loadSettingsFile(nameOrFile, 'recipe')
}

/** The values of a .yaml, .yml or .json file, or of a module .js, .mjs, .cjs or .ts with them as default export. */
export async function loadSettingsFile(file: string, what: 'recipe' | 'experiment'): Promise<RecipeSource> {
  const path = resolve(file)
  const extension = extname(file).toLowerCase()
  if (['.js', '.mjs', '.cjs', '.ts', '.mts', '.cts'].includes(extension)) return settingsModule(path, file, what)
  let text: string
  try {
    const status = await stat(path)
    // A pipe would be waited for without end.
    if (!status.isFile() && !status.isDirectory()) throw new StrataError('BAD_RECIPE', `${file} is no plain file`)
    const { size } = status
    if (size > MAX_RECIPE_BYTES) {
      throw new StrataError(
        'BAD_RECIPE',
        `${file} has ${size} bytes, ${what === 'recipe' ? 'a recipe' : 'an experiment'} has at most ${MAX_RECIPE_BYTES}; is it the right file?`,
      )
    }
    text = await readFile(path, 'utf8')
  } catch (error) {
    throw fileError(error, file, `read the ${what}`)
  }
  return parseRecipeText(text, file)
}

/** Reads YAML or JSON (a subset of YAML) and remembers the lines of the keys. */
export function parseRecipeText(text: string, label: string): RecipeSource {
  const lineCounter = new LineCounter()
  let document: ReturnType<typeof parseDocument>
  let values: unknown
  let twice: number | undefined
  try {
    if (opensDeeperThan(text, 10 * DEEPEST_RECIPE)) throw new Error('the brackets are nested without end')
    document = parseDocument(text, { lineCounter, prettyErrors: true, uniqueKeys: false, logLevel: 'error' })
    if (document.errors.length === 0) {
      twice = secondKey(document)
      values = document.toJS({ maxAliasCount: 100 })
      if (!isTree(values, DEEPEST_RECIPE))
        throw new Error(`it is nested more than ${DEEPEST_RECIPE} deep, or in itself`)
    }
  } catch (error) {
    // Too many aliases, or brackets nested beyond the stack.
    throw new StrataError('BAD_RECIPE', `${label}: no valid YAML or JSON: ${(error as Error).message}`, {
      cause: error,
    })
  }
  if (twice !== undefined) {
    const { line, col } = lineCounter.linePos(twice)
    const key = /^[^:\n]*/.exec(text.slice(twice))![0].trim().slice(0, 60)
    throw new StrataError(
      'BAD_RECIPE',
      `${label} line ${line}, column ${col}: ${key} stands here a second time, keys must be unique; rename or remove one`,
    )
  }
  // A warning (an unknown tag or directive) is no recipe either.
  const fault = document.errors[0] ?? document.warnings[0]
  if (fault) {
    const line = fault.linePos?.[0]
    const place = line ? ` line ${line.line}, column ${line.col}` : ''
    throw new StrataError(
      'BAD_RECIPE',
      `${label}${place}: no valid YAML or JSON: ${fault.message.split('\n')[0].slice(0, 300)}`,
    )
  }
  if (!isValues(values)) {
    throw new StrataError(
      'BAD_RECIPE',
      `${label}: came ${values === null ? 'an empty file' : 'no object'}, expected keys like "encoder:" and "heads:"`,
    )
  }
  const locate: Locate = (path) => {
    for (let length = path.length; length > 0; length--) {
      const node: any = document.getIn(path.slice(0, length), true)
      if (node?.range) return `${label} line ${lineCounter.linePos(node.range[0]).line}`
    }
    return undefined
  }
  return { values, label, locate }
}

/** Where a key stands that its map has already; undefined when there is none. The library's own check takes time with the square of the keys. */
function secondKey(document: Document): number | undefined {
  let place: number | undefined
  visit(document, {
    Map: (_, { items }) => {
      const seen = new Set<string>()
      for (const { key } of items) {
        if (!isScalar(key)) continue
        // As the key of an object: 1 and "1" are one.
        const name = String(key.value)
        if (seen.has(name)) {
          place = key.range?.[0] ?? 0
          return visit.BREAK
        }
        seen.add(name)
      }
    },
  })
  return place
}

/** Brackets opened and not closed, wherever they stand: a bound on what the parser would recurse into. */
function opensDeeperThan(text: string, most: number): boolean {
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    const symbol = text[at]
    if (symbol === '[' || symbol === '{') depth++
    else if ((symbol === ']' || symbol === '}') && depth > 0) depth--
    if (depth > most) return true
  }
  return false
}

/** False for what is nested deeper, or (by an alias inside its own anchor) without end. */
function isTree(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return true
  return depth > 0 && Object.values(value).every((inner) => isTree(inner, depth - 1))
}

async function settingsModule(path: string, label: string, what: string): Promise<RecipeSource> {
  let loaded: any
  try {
    await stat(path)
    loaded = await import(pathToFileURL(path).href)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall === 'stat') throw fileError(error, label, `read the ${what}`)
    const hint = /\.[mc]?ts$/.test(path) ? '; TypeScript needs a loader: NODE_OPTIONS="--import tsx"' : ''
    throw new StrataError('BAD_RECIPE', `${label}: the module failed to load: ${(error as Error).message}${hint}`, {
      cause: error,
    })
  }
  // A CommonJS module arrives with its exports under `default`, once or twice.
  let values = loaded.default ?? loaded[what]
  if (isValues(values) && '__esModule' in values && 'default' in values) values = values.default
  if (!isValues(values)) {
    throw new StrataError(
      'BAD_RECIPE',
      `${label}: the module has no ${what}; write "export default define${what === 'recipe' ? 'Recipe' : 'Experiment'}({ … })"`,
    )
  }
  return { values, label }
}
