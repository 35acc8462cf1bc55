/**
 * Learning-rate schedules as pure functions of the place in the stage. Formulas and step numbering are those of
 * Hugging Face's `get_*_schedule_with_warmup`: the factor belongs to the step that comes after `step` finished ones, so
 * the very first factor of a warm-up is 0. The triangles are Cramming's (Geiping & Goldstein 2022, arXiv 2212.14034, and its code's
 * schedulers.py), `bert` the `warmup_linear` of BERTAdam (Stickland & Murray 2019).
 */
import { StrataError } from '../errors.js'
import type { ScheduleConfig } from './types.js'

/** Where a stage stands. */
export interface SchedulePlace {
  /** Finished optimiser steps of the stage. */
  step: number
  /** Share of the stage's budget that is used up, 0 … 1. */
  progress: number
}

/** Throws BAD_ARGUMENT when a field is out of range. */
export function checkSchedule(schedule: ScheduleConfig): void {
  const { warmup, finalFactor, kind } = schedule
  if (!(warmup >= 0) || (warmup >= 1 && !Number.isInteger(warmup))) {
    const expected = 'a share of the budget in [0, 1) or a whole number of steps'
    throw new StrataError('BAD_ARGUMENT', `schedule.warmup is ${warmup}, ${expected} was expected`)
  }
  if (!(finalFactor >= 0 && finalFactor <= 1)) {
    throw new StrataError('BAD_ARGUMENT', `schedule.finalFactor is ${finalFactor}, a number in [0, 1] was expected`)
  }
  if (!(kind in SHAPES || kind in TRIANGLES)) {
    const known = [...Object.keys(SHAPES), ...Object.keys(TRIANGLES)].join(', ')
    throw new StrataError('BAD_ARGUMENT', `schedule.kind is ${kind}, one of ${known} was expected`)
  }
}

/** Factor on the learning rate of the coming step. */
export function scheduleFactor(schedule: ScheduleConfig, place: SchedulePlace): number {
  const progress = Math.min(1, Math.max(0, place.progress))
  const { share, ramp } = warmupAt(schedule.warmup, place.step, progress)
  // A triangle has its own rise over the whole budget; a warm-up only bends its beginning.
  if (isTriangle(schedule.kind)) return ramp * Math.max(schedule.finalFactor, TRIANGLES[schedule.kind](progress))
  if (ramp < 1) return ramp
  // Decays from the budget's first step, warm-up or not: after a warm-up of 0.1 the factor jumps from 1 to 0.9.
  if (schedule.kind === 'bert') return SHAPES.bert(progress, schedule.finalFactor)
  return SHAPES[schedule.kind](share < 1 ? (progress - share) / (1 - share) : 1, schedule.finalFactor)
}

/** Factor as a function of x, the share of the whole budget that is spent. */
const TRIANGLES = {
  triangle: (x: number) => lopsided(x, 0.25),
  triangle1: (x: number) => lopsided(x, 0.5),
  triangle2: (x: number) => lopsided(x, 0.25),
  'one-cycle': (x: number) => Math.min(2 * x, 2 - 2 * x),
  /** Eight rises and falls, each as tall as the others. */
  'multi-cycle': (x: number) => TRIANGLES['one-cycle']((8 * x) % 1),
}

/** From `base` up to 1 at three quarters, then down to 0. */
function lopsided(x: number, base: number): number {
  return Math.min(base + (x * (1 - base)) / 0.75, 4 - 4 * x)
}

function isTriangle(kind: ScheduleConfig['kind']): kind is keyof typeof TRIANGLES {
  return kind in TRIANGLES
}

/**
 * Factor as a function of x, the place between the end of the warm-up (0) and the end of the budget (1); for bert the place in
 * the whole budget.
 */
const SHAPES: Record<
  Exclude<ScheduleConfig['kind'], keyof typeof TRIANGLES>,
  (x: number, finalFactor: number) => number
> = {
  constant: () => 1,
  linear: (x, finalFactor) => 1 - (1 - finalFactor) * x,
  cosine: (x, finalFactor) => finalFactor + (1 - finalFactor) * 0.5 * (1 + Math.cos(Math.PI * x)),
  bert: (x, finalFactor) => 1 - (1 - finalFactor) * x,
}

/**
 * Warm-up as a share of the budget, and the height of its ramp. Given in steps, its share follows from the progress per
 * step so far: exact for a budget in steps, and for tokens or hours as good as steps are alike.
 */
function warmupAt(warmup: number, step: number, progress: number): { share: number; ramp: number } {
  if (warmup === 0) return { share: 0, ramp: 1 }
  if (warmup < 1) return { share: warmup, ramp: Math.min(1, progress / warmup) }
  if (step < warmup) return { share: 0, ramp: step / warmup }
  return { share: Math.min(1, (progress * warmup) / step), ramp: 1 }
}
