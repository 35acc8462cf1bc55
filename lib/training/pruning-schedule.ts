/**
 * How far pruning has gone: a cubic way from one threshold to another (Zhu & Gupta 2017, arXiv 1710.01878) with a pause before and
 * after it that is counted in warm-ups of the learning rate, and a penalty that grows with the threshold; as in the code published
 * with Sanh, Wolf & Rush 2020 (arXiv 2005.07683). Pure functions of the place in the stage.
 *
 *     v_t = v_f + (v_i - v_f) (1 - (t - i_w W) / (T - (i_w + f_w) W))^3      lambda_t = lambda_f v_t / v_f
 */
import { StrataError } from '../errors.js'
import { type ModelConfig, PRUNING_METHODS, type PruningState } from '../model/index.js'
import type { SchedulePlace } from './schedules.js'
import type { PruningSchedule, Stage } from './types.js'

/** What holds after `step` updates; `warmup` is the learning rate's (a share of the budget below 1, else steps). */
export function pruningAt(schedule: PruningSchedule, warmup: number, place: SchedulePlace): PruningState {
  const { initialThreshold: from, finalThreshold: to, penalty } = schedule
  const x = wayGone(schedule, warmup, place)
  const left = 1 - x
  const threshold = to + (from - to) * left * left * left
  return { threshold, penalty: to === 0 ? penalty : (penalty * threshold) / to }
}

/** 0 until the first pause is over, 1 from the start of the last one. */
function wayGone(schedule: PruningSchedule, warmup: number, { step, progress }: SchedulePlace): number {
  if (progress >= 1) return 1
  if (step === 0) return 0
  // A number of steps is turned into a share by the progress per step so far: exact for a budget in steps.
  const unit = warmup < 1 ? warmup : (progress * warmup) / step
  const begin = schedule.initialWarmup * unit
  const end = 1 - schedule.finalWarmup * unit
  if (progress <= begin) return 0
  return progress >= end ? 1 : (progress - begin) / (end - begin)
}

/** Throws BAD_ARGUMENT when a stage's pruning does not fit the model, or a number is out of range. */
export function checkPruning({ name, pruning }: Stage, config: ModelConfig): void {
  if (!pruning) return
  const refuse: (came: string, expected: string) => never = (came, expected) => {
    throw new StrataError('BAD_ARGUMENT', `stage ${name}: ${came}, ${expected} was expected`)
  }
  if (!config.pruning) refuse('it prunes', 'a model whose configuration has pruning')
  const { threshold, hasPenalty } = PRUNING_METHODS[config.pruning.method]
  const { initialThreshold, finalThreshold, penalty, initialWarmup, finalWarmup, scoreLearningRate } = pruning
  for (const [key, value] of Object.entries({ initialThreshold, finalThreshold })) {
    const low = threshold === 'density' ? value > 0 : value >= 0
    if (!(low && value <= 1)) refuse(`pruning.${key} is ${value}`, `a number from 0 to 1${low ? '' : ', above 0'}`)
  }
  for (const [key, value] of Object.entries({ penalty, initialWarmup, finalWarmup })) {
    if (!(value >= 0 && Number.isFinite(value))) refuse(`pruning.${key} is ${value}`, 'a number >= 0')
  }
  if (penalty > 0 && !hasPenalty) refuse(`pruning.penalty is ${penalty}`, `0 for ${config.pruning.method}`)
  if (!(scoreLearningRate > 0 && Number.isFinite(scoreLearningRate))) {
    refuse(`pruning.scoreLearningRate is ${scoreLearningRate}`, 'a number > 0')
  }
}
