/** What the training steps of each variant cost: time, speed, trained parameters. Read from the runs' own logs. */
import { shapesWithoutData } from '../recipes/index.js'
import { readResult } from './job-folder.js'
import type { LoadedExperiment } from './load-experiment.js'
import type { ExperimentPlan, TrainJob } from './plan.js'
import { type RunLog, readRunLog } from './run-log.js'
import { type TaskParameters, taskParameters } from './task-parameters.js'

/** One run of a training step. What its log does not tell is not there. */
export interface RunCosts {
  /** Wall time of the training over all its starts, evaluations and checkpoints included. */
  seconds: number
  /** The part of it that scored held-out data. */
  evaluationSeconds?: number
  /** In the steps alone: what a classifier, a regressor or a ranker judges, or a window that a span is looked for in. */
  examplesPerSecond?: number
  /** Real tokens a second in the steps alone. */
  tokensPerSecond?: number
}

/** Means over the finished runs of a training step of a variant; a figure that some run lacks is not there. */
export interface ArmCosts extends RunCosts {
  variant: string
  step: string
  runs: number
  /** Shortest and longest. */
  secondsRange: [low: number, high: number]
  parameters?: number
  trainedParameters?: number
  /** Where several tasks are trained. */
  tasks?: Record<string, TaskParameters>
}

/** A row for each variant's training step that has a finished run. */
export async function trainingCosts(experiment: LoadedExperiment, { runs }: ExperimentPlan): Promise<ArmCosts[]> {
  const rows: ArmCosts[] = []
  const steps = Object.entries(experiment.steps).flatMap(([step, { kind }]) => (kind === 'train' ? step : []))
  for (const variant of Object.keys(experiment.variants)) {
    for (const step of steps) {
      const jobs = runs.flatMap((run) => (run.variant === variant ? run.jobs[step] : []))
      // Seeds may share a run.
      const done = [...new Set(jobs)].filter((job): job is TrainJob => job.kind === 'train' && !!readResult(job))
      if (done.length > 0) rows.push({ variant, step, ...(await armCosts(done)) })
    }
  }
  return rows
}

async function armCosts(jobs: readonly TrainJob[]): Promise<Omit<ArmCosts, 'variant' | 'step'>> {
  const costs: RunCosts[] = []
  let first: RunLog | undefined
  for (const job of jobs) {
    const log = await readRunLog(job.folder)
    first ??= log
    costs.push(runCosts(job, log))
  }
  const mean = (of: (cost: RunCosts) => number | undefined): number | undefined => {
    const values = costs.flatMap((cost) => of(cost) ?? [])
    return values.length === costs.length ? values.reduce((sum, one) => sum + one, 0) / values.length : undefined
  }
  const all = costs.map(({ seconds }) => seconds)
  const counted = first?.parameters
  return {
    runs: jobs.length,
    seconds: mean(({ seconds }) => seconds)!,
    secondsRange: [Math.min(...all), Math.max(...all)],
    ...defined({
      evaluationSeconds: mean(({ evaluationSeconds }) => evaluationSeconds),
      examplesPerSecond: mean(({ examplesPerSecond }) => examplesPerSecond),
      tokensPerSecond: mean(({ tokensPerSecond }) => tokensPerSecond),
      parameters: counted?.parameters,
      trainedParameters: counted?.trainable,
      // The same whatever the seed.
      tasks: counted && (await taskParameters(jobs[0], counted)),
    }),
  }
}

function runCosts(job: TrainJob, { steps, evaluations }: RunLog): RunCosts {
  const { seconds } = readResult(job)!
  if (steps.length === 0) return { seconds }
  // The first steps read data and warm caches up.
  const timed = steps.slice(steps.length > 2 ? 1 : 0)
  const labelled = timed.filter(({ tasks }) => Object.keys(tasks).every((task) => task in job.recipe.tasks))
  const examples = labelled.map((step) => examplesOf(job, step))
  const known = examples.length > 0 && examples.every((count) => count !== undefined)
  return {
    seconds,
    ...(evaluations.every((evaluation) => evaluation.seconds !== undefined) && {
      evaluationSeconds: sum(evaluations, (evaluation) => evaluation.seconds),
    }),
    ...(known && { examplesPerSecond: sum(examples, (count) => count!) / sum(labelled, secondsOf) }),
    tokensPerSecond: sum(timed, (step) => step.tokensPerSecond * secondsOf(step)) / sum(timed, secondsOf),
  }
}

type LoggedStep = RunLog['steps'][number]

/** Of the steps that one line of the log takes together. */
const secondsOf = ({ millisecondsPerStep, tasks }: LoggedStep): number =>
  (millisecondsPerStep / 1000) * sum(Object.values(tasks), (count) => count)

/** A tagger or parser has as many labels as tokens: the log does not say of how many examples. */
function examplesOf({ recipe }: TrainJob, { tasks, losses }: LoggedStep): number | undefined {
  const kinds = new Map(shapesWithoutData(recipe, []).map(({ name, kind }) => [name, kind]))
  const names = Object.keys(tasks)
  if (names.some((task) => ['tagging', 'parsing'].includes(kinds.get(task) ?? 'tagging'))) return undefined
  return sum(names, (task) => losses[task]?.count ?? Number.NaN)
}

function sum<Item>(items: readonly Item[], of: (item: Item) => number): number {
  return items.reduce((total, item) => total + of(item), 0)
}

function defined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== undefined)) as T
}
