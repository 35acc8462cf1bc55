/** training-state.json: read with every field checked, so that a damaged file is named and never half used. */
import { join } from 'node:path'
import { z } from 'zod'
import { StrataError } from '../errors.js'
import { checkLink, parseUntrustedJson, type ReadingAs, readPlainFile } from '../untrusted-files.js'
import type { Stage, StageState, TrainingState } from './types.js'

export const STATE_FILE = 'training-state.json'

const AS: ReadingAs = { doing: 'read the training state', code: 'BAD_CHECKPOINT' }
/** Of what a file that is none is told to lack. */
const LONGEST_PROBLEMS = 300

// A score may be NaN (a correlation of constants); JSON has no NaN and writes null, which is read as NaN.
const score = z.number().or(z.nan())
const scoresSchema = z.strictObject({
  heads: z.record(
    z.string(),
    z.looseObject({ head: z.string(), kind: z.string(), count: z.number(), loss: score, accuracy: score.optional() }),
  ),
  tasks: z.record(
    z.string(),
    z.record(
      z.string(),
      z.looseObject({ main: score, loss: score, count: z.number(), metrics: z.record(z.string(), score) }),
    ),
  ),
})
const count = z.int().min(0)
const bestSchema = z.strictObject({ metric: z.string(), score: z.number(), step: count })
const seconds = z.number().min(0)
const stateSchema = z.strictObject({
  formatVersion: z.literal(1),
  seed: z.int(),
  step: count,
  tokens: count,
  elapsedSeconds: seconds,
  stage: z.strictObject({
    index: count,
    name: z.string(),
    step: count,
    tokens: count,
    elapsedSeconds: seconds,
    draws: count,
    tasks: z.record(
      z.string(),
      z.strictObject({
        epoch: count,
        index: count,
        batches: z.int().min(1),
        steps: count,
        unlabelled: count.optional(),
      }),
    ),
    scores: scoresSchema.optional(),
    patience: z.strictObject({ score: z.number().optional(), misses: count }).optional(),
    endedBy: z.literal('earlyStopping').optional(),
  }),
  finished: z
    .array(
      z.strictObject({
        name: z.string(),
        step: count,
        endedBy: z.enum(['budget', 'earlyStopping']),
        scores: scoresSchema,
        best: bestSchema.optional(),
      }),
    )
    .default([]),
  stages: z.array(z.object({ name: z.string(), tasks: z.record(z.string(), z.array(z.string())) })).optional(),
  data: z.record(z.string(), z.string()).optional(),
  dropout: z.strictObject({ seed: z.number(), counter: z.number() }),
  skippedSteps: count,
  rollbacks: count,
  evaluationDue: z.literal(true).optional(),
  best: bestSchema.optional(),
})

/** Reads the state of a checkpoint folder. Throws NOT_FOUND or BAD_CHECKPOINT. */
export async function readTrainingState(folder: string): Promise<TrainingState> {
  const path = join(folder, STATE_FILE)
  await checkLink(path, AS)
  const nullAsNaN = (_key: string, value: unknown) => (value === null ? Number.NaN : value)
  const json = parseUntrustedJson(await readPlainFile(path, AS), path, AS, nullAsNaN)
  const result = stateSchema.safeParse(json)
  if (result.success) return result.data as unknown as TrainingState
  const problems = z.prettifyError(result.error).slice(0, LONGEST_PROBLEMS)
  throw new StrataError('BAD_CHECKPOINT', `${path} is not a training state of this version:\n${problems}`, {
    details: { path },
  })
}

/** What a state keeps of the run's stages and their data. */
export function stageRecords(stages: readonly Stage[]): Pick<TrainingState, 'stages' | 'data'> {
  const outlines = stages.map(({ name, tasks }) => ({
    name,
    tasks: Object.fromEntries(tasks.map((task) => [task.name, [...task.heads]])),
  }))
  const data = fingerprints(stages)
  return { stages: outlines, ...(Object.keys(data).length > 0 && { data }) }
}

function fingerprints(stages: readonly Stage[]): Record<string, string> {
  return Object.fromEntries(
    stages.flatMap(({ tasks }) =>
      tasks.flatMap(({ name, fingerprint }) => (fingerprint === undefined ? [] : [[name, fingerprint]])),
    ),
  )
}

/** State before the first step of a stage. */
export function freshStage(stage: Stage, index: number): StageState {
  const tasks: StageState['tasks'] = {}
  for (const task of stage.tasks) {
    tasks[task.name] = { epoch: 0, index: 0, batches: task.source.batchCount(0), steps: 0 }
  }
  return { index, name: stage.name, step: 0, tokens: 0, elapsedSeconds: 0, draws: 0, tasks }
}

/**
 * Throws BAD_CHECKPOINT when a state cannot be the past of this run: another seed, stage, set of tasks, amount of data or, of the tasks
 * that are still trained, other labelled rows would make "the next batch" mean something else. A budget may have changed.
 */
export function checkSamePast(state: TrainingState, stages: readonly Stage[], seed: number, folder: string): void {
  const differ = (what: string, here: unknown, there: unknown): never => {
    const message = `${folder} was written with ${what} ${there}, this run has ${here}; resume with the same recipe and data, or start a new run folder`
    throw new StrataError('BAD_CHECKPOINT', message, { details: { folder, what, here, there } })
  }
  if (state.seed !== seed) differ('seed', seed, state.seed)
  const stage = stages[state.stage.index]
  if (stage?.name !== state.stage.name) differ(`stage ${state.stage.index} named`, stage?.name, state.stage.name)
  const past = state.finished.map(({ name }) => name).join(', ')
  const before = stages
    .slice(0, state.stage.index)
    .map(({ name }) => name)
    .join(', ')
  if (past !== before) differ('earlier stages', before || 'none', past || 'none')
  const fresh = freshStage(stage, state.stage.index)
  const names = (tasks: object) => Object.keys(tasks).sort().join(', ')
  if (names(fresh.tasks) !== names(state.stage.tasks)) differ('tasks', names(fresh.tasks), names(state.stage.tasks))
  for (const [name, { batches }] of Object.entries(state.stage.tasks)) {
    const here = fresh.tasks[name].batches
    if (here !== batches) differ(`batches of ${name} per pass`, here, batches)
  }
  const { data = {} } = state
  for (const [name, here] of Object.entries(fingerprints(stages.slice(state.stage.index)))) {
    if (Object.hasOwn(data, name) && data[name] !== here) {
      differ(`training rows of ${name} of the fingerprint`, here.slice(0, 12), data[name].slice(0, 12))
    }
  }
}
