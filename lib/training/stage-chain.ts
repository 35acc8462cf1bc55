/** Stages that begin with the weights of an earlier one: which checkpoint that is, and how long it must stay. */
import { StrataError } from '../errors.js'
import type {
  BestScore,
  EarlyStoppingSettings,
  FinishedStage,
  Stage,
  StageEnd,
  StageState,
  TrainingState,
} from './types.js'

/** Index of the stage whose weights the stage begins with, or `initial`; undefined for the model as it is. */
function startOf(stages: readonly Stage[], index: number): number | 'initial' | undefined {
  const { startFrom = 'previous', startFromBest = false } = stages[index]
  if (startFrom === 'initial') return index > 0 ? 'initial' : undefined
  if (startFrom !== 'previous') return stages.findIndex(({ name }) => name === startFrom)
  return startFromBest ? index - 1 : undefined
}

/** Throws BAD_ARGUMENT when a stage cannot begin where it says. */
export function checkChain(stages: readonly Stage[], hasRunFolder: boolean, hasBest: boolean): void {
  stages.forEach(({ name, startFrom, startFromBest }, index) => {
    const refuse = (came: string, expected: string): never => {
      throw new StrataError('BAD_ARGUMENT', `stage ${name}: ${came}, ${expected} was expected`)
    }
    if (name === 'previous') refuse('is named previous, which means the stage before', 'another name')
    if (name === 'initial') refuse('is named initial, which means the weights before the first stage', 'another name')
    const known = ['previous', 'initial', ...stages.slice(0, index).map((stage) => stage.name)]
    if (startFrom !== undefined && !known.includes(startFrom)) refuse(`startFrom is ${startFrom}`, known.join(', '))
    if (startFromBest && startFrom === 'initial') {
      refuse('startFromBest is set and startFrom is initial', 'an earlier stage, which has a best checkpoint,')
    }
    if (startFromBest && index === 0) refuse('startFromBest is set in the first stage', 'a stage before it')
    if (startFromBest && !hasBest) refuse('startFromBest is set', 'checkpoint.best with a metric to judge by')
    if (startOf(stages, index) !== undefined && !hasRunFolder) {
      refuse('it starts from earlier weights', 'a run folder, whose checkpoints hold them,')
    }
  })
}

/** Some stage begins with the weights before the first step: they need a checkpoint of their own. */
export function needsInitial(stages: readonly Stage[]): boolean {
  return stages.some((_, index) => startOf(stages, index) === 'initial')
}

/** Step of the checkpoint that the stage `index` begins with; undefined for the model as it is. */
export function startStep(
  stages: readonly Stage[],
  index: number,
  finished: readonly FinishedStage[],
): { step: number; stage?: FinishedStage; isBest?: boolean } | undefined {
  const from = startOf(stages, index)
  if (from === undefined) return undefined
  if (from === 'initial') return { step: 0 }
  const stage = finished[from]
  if (!stage) {
    const message = `stage ${stages[index].name} starts from stage ${stages[from].name}, of whose end the run knows nothing; start a new run folder`
    throw new StrataError('BAD_CHECKPOINT', message)
  }
  const best = stages[index].startFromBest ? stage.best : undefined
  return { step: (best ?? stage).step, stage, isBest: best !== undefined }
}

/**
 * Steps whose checkpoints must stay whatever the retention says, beside the best one. Those that the running stage started from are among them:
 * should its newest checkpoint prove damaged, the run begins the stage again.
 */
export function pinnedSteps(stages: readonly Stage[], state: TrainingState, keepStages: boolean): Set<number> {
  const steps = new Set<number>()
  const needed = stages.map((_, index) => (index < state.stage.index ? undefined : startOf(stages, index)))
  if (needed.includes('initial')) steps.add(0)
  state.finished.forEach((stage, index) => {
    if (!keepStages && !needed.includes(index)) return
    steps.add(stage.step)
    if (stage.best) steps.add(stage.best.step)
  })
  return steps
}

/** The best of the running stage or, while it has none, of the last stage that had one. */
export function latestBest(state: Pick<TrainingState, 'best' | 'finished'>): BestScore | undefined {
  return state.best ?? state.finished.findLast((stage) => stage.best)?.best
}

/** The running stage as a finished one. */
export function stageAtEnd({ step, stage, best }: TrainingState): FinishedStage {
  return {
    name: stage.name,
    step,
    endedBy: stage.endedBy ?? 'budget',
    scores: stage.scores ?? { heads: {}, tasks: {} },
    ...(best && { best }),
  }
}

/** What ended a stage, in a word and in a sentence. */
export function stageEnd(
  { budget }: Stage,
  { endedBy, patience }: StageState,
  earlyStopping?: EarlyStoppingSettings,
): { endedBy: StageEnd; reason: string } {
  if (endedBy === undefined) {
    const { total, ...own } = budget
    const [[unit, share]] = Object.entries(own).filter(([, value]) => value !== undefined)
    // Shares of hours are sums of binary fractions: 2.4000000000000004.
    const amount = Number(share.toPrecision(12))
    // What an earlier stage took too much, this one lacks.
    const whole = total === undefined ? '' : ` (${total} with the stages before)`
    return { endedBy: 'budget', reason: `the budget of ${amount} ${unit}${whole} is spent` }
  }
  const [misses, score] = [patience?.misses, patience?.score?.toPrecision(4) ?? 'none']
  return { endedBy, reason: `${earlyStopping?.metric} (best: ${score}) did not get better in ${misses} evaluations` }
}
