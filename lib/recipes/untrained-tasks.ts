/** Tasks that a checkpoint holds and its own stage did not train: what they score there is no result of the run. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { readTrainingState, STATE_FILE } from '../training/index.js'
import { type ResolvedRecipe, stagesOf } from './resolve-recipe.js'

/** One warning for all of them, with the steps of the checkpoints that are theirs. */
export async function untrainedTaskWarnings(
  folder: string,
  recipe: ResolvedRecipe | undefined,
  tasks: readonly string[],
): Promise<string[]> {
  if (!recipe?.stages || !existsSync(join(folder, STATE_FILE))) return []
  const { stage, finished } = await readTrainingState(folder)
  const stages = stagesOf(recipe)
  const own = stages.find(({ name }) => name === stage.name)?.tasks
  const others = own ? tasks.filter((task) => !own.includes(task)) : []
  if (others.length === 0) return []
  const places = others.map((task) => {
    const last = finished.findLast(({ name }) => stages.some((one) => one.name === name && one.tasks.includes(task)))
    return last ? `${task} (stage ${last.name} ended with step-${last.step})` : task
  })
  return [
    `this checkpoint is of stage ${stage.name}, which does not train ${places.join(', ')}: their scores here are not what the run reached; evaluate their own checkpoints`,
  ]
}
