import { resolve } from 'node:path'
import { StrataError } from '../errors.js'
import { readModelFolder } from '../model/index.js'
import { resolveCheckpoint } from '../training/index.js'
import { warn } from '../warn.js'
import { branchWarnings } from './branch-warnings.js'
import { loadRecipe } from './load-recipe.js'
import { isValues, mergeValues, type Values } from './merge.js'
import { type ResolvedRecipe, resolveRecipe } from './resolve-recipe.js'
import { recipeSchema } from './schema.js'

/** What is laid over a recipe while it is opened. */
export interface OpenRecipeOptions {
  /** Values laid over the recipe's own. */
  overlay?: Values
  /** The recipe of a run that is gone on with: its checkpoint to start from need not be there any more. */
  resumed?: ResolvedRecipe
}

/**
 * Loads a recipe by name, file or value and resolves it, the encoder and tokenizer of its `init` checkpoint included. Paths
 * become absolute.
 */
export async function openRecipe(recipe: string | object, options: OpenRecipeOptions = {}): Promise<ResolvedRecipe> {
  const source = typeof recipe === 'string' ? await loadRecipe(recipe) : { values: recipe as Values, label: 'recipe' }
  if (!isValues(source.values))
    throw new StrataError('BAD_RECIPE', 'the recipe is no object; give a name, a file or a recipe value')
  const overlay = { ...options.overlay }
  const { resumed } = options
  const own = mergeValues(source.values, overlay)
  if (own.init === undefined && resumed?.init !== undefined) overlay.init = resumed.init
  const init = await openInit(overlay.init ?? own.init, resumed)
  const resolved = resolveRecipe(source.values, { ...source, overlay, init })
  return withAbsolutePaths(init ? { ...resolved, init: init.folder } : resolved)
}

async function openInit(path: unknown, resumed: ResolvedRecipe | undefined) {
  if (typeof path !== 'string') return undefined
  if (resumed?.init === resolve(path)) return { folder: resumed.init, encoder: { ...resumed.encoder, vocabSize: 0 } }
  const { folder, kind, warnings } = await resolveCheckpoint(path)
  warn(warnings)
  const found = await readModelFolder(folder)
  if (kind === 'run') warn(await branchWarnings(found))
  return { folder, encoder: found.config.encoder }
}

/** A run folder's recipe must mean the same from any working folder. */
function withAbsolutePaths(recipe: ResolvedRecipe): ResolvedRecipe {
  const data = Object.fromEntries(
    Object.entries(recipe.data).map(([slot, files]) => [slot, absoluteFiles(files)]),
  ) as ResolvedRecipe['data']
  const tokenizer = typeof recipe.tokenizer === 'string' ? resolve(recipe.tokenizer) : recipe.tokenizer
  return { ...recipe, data, tokenizer }
}

function absoluteFiles(slot: unknown): unknown {
  if (typeof slot === 'string') return resolve(slot)
  if (Array.isArray(slot)) return slot.map(absoluteFiles)
  if (!isValues(slot) || 'fromTasks' in slot) return slot
  return Object.fromEntries(Object.entries(slot).map(([split, files]) => [split, absoluteFiles(files)]))
}

/** Keys that a resumed run may change: they decide when to stop, save and tell, not what is computed. */
const CHANGEABLE =
  /^(name|description|extends|preset|resolved|device|threads|onNonFinite|prefetchWorkers|taskMegabytes|data|budget|log|checkpoint|evaluation\.every(Steps|Epochs)|stages\.\d+\.budget)(\.|$)/

/**
 * Throws BAD_RECIPE when a recipe differs from the one that its run was started with in what is computed. Keys that the run's
 * version of the package did not have count as their defaults, which compute what that version did.
 */
export function checkResumedRecipe(recipe: ResolvedRecipe, before: ResolvedRecipe): void {
  const { data = before } = recipeSchema.safeParse(before)
  const [now, then] = [leaves(recipe), leaves(data)]
  const changed = [...new Set([...Object.keys(then), ...Object.keys(now)])]
    .filter((key) => !CHANGEABLE.test(key) && now[key] !== then[key])
    .map((key) => `${key}: the run was started with ${then[key] ?? 'nothing'}, now came ${now[key] ?? 'nothing'}`)
  if (changed.length === 0) return
  const shown = changed.slice(0, 8).join('\n  ')
  throw new StrataError(
    'BAD_RECIPE',
    `a resumed run keeps its recipe; give the same values, or start another run\n  ${shown}`,
    {
      details: { changed },
    },
  )
}

function leaves(value: unknown, path = '', into: Record<string, string> = {}): Record<string, string> {
  if (typeof value === 'object' && value !== null) {
    for (const [key, inner] of Object.entries(value)) leaves(inner, path ? `${path}.${key}` : key, into)
  } else if (value !== undefined) into[path] = JSON.stringify(value)
  return into
}
