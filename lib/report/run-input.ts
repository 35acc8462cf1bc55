/** A run folder as the report reads it: the lines of metrics.jsonl by type, the resolved recipe, the environments. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { StrataError } from '../errors.js'
import { checkLine, loggedNumber, readJson, readJsonLines } from './read-file.js'

const place = { step: z.number().int().nonnegative(), stage: z.string().default('') }

const stepLine = z.looseObject({
  ...place,
  loss: loggedNumber,
  /** By head, over the steps since the line before. */
  losses: z.record(z.string(), z.looseObject({ loss: loggedNumber, count: z.number().optional() })),
  learningRate: loggedNumber,
  gradNorm: loggedNumber,
  tokens: z.number(),
  tokensPerSecond: loggedNumber,
  elapsedSeconds: z.number(),
  skippedSteps: z.number().optional(),
  /** By relation of a model with agreements. */
  gates: z.record(z.string(), loggedNumber).optional(),
  /** Share of the weights that are left. */
  pruning: z
    .looseObject({
      targetDensity: loggedNumber.optional(),
      density: loggedNumber,
      byLayer: z.record(z.string(), loggedNumber).optional(),
    })
    .optional(),
})
export type StepLine = z.infer<typeof stepLine>

const mixReading = z.looseObject({ weights: z.array(loggedNumber), gamma: loggedNumber })
export type MixLine = z.infer<typeof mixReading>

const attached = z.looseObject({ accuracy: loggedNumber, f1: loggedNumber })

const evaluationLine = z.looseObject({
  ...place,
  scores: z
    .record(
      z.string(),
      z.looseObject({
        layer: z.number().optional(),
        count: z.number().optional(),
        loss: loggedNumber,
        accuracy: loggedNumber.optional(),
        accuracyInterval: z.tuple([loggedNumber, loggedNumber]).optional(),
        ownChunksLoss: loggedNumber.optional(),
        attachment: attached.extend({ majority: attached, nearest: attached }).optional(),
      }),
    )
    .default({}),
  tasks: z
    .record(
      z.string(),
      z.record(
        z.string(),
        z.looseObject({
          main: loggedNumber,
          loss: loggedNumber,
          count: z.number(),
          metrics: z.record(z.string(), loggedNumber),
        }),
      ),
    )
    .default({}),
  mean: loggedNumber.optional(),
  mixes: z.record(z.string(), mixReading).optional(),
})
export type EvaluationLine = z.infer<typeof evaluationLine>

const gradientsLine = z.looseObject({ ...place, gradientNorms: z.record(z.string(), loggedNumber) })
export type GradientsLine = z.infer<typeof gradientsLine>

const eventLine = z.looseObject({ type: z.string(), step: z.number(), time: z.string().optional() })
export type EventLine = z.infer<typeof eventLine>

const environment = z.looseObject({
  startedAt: z.string().optional(),
  command: z.array(z.string()).optional(),
  workingFolder: z.string().optional(),
  versions: z.record(z.string(), z.unknown()).optional(),
  machine: z.record(z.string(), z.unknown()).optional(),
  git: z.looseObject({ commit: z.string(), dirty: z.boolean().optional() }).optional(),
})
export type RunEnvironment = z.infer<typeof environment>

export interface RunInput {
  /** Short and unique among the report's runs. */
  name: string
  /** Where there are several runs: their curves have the same colour in every figure. */
  colour?: number
  /** Of a run that a comparison brought with it. */
  experiment?: { variant: string; step: string }
  folder: string
  metricsPath: string
  steps: StepLine[]
  evaluations: EvaluationLine[]
  /** Norms by layer, after the first and the last step of a stage. */
  gradients: GradientsLine[]
  /** Every other line, in order. */
  events: EventLine[]
  recipe?: Record<string, unknown>
  environments: RunEnvironment[]
  /** What the reader should know of the file. */
  notes: string[]
}

export async function readRun(folder: string, name: string): Promise<RunInput> {
  const metricsPath = join(folder, 'metrics.jsonl')
  const what = 'a line of metrics.jsonl'
  const { lines, unfinished } = await readJsonLines(metricsPath, what)
  const run: RunInput = {
    name,
    folder,
    metricsPath,
    steps: [],
    evaluations: [],
    gradients: [],
    events: [],
    environments: [],
    notes: [],
  }
  for (const line of lines) {
    const event = checkLine(metricsPath, line, what, eventLine)
    if (event.type === 'step') run.steps.push(checkLine(metricsPath, line, 'a step line', stepLine))
    else if (event.type === 'evaluation')
      run.evaluations.push(checkLine(metricsPath, line, 'an evaluation line', evaluationLine))
    else if (event.type === 'gradients')
      run.gradients.push(checkLine(metricsPath, line, 'a line of gradients', gradientsLine))
    else run.events.push(event)
  }
  if (lines.length === 0) {
    const message = `${metricsPath}:1: has no whole line; the metrics of a run that has begun were expected: wait for its first line`
    throw new StrataError('BAD_FILE', message, { details: { path: metricsPath, line: 1 } })
  }
  if (unfinished)
    run.notes.push('the last line of metrics.jsonl has no end, as when a run is being written: it is left out')
  const recipePath = join(folder, 'recipe.resolved.json')
  if (existsSync(recipePath))
    run.recipe = await readJson(recipePath, 'a resolved recipe', z.record(z.string(), z.unknown()))
  else run.notes.push('the folder has no recipe.resolved.json')
  const environmentPath = join(folder, 'environment.json')
  if (existsSync(environmentPath))
    run.environments = await readJson(environmentPath, 'the environments of a run', z.array(environment))
  else run.notes.push('the folder has no environment.json')
  return run
}
