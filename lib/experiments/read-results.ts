/** Every number that a run gave, by name. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileError, StrataError } from '../errors.js'
import { median } from '../evaluation/index.js'
import type { EvaluationReport, HeldOutRow, RunResult } from '../recipes/index.js'
import { METRICS_FILE, namedScores, type SplitScores, type StageScores, type TrainingEvent } from '../training/index.js'
import { PROBES_FILE } from './job-command.js'
import { type JobResult, readLines } from './job-folder.js'
import { asNaN, finiteOnly, type NotFinite, namesNotFinite } from './not-finite.js'
import type { Job } from './plan.js'
import { probeNumbers } from './probe-numbers.js'

type Numbers = Record<string, number>
/** What a job's result is made of. */
export type JobNumbers = Pick<
  JobResult,
  'values' | 'stages' | 'notFinite' | 'warnings' | 'splits' | 'steps' | 'tokens' | 'seconds'
>

/** Reads what the job's command left: its JSON document in `stdout`, its files in the folder. Throws BAD_FILE. */
export async function readJobNumbers(job: Job, stdout: string, commandSeconds: number): Promise<JobNumbers> {
  if (job.kind === 'train') return trainNumbers(job.folder, (await document(stdout, asNaN)) as RunResult)
  const rest = { steps: 0, tokens: 0, seconds: commandSeconds }
  if (job.kind === 'evaluate')
    return { ...rest, ...evaluationNumbers((await document(stdout, asNaN)) as EvaluationReport) }
  const values = probeNumbers(await document(join(job.folder, PROBES_FILE)))
  return { ...rest, splits: {}, ...parted({ ...values, seconds: commandSeconds }) }
}

async function document(path: string, revive?: typeof asNaN): Promise<unknown> {
  const text = await readFile(path, 'utf8').catch((error) => {
    throw fileError(error, path, 'read the result of a run')
  })
  try {
    return JSON.parse(text, revive)
  } catch (error) {
    throw new StrataError('BAD_FILE', `${path} is no JSON document: ${(error as Error).message}`, { cause: error })
  }
}

async function trainNumbers(folder: string, result: RunResult): Promise<JobNumbers> {
  if (result.status !== 'completed') throw new StrataError('ABORTED', `the run in ${folder} was interrupted`)
  const events = await readLines<TrainingEvent>(join(folder, METRICS_FILE))
  const stages: Record<string, Numbers> = {}
  const splits: Record<string, string[]> = {}
  for (const { name, scores, tasks } of result.stages) {
    stages[name] = { ...Object.fromEntries(namedScores({ heads: scores, tasks })), ...counts(tasks) }
    for (const [task, scored] of Object.entries(tasks)) splits[task] = Object.keys(scored)
  }
  const { step, tokens, elapsedSeconds } = result.state
  const whole: Numbers = {
    ...finiteOnly(figures(events)),
    ...levels(result.heldOut),
    steps: step,
    tokens,
    seconds: elapsedSeconds,
  }
  const values = Object.assign({}, ...Object.values(stages), meanOfLast(result), whole)
  return { ...parted(values, stages), splits, steps: step, tokens, seconds: elapsedSeconds }
}

/** `mean` and `sum` over the last scores of every task: the last stage may train some of them only. */
function meanOfLast({ stages }: RunResult): Numbers {
  const tasks: StageScores['tasks'] = Object.assign({}, ...stages.map((stage) => stage.tasks))
  return Object.fromEntries(
    [...namedScores({ heads: {}, tasks })].filter(([name]) => name === 'mean' || name === 'sum'),
  )
}

/** What a run costs, from its log. */
function figures(events: readonly TrainingEvent[]): Numbers {
  const steps = events.filter((event) => event.type === 'step')
  const start = events.findLast((event) => event.type === 'start')
  // The first steps read data and warm caches up.
  const times = steps.slice(steps.length > 2 ? 1 : 0).map(({ millisecondsPerStep }) => millisecondsPerStep / 1000)
  const density = (steps.at(-1) as { pruning?: { density?: number } } | undefined)?.pruning?.density
  return {
    ...(start && { parameters: start.parameters, trainedParameters: start.trainable }),
    secondsPerStep: median(times),
    tokensPerSecond: median(steps.map(({ tokensPerSecond }) => tokensPerSecond)),
    memoryBytes: Math.max(...steps.map(({ memoryBytes }) => memoryBytes)),
    density: density ?? 1,
  }
}

/** What a guess without the text would reach. */
function levels(rows: readonly HeldOutRow[]): Numbers {
  return Object.fromEntries(
    rows.flatMap(({ head, unigramLoss, chance }) => [
      ...(unigramLoss === undefined ? [] : [[`${head}.unigramLoss`, unigramLoss] as const]),
      ...(chance === undefined ? [] : [[`${head}.chance`, chance] as const]),
    ]),
  )
}

function counts(tasks: Record<string, Record<string, SplitScores>>): Numbers {
  return Object.fromEntries(
    Object.entries(tasks).flatMap(([task, splits]) =>
      Object.entries(splits).flatMap(([split, { count }], index) => [
        [`${task}.${split}.count`, count] as const,
        ...(index === 0 ? [[`${task}.count`, count] as const] : []),
      ]),
    ),
  )
}

function evaluationNumbers({
  rows,
  tasks,
  warnings = [],
}: EvaluationReport): Pick<JobNumbers, 'values' | 'stages' | 'notFinite' | 'warnings' | 'splits'> {
  const byTask: Record<string, Record<string, SplitScores>> = {}
  for (const scores of tasks) {
    byTask[scores.task] ??= {}
    byTask[scores.task][scores.split] = scores
  }
  const heads = Object.fromEntries(rows.map((row) => [row.head, row]))
  const numbers = Object.fromEntries(namedScores({ heads, tasks: byTask }))
  const splits = Object.entries(byTask).map(([task, scored]) => [task, Object.keys(scored)])
  return {
    ...parted({ ...numbers, ...counts(byTask), ...levels(rows) }),
    ...(warnings.length > 0 && { warnings }),
    splits: Object.fromEntries(splits),
  }
}

/** The finite numbers, and the names of the others. */
function parted(
  values: Numbers,
  stages: Readonly<Record<string, Numbers>> = {},
): Pick<JobNumbers, 'values' | 'stages' | 'notFinite'> {
  const byStage = <T>(of: (numbers: Numbers) => T) =>
    Object.fromEntries(Object.entries(stages).map(([stage, numbers]) => [stage, of(numbers)]))
  const notFinite: NotFinite = { values: namesNotFinite(values), stages: byStage(namesNotFinite) }
  const all = [...notFinite.values, ...Object.values(notFinite.stages).flat()]
  return {
    values: finiteOnly(values),
    stages: byStage(finiteOnly),
    ...(all.length > 0 && { notFinite }),
  }
}
