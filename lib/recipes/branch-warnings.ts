/** Which of a run's ends a checkpoint is, where its stages do not each go on from the one before. */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { ModelFolder } from '../model/index.js'
import { readTrainingState } from '../training/index.js'
import { stagesOf } from './recipe-stages.js'
import type { ResolvedRecipe } from './resolve-recipe.js'
import { recipeSchema } from './schema.js'

/**
 * For a checkpoint that was taken as its run's newest: a run that refines on all tasks and then fine-tunes each of them from there, or each
 * from the same start, has several ends, of which the newest is that of one task. Tells it with what the other stages ended with; none
 * for a run in one line.
 */
export async function branchWarnings({ folder, strata }: ModelFolder): Promise<string[]> {
  const { success, data } = recipeSchema.safeParse(strata?.extra.recipe)
  // Without its state the weights are whole all the same.
  const state = success ? await readTrainingState(folder).catch(() => undefined) : undefined
  if (!success || !state) return []
  const begun = stagesOf(data as unknown as ResolvedRecipe).slice(0, state.stage.index + 1)
  const goesOn = (from: string | undefined, index: number) =>
    index === 0 || from === undefined || from === 'previous' || from === begun[index - 1].name
  if (begun.every(({ startFrom }, index) => goesOn(startFrom, index))) return []
  const ends = state.finished
    .slice(0, state.stage.index)
    .map(({ name, step }) => ({ name, path: join(dirname(folder), `step-${step}`) }))
    .filter(({ path }) => existsSync(path))
  const others =
    ends.length > 0
      ? `give a folder of another stage to start from its end: ${ends.map(({ name, path }) => `${path} (${name})`).join(', ')}`
      : 'those of the other stages are gone; checkpoint.keepStages keeps them'
  return [
    `init: the run's newest checkpoint ${folder} is of stage ${state.stage.name}, and the stages before it do not all lead there; ${others}`,
  ]
}
