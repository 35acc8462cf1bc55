import { StrataError } from '../errors.js'
import { type Stage, train } from '../training/index.js'
import { type PenaltyTrial, searchPenalty } from './penalty-search.js'
import { penaltyOf, searchesPenalty } from './pruning-of-recipe.js'
import type { ResolvedRecipe } from './resolve-recipe.js'
import type { RunData } from './run-data.js'
import { openRunModel } from './run-model.js'
import { trainingStages } from './training-stages.js'

/** The recipe with the penalty that leaves its final density, found by short runs that leave nothing behind. */
export async function withPenalty(
  recipe: ResolvedRecipe,
  data: RunData,
  options: { onProgress?: (line: string) => void; signal?: AbortSignal },
): Promise<{ recipe: ResolvedRecipe; notes: string[] }> {
  const { pruning } = recipe
  if (!searchesPenalty(pruning)) return { recipe, notes: [] }
  const { share, ...limits } = pruning.search
  const withTrial = (penalty: number): ResolvedRecipe => ({ ...recipe, pruning: { ...pruning, penalty } })
  const say = ({ penalty, density }: PenaltyTrial) =>
    `pruning.penalty ${penalty.toPrecision(4)} leaves ${(100 * density).toFixed(1)} % of the weights`
  const found = await searchPenalty({
    ...limits,
    finalDensity: pruning.finalDensity!,
    start: penaltyOf(pruning),
    onTrial: (trial) => options.onProgress?.(say(trial)),
    densityOf: async (penalty) => {
      const trial = withTrial(penalty)
      const { model } = await openRunModel(trial, data, '', false)
      try {
        const stages = [shortened(trainingStages(trial, data)[0], share)]
        const settings = {
          seed: recipe.seed,
          evaluateEverySteps: 0,
          checkpoint: { everySteps: 0, keep: 1 },
          logEverySteps: 0,
        }
        const { onNonFinite, prefetchWorkers } = recipe
        const policy = onNonFinite === 'rollback' ? 'stop' : onNonFinite
        const { signal } = options
        const result = await train({
          model,
          stages,
          settings: { ...settings, onNonFinite: policy, prefetchWorkers },
          signal,
        })
        if (result.status === 'interrupted') {
          throw new StrataError('ABORTED', 'stopped while the penalty of pruning was searched for; nothing was written')
        }
        return result.pruning!.density
      } finally {
        await model.dispose()
      }
    },
  })
  const runs = `${found.runs} ${found.runs === 1 ? 'run' : 'runs'} of ${share} of the budget`
  return {
    recipe: withTrial(found.penalty),
    notes: [`${say(found)} in the nearest of ${runs}, wished ${100 * pruning.finalDensity!} %`],
  }
}

/** A run that is gone on with keeps the penalty that was found when it began. */
export function withPenaltyOf(recipe: ResolvedRecipe, before: ResolvedRecipe): ResolvedRecipe {
  const { pruning } = recipe
  if (!searchesPenalty(pruning) || !before.pruning || !('penalty' in before.pruning)) return recipe
  return { ...recipe, pruning: { ...pruning, penalty: before.pruning.penalty } }
}

/** A stage with a share of its budget and nothing to score. Its scores learn faster by as much: in fewer updates they come as far. */
function shortened(stage: Stage, share: number): Stage {
  const { budget, schedule, tasks, pruning } = stage
  const part = (value: number | undefined) => value && value * share
  const steps = budget.steps && Math.max(1, Math.round(budget.steps * share))
  const warmup = schedule.warmup < 1 ? schedule.warmup : Math.max(1, Math.round(schedule.warmup * share))
  return {
    ...stage,
    tasks: tasks.map(({ score: _, evaluation: __, ...task }) => task),
    budget: { steps, tokens: part(budget.tokens), epochs: part(budget.epochs), hours: part(budget.hours) },
    schedule: { ...schedule, warmup },
    pruning: pruning && { ...pruning, scoreLearningRate: pruning.scoreLearningRate / share },
  }
}
