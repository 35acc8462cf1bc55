import { laterPasses } from '../data/index.js'
import { StrataError } from '../errors.js'
import { metricsTold, scoreTask } from '../evaluation/index.js'
import type { OpenedTask, TaskScores } from '../tasks/index.js'
import type { Tokenizer } from '../text/index.js'
import type { Stage, TrainingTask } from '../training/index.js'
import { recipeSource } from './pretraining-sources.js'
import { FROZEN_BY_PRUNING, pruningSchedule } from './pruning-of-recipe.js'
import { PRETRAINING, stagesOf } from './recipe-stages.js'
import { savedTask } from './recipe-tasks.js'
import type { ResolvedRecipe, ResolvedStage } from './resolve-recipe.js'
import type { RunData } from './run-data.js'
import type { RunText } from './run-text.js'

/** The stages of a recipe with its data, as the trainer takes them. Throws BAD_DATA for a task without training examples. */
export function trainingStages(recipe: ResolvedRecipe, data: RunData): Stage[] {
  return stagesOf(recipe).map((stage, index) => trainingStage(recipe, stage, data, index))
}

function trainingStage(recipe: ResolvedRecipe, stage: ResolvedStage, data: RunData, index: number): Stage {
  const besideText = data.text !== undefined && stage.heads.length > 0
  const earlier = stagesOf(recipe).slice(0, index)
  const tasks: TrainingTask[] = data.tasks
    .filter(({ name }) => stage.tasks.includes(name))
    .map((task) => {
      const stagesBefore = earlier.filter(({ tasks }) => tasks.includes(task.name)).length
      return labelledTask(task, { adapter: savedTask(recipe, task).adapter, besideText, stagesBefore })
    })
  if (data.text && besideText) {
    const stagesBefore = earlier.filter(({ heads }) => heads.length > 0).length
    tasks.unshift(pretrainingTask(recipe, stage, { tokenizer: data.tokenizer, text: data.text, stagesBefore }))
  }
  return {
    name: stage.name,
    tasks,
    sampler: stage.sampler,
    optimizer: stage.optimizer,
    schedule: stage.schedule,
    clip: stage.clip,
    pruning: recipe.pruning && pruningSchedule(recipe.pruning, stage, index),
    budget: stage.budget,
    accumulation: stage.batch.accumulation,
    accumulationRamp: stage.batch.accumulationRamp,
    freeze: recipe.pruning ? [...new Set([...stage.freeze, FROZEN_BY_PRUNING])] : stage.freeze,
    train: stage.train,
    startFrom: stage.startFrom,
    startFromBest: stage.startFromBest,
  }
}

/** All self-supervised heads of a stage on one forward pass. `stagesBefore`: earlier stages with text, whose passes do not come again. */
function pretrainingTask(
  recipe: ResolvedRecipe,
  stage: ResolvedStage,
  { tokenizer, text, stagesBefore }: { tokenizer: Tokenizer; text: RunText; stagesBefore: number },
): TrainingTask {
  const common = { tokenizer, heads: stage.heads, batch: stage.batch }
  const training = recipeSource(recipe, { ...common, view: text.training, evaluation: false })
  const evaluation = text.heldOut && recipeSource(recipe, { ...common, view: text.heldOut, evaluation: true })
  return { name: PRETRAINING, heads: [...stage.heads], source: laterPasses(training, stagesBefore), evaluation }
}

/**
 * `besideText`: sizes are then compared in batches, since text has no examples. `stagesBefore`: earlier stages with this task, whose orders
 * of its rows do not come again.
 */
function labelledTask(
  task: OpenedTask,
  { adapter, besideText, stagesBefore }: { adapter?: string; besideText: boolean; stagesBefore: number },
): TrainingTask {
  const { name, head, train, evaluation } = task
  if (!train) throw new StrataError('BAD_DATA', `task ${name} has no training examples, expected a split "train"`)
  return {
    name,
    heads: [head],
    source: laterPasses(train, stagesBefore),
    examples: besideText ? undefined : train.examples,
    fingerprint: train.fingerprint(),
    adapter,
    metrics: Object.fromEntries(Object.keys(evaluation).map((split) => [split, metricsTold(task)])),
    score: async (model, options) => {
      const scores: Record<string, TaskScores> = {}
      for (const split of Object.keys(evaluation)) scores[split] = await scoreTask(model, task, split, options)
      return scores
    },
  }
}
