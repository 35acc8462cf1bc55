/** A run's hand on the masks of its model; a model that is not pruned is left alone. */
import type { Model, PruningReading } from '../model/index.js'
import { pruningAt } from './pruning-schedule.js'
import type { SchedulePlace } from './schedules.js'
import type { Stage } from './types.js'

/** Moves threshold and penalty to where the stage stands. */
export async function movePruning(model: Model, { pruning, schedule }: Stage, place: SchedulePlace): Promise<void> {
  if (pruning) await model.setPruning(pruningAt(pruning, schedule.warmup, place))
}

export async function readPruning(model: Model): Promise<PruningReading | undefined> {
  return model.config.pruning && model.readPruning()
}
