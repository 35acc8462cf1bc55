/**
 * Runs of an earlier version of the package: their recipes lack keys that have come since, or the middle of large files is not in their
 * hashes, so that these are others.
 */
import { join } from 'node:path'
import { type ResolvedRecipe, recipeSchema } from '../recipes/index.js'
import type { Fingerprints } from './fingerprint.js'
import { endsInId, type FolderNames, RECIPE_FILE, readJson } from './job-folder.js'
import { type StartOfRun, trainId } from './train-id.js'

/**
 * The id of a run in one of the folders whose recipe becomes this one when the keys that it lacks take their defaults, which compute what that
 * version did. Its hash must still come out of its recipe and of these data and this start: nothing else has changed.
 */
export async function earlierId(
  { runsPath, existing }: FolderNames,
  place: StartOfRun & { step: string; seed: number },
  recipe: ResolvedRecipe,
  id: string,
  fingerprints: Fingerprints,
): Promise<string | undefined> {
  for (const name of existing) {
    if (!name.includes(`.${place.step}.${place.seed}.`)) continue
    const kept = readJson<ResolvedRecipe>(join(runsPath, name, RECIPE_FILE))
    if (!kept) continue
    // Files may lie elsewhere since; their content is in the hash.
    const tokenizer = kept.tokenizer === kept.init ? recipe.init : kept.tokenizer
    const found = {
      ...kept,
      data: recipe.data,
      init: recipe.init,
      tokenizer: typeof tokenizer === 'string' ? recipe.tokenizer : kept.tokenizer,
    }
    for (const files of [fingerprints, fingerprints.earlier]) {
      const own = await trainId(found, place, files)
      const completed = endsInId(name, own) ? recipeSchema.safeParse(found).data : undefined
      if (completed && (await trainId({ ...found, ...(completed as object) }, place, fingerprints)) === id) return own
    }
  }
  return undefined
}
