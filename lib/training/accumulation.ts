/**
 * How many batches make up an optimiser step. With a ramp they grow from 1 to the stage's accumulation: the batch ramp of Cramming
 * (Geiping & Goldstein 2022, arXiv 2212.14034; torch_default.py), whose batch size at x is min((⌊x·B/(r·m)⌋ + 1)·m, B) with target
 * B, micro-batch m and r the ramp's share of the budget; in batches, A = B/m, that is min(⌊x·A/r⌋ + 1, A).
 *
 * The count follows from the place in the stage alone, so a resumed run goes on with the count that it would have had.
 */
import { StrataError } from '../errors.js'
import type { StageState } from './types.js'

export interface AccumulationRamp {
  /** Batches of a step at the end of the ramp. */
  accumulation: number
  /** Share of the budget (< 1) or number of batches (≥ 1) over which they grow; 0 or missing: they do not. */
  accumulationRamp?: number
}

/** Throws BAD_ARGUMENT on a ramp that is neither a share nor a whole number. */
export function checkRamp({ accumulationRamp = 0 }: AccumulationRamp): void {
  if (accumulationRamp >= 0 && (accumulationRamp < 1 || Number.isInteger(accumulationRamp))) return
  throw new StrataError(
    'BAD_ARGUMENT',
    `accumulationRamp is ${accumulationRamp}, a share of the budget in [0, 1) or a whole number of batches was expected`,
  )
}

/**
 * Batches of the next optimiser step.
 *
 * @param progress share of the budget that is spent, 0 … 1
 * @param batches batches that the stage has taken
 */
export function batchesAt(
  { accumulation, accumulationRamp = 0 }: AccumulationRamp,
  progress: number,
  batches: number,
): number {
  if (accumulationRamp === 0) return accumulation
  const x = accumulationRamp < 1 ? progress : batches
  return Math.min(Math.floor((x * accumulation) / accumulationRamp) + 1, accumulation)
}

/** Batches that the tasks of a stage have taken. */
export function batchesTaken(place: Pick<StageState, 'tasks'>): number {
  return Object.values(place.tasks).reduce((sum, { epoch, index, batches }) => sum + epoch * batches + index, 0)
}

/** A forecast of a stage. */
export interface StepsAndBatches {
  steps: number
  batches: number
}

/** Of a budget in steps. */
export function forecastOfSteps(ramp: AccumulationRamp, steps: number): StepsAndBatches {
  if (!ramp.accumulationRamp) return { steps, batches: steps * ramp.accumulation }
  let batches = 0
  for (let step = 0; step < steps; step++) batches += batchesAt(ramp, step / steps, batches)
  return { steps, batches }
}

/** Of a budget that so many batches fill: tokens, epochs or time. The last step may take more than are left. */
export function forecastOfBatches(ramp: AccumulationRamp, budget: number): StepsAndBatches {
  let steps = 0
  let batches = 0
  for (; batches < budget; steps++) batches += batchesAt(ramp, batches / budget, batches)
  return { steps, batches }
}
