import { z } from 'zod'

/** The part of the recipe schema that is about pruning while a model is fine-tuned; see docs/pruning.md. */

const density = z.number().gt(0).max(1)
const factor = z.number().min(0)

/** Pauses before and after the schedule, in warm-ups of the learning rate. */
const pauses = { initialWarmup: factor.default(1), finalWarmup: factor.default(2) }

/** How `finalDensity` finds its penalty: by runs that are thrown away. */
const search = z
  .strictObject({
    /** Share of the first stage's budget that such a run takes. */
    share: z.number().gt(0).max(1).default(0.25),
    /** At most so many of them. */
    runs: z.int().min(1).max(64).default(8),
    /** A density so near to the wished one ends the search. */
    tolerance: z.number().positive().max(1).default(0.01),
  })
  .prefault({})

/** Methods that are told which share of each matrix stays. */
const toDensity = {
  /** Share of each matrix that stays in the end. */
  finalDensity: density,
  initialDensity: density.default(1),
  ...pauses,
}

/** Methods whose penalty decides what stays. */
const byPenalty = {
  /** Share that shall stay in the end; the penalty is searched for, unless it is given. */
  finalDensity: density.optional(),
  /** λ. Default 400 (`soft-movement`) or 125 (`l0`), as published. */
  penalty: factor.optional(),
  search,
  ...pauses,
}

export const pruning = z.discriminatedUnion('method', [
  z.strictObject({ method: z.literal('magnitude'), ...toDensity }),
  z.strictObject({
    method: z.literal('movement'),
    ...toDensity,
    scoreLearningRate: z.number().positive().default(1e-2),
  }),
  z.strictObject({
    method: z.literal('soft-movement'),
    ...byPenalty,
    /** What sigmoid(score) must be above in the end. */
    threshold: z.number().gt(0).lt(1).default(0.1),
    scoreLearningRate: z.number().positive().default(1e-2),
  }),
  z.strictObject({ method: z.literal('l0'), ...byPenalty, scoreLearningRate: z.number().positive().default(1e-1) }),
])

export type RecipePruning = z.output<typeof pruning>
/** Of a method whose penalty decides what stays. */
export type PenaltyPruning = Extract<RecipePruning, { search: unknown }>
