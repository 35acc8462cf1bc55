/** comparison.json: recipes over seeds beside their baseline. */
import { join } from 'node:path'
import { z } from 'zod'
import { loggedNumber, readJson } from './read-file.js'

/** A bound that the test could not give, as with one seed, is null or not there. */
const number = loggedNumber.nullish()
const interval = z.tuple([number, number]).nullish()

const row = z.looseObject({
  variant: z.string(),
  measure: z.string(),
  /** Variant that it is compared with, where that is not the experiment's baseline. */
  against: z.string().optional(),
  n: z.number(),
  /** Runs whose value is not finite; `n` is of the others. */
  notFinite: z.number().optional(),
  mean: number,
  median: number,
  standardDeviation: number,
  interval,
  /** Seeds of which both runs learned. */
  pairs: z.number().optional(),
  /** From what it is compared with, paired by seed. */
  difference: number,
  differenceInterval: interval,
  pValue: number,
  /** After Holm's correction over the table. */
  adjustedPValue: number,
  smallestDetectable: number,
  /** Held-out examples, and what they could have shown. */
  examples: number,
  smallestByExamples: number,
  /** Over seeds and examples; `layers` says which of them were drawn. */
  bootstrap: z.looseObject({ low: number, high: number, layers: z.string().optional() }).nullish(),
  convergenceFactor: number,
  /** `coverage` is that of the interval, which so few seeds do not bring to 95 %. */
  convergence: z
    .looseObject({ interval, coverage: number, comparable: z.number(), notComparable: z.number() })
    .nullish(),
  /** Runs with a value that learned nothing. */
  notLearned: z.number().optional(),
  reference: number,
  referenceDifference: number,
  referenceDetectable: number,
})
export type ComparisonTableRow = z.infer<typeof row>

const run = z.looseObject({
  seed: z.number(),
  folder: z.string().optional(),
  status: z.string(),
  learned: z.boolean().nullish(),
  notLearned: z.array(z.string()).default([]),
  values: z.record(z.string(), loggedNumber.nullable()).default({}),
  /** Measures without a finite value. */
  notFinite: z.array(z.string()).default([]),
  tokens: z.number().nullish(),
  steps: z.number().nullish(),
  seconds: z.number().nullish(),
  /** Its steps. */
  parts: z.array(z.looseObject({ step: z.string(), folder: z.string(), status: z.string() })).default([]),
})

const costs = z.looseObject({
  variant: z.string(),
  step: z.string(),
  runs: z.number(),
  seconds: number,
  evaluationSeconds: number,
  examplesPerSecond: number,
  tokensPerSecond: number,
  parameters: number,
  trainedParameters: number,
  tasks: z.record(z.string(), z.looseObject({ trained: number, own: number })).optional(),
})

const comparison = z.looseObject({
  format: z.literal(1),
  name: z.string(),
  measures: z.array(z.union([z.string(), z.looseObject({ name: z.string() })])),
  baseline: z.string().nullish(),
  variants: z.array(z.looseObject({ name: z.string(), runs: z.array(run) })),
  table: z.array(row),
  description: z.string().optional(),
  test: z.string().optional(),
  date: z.string().optional(),
  notes: z.array(z.string()).default([]),
  /** Machines and versions of the training runs, in words. */
  environments: z.array(z.string()).default([]),
  /** Of the variants' training steps. */
  costs: z.array(costs).default([]),
  /** That wrote it. */
  command: z.string().optional(),
})

export interface ComparisonInput {
  name: string
  folder: string
  file: string
  report: z.infer<typeof comparison>
  /** What is not there of it. */
  notes: string[]
}

export async function readComparison(folder: string, name: string): Promise<ComparisonInput> {
  const file = join(folder, 'comparison.json')
  const report = await readJson(file, 'the output of stratabert compare', comparison)
  return { name, folder, file, report, notes: [] }
}
