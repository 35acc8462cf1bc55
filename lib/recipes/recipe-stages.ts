/** The stages of a resolved recipe: written out, each with what it leaves to the recipe. */
import { activeRelations, agreementStages, withSubmodelRate } from './agreements-of-recipe.js'
import type { ResolvedRecipe, ResolvedStage } from './resolve-recipe.js'

/** The joint task of a stage's self-supervised heads, as samplers, logs and scores name it. */
export const PRETRAINING = 'pretraining'

/** The stages of a recipe; a one-stage recipe has its keys at the top. */
export function stagesOf(recipe: ResolvedRecipe): ResolvedStage[] {
  return writtenStages(recipe).map((stage) => withSubmodelRate(recipe, { ...stage, sampler: ownSampler(stage) }))
}

/** What a stage draws from: the self-supervised heads together, and each labelled task. */
export function drawnNames({ heads, tasks }: Pick<ResolvedStage, 'heads' | 'tasks'>): string[] {
  return [...(heads.length > 0 ? [PRETRAINING] : []), ...tasks]
}

/** Weights that stand for more tasks than the stage has are those of its own; one task alone has them all. */
function ownSampler(stage: ResolvedStage): ResolvedStage['sampler'] {
  const { sampler } = stage
  if (sampler.kind !== 'weights') return sampler
  const names = drawnNames(stage)
  if (names.length === 1) return { kind: 'weights', weights: { [names[0]]: 1 } }
  const own = Object.entries(sampler.weights).filter(([name]) => names.includes(name))
  return { kind: 'weights', weights: Object.fromEntries(own) }
}

function writtenStages(recipe: ResolvedRecipe): ResolvedStage[] {
  const allHeads = [...activeRelations(recipe), ...Object.keys(recipe.heads)]
  const allTasks = Object.keys(recipe.tasks)
  const { budget, optimizer, schedule, clip, batch, freeze, sampler, train } = recipe
  if (!recipe.stages) {
    const name = allTasks.length === 0 ? 'pretrain' : allHeads.length === 0 ? 'finetune' : 'train'
    const start = { startFrom: undefined, startFromBest: false }
    const parts = { heads: allHeads, tasks: allTasks, optimizer, schedule, clip, batch, freeze, sampler, train }
    return agreementStages(recipe, { name, budget: budget ?? {}, ...parts, ...start })
  }
  return recipe.stages.flatMap(({ eachTask, ...stage }, index) => {
    const name = stage.name ?? `stage${index}`
    const tasks = stage.tasks ?? allTasks
    const whole: ResolvedStage = {
      ...stage,
      name,
      heads: stage.heads ?? (eachTask ? [] : allHeads),
      tasks,
      sampler: stage.sampler ?? sampler,
      train: stage.train ?? train,
      freeze: stage.freeze ?? freeze,
    }
    if (!eachTask) return [whole]
    const before = stage.startFrom ?? recipe.stages?.[index - 1]?.name ?? (index > 0 ? `stage${index - 1}` : undefined)
    return tasks.map((task) => ({ ...whole, name: `${name}-${task}`, tasks: [task], startFrom: before }))
  })
}
