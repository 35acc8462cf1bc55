/** What a recipe's pruning means for model and stages, and what keeps it from working. */
import type { PruningSchedule } from '../training/index.js'
import type { PenaltyPruning, RecipePruning } from './pruning-schema.js'
import type { RecipeProblem } from './recipe-problems.js'
import { stagesOf } from './recipe-stages.js'
import type { ResolvedRecipe, ResolvedStage } from './resolve-recipe.js'

/** What stays as it is while the blocks are pruned, as in the code published with Sanh et al. 2020 (arXiv 2005.07683). */
export const FROZEN_BY_PRUNING = 'bert.embeddings.'

/** λ as published, where the recipe gives none. */
const PENALTIES = { 'soft-movement': 400, l0: 125 } as const

/** The schedule of the stage `index`: the first one prunes, and so does each from the initial weights; others stay where it ended. */
export function pruningSchedule(
  pruning: RecipePruning,
  { startFrom }: Pick<ResolvedStage, 'startFrom'>,
  index: number,
): PruningSchedule {
  const way = thresholds(pruning)
  return {
    initialThreshold: index === 0 || startFrom === 'initial' ? way.from : way.to,
    finalThreshold: way.to,
    penalty: penaltyOf(pruning),
    initialWarmup: pruning.initialWarmup,
    finalWarmup: pruning.finalWarmup,
    scoreLearningRate: 'scoreLearningRate' in pruning ? pruning.scoreLearningRate : 1,
  }
}

function thresholds(pruning: RecipePruning): { from: number; to: number } {
  switch (pruning.method) {
    case 'magnitude':
    case 'movement':
      return { from: pruning.initialDensity, to: pruning.finalDensity }
    case 'soft-movement':
      return { from: 0, to: pruning.threshold }
    case 'l0':
      return { from: 1, to: 1 }
  }
}

/** λ: what the recipe says, else the published one. */
export function penaltyOf(pruning: RecipePruning): number {
  return 'search' in pruning ? (pruning.penalty ?? PENALTIES[pruning.method]) : 0
}

/** Whether the penalty must be searched for before the run. */
export function searchesPenalty(pruning: RecipePruning | undefined): pruning is PenaltyPruning {
  return (
    pruning !== undefined && 'search' in pruning && pruning.finalDensity !== undefined && pruning.penalty === undefined
  )
}

/** Faults of a recipe that prunes. */
export function pruningFaults(recipe: ResolvedRecipe): RecipeProblem[] {
  const { pruning } = recipe
  if (!pruning) return []
  const problems: RecipeProblem[] = []
  const heads = Object.keys(recipe.heads)
  if (heads.length > 0) {
    const message = `prunes while labelled tasks are trained, but the recipe trains ${heads.join(', ')} on text, expected a recipe of labelled tasks alone; prune when the encoder is fine-tuned`
    problems.push({ key: 'pruning', message })
  }
  if ('initialDensity' in pruning && pruning.initialDensity < pruning.finalDensity) {
    const message = `came ${pruning.initialDensity}, expected at least pruning.finalDensity = ${pruning.finalDensity}`
    problems.push({ key: 'pruning.initialDensity', message })
  }
  const stages = stagesOf(recipe)
  const adapted = stages.findIndex(({ train }) => train === 'adapters')
  if (adapted >= 0) {
    const key = recipe.stages?.[adapted]?.train ? `stages.${adapted}.train` : 'train'
    problems.push({
      key,
      message: 'came "adapters", expected "all": the encoder\'s own weights are pruned, and so trained',
    })
  }
  return [...problems, ...pauseFaults(pruning, stages[0], recipe.stages ? 'stages.0.schedule' : 'schedule')]
}

/** Both pauses must leave some of the budget between them. */
function pauseFaults(pruning: RecipePruning, { schedule, budget }: ResolvedStage, at: string): RecipeProblem[] {
  const { initialWarmup, finalWarmup } = pruning
  const paused = (initialWarmup + finalWarmup) * schedule.warmup
  const whole = schedule.warmup < 1 ? 1 : budget.steps
  if (whole === undefined || paused < whole) return []
  const unit = schedule.warmup < 1 ? 'of the budget' : 'steps'
  const message = `is (${initialWarmup} + ${finalWarmup}) × ${at}.warmup = ${paused} ${unit}, expected less than ${whole}: pruning has no step between its pauses`
  return [{ key: 'pruning.initialWarmup + pruning.finalWarmup', message }]
}
