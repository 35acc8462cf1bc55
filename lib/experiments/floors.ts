/** The score of a task that a run must be above to have learned anything. */

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { StrataError } from '../errors.js'
import { wilsonInterval } from '../evaluation/index.js'
import {
  evaluatedFiles,
  openRecipeTasks,
  type ResolvedRecipe,
  type TaskSlot,
  TOKENIZER_FOLDER,
  taskDefinition,
} from '../recipes/index.js'
import { Tokenizer } from '../text/index.js'
import { CORRELATIONS, FLOORED_METRICS, GUESSED_METRICS, type Guess, type Guesses, guessesOf } from './guesses.js'
import type { JobResult } from './job-folder.js'
import { isNotFinite } from './not-finite.js'
import type { CheckpointJob, Job, TrainJob } from './plan.js'

/** A score that a run must be above to have learned anything. */
export interface Floor {
  /** Name of the number that is compared, like `rte.accuracy`; the result has it, if not as a finite number. */
  value: string
  /** Upper end of the 95 % interval. */
  score: number
  /** In words. */
  what: string
}

/** No floor is known, and why. */
export interface NoFloor {
  unknown: string
}

/** Bound of a correlation of n pairs that have nothing to do with each other (Fisher's z): our choice for Matthews as well. */
const chanceCorrelation = (count: number): number => Math.tanh(1.959963984540054 / Math.sqrt(Math.max(1, count - 3)))

/** Reads each held-out set once. */
export class Floors {
  readonly #known = new Map<string, Promise<Guesses>>()

  /**
   * The floor of a task in a finished job under `metric`, by default the task's main one: the upper end of the interval (Wilson) of what
   * the best guess without the text reaches, or of a correlation of 0. Parses and F1 of tagged spans have none. Throws BAD_RECIPE for a
   * task or a given metric that the job does not have.
   */
  async floorOf(job: Job, result: JobResult, task: string, metric?: string): Promise<Floor | NoFloor> {
    checkTask(job, result, task)
    if (job.kind === 'probe') return probeFloor(job, result, task, metric)
    const judged = metric ?? mainMetric(job, result, task)
    const value = `${task}.${judged}`
    if (!hasNumber(result, value)) throw noSuchMetric(job, result, task, value)
    if (CORRELATIONS.some((one) => one === judged)) return floorOfCorrelation(result, task, value)
    const guessed = GUESSED_METRICS.find((one) => one === judged)
    if (!guessed) return { unknown: `no floor of ${judged} is known` }
    const training = trainingOf(job, task)
    if (!training) return { unknown: `step ${job.step} looks at a checkpoint that no step trained` }
    try {
      const { count, byMetric } = await this.#guesses(job, training, result, task)
      const guess = byMetric[guessed]
      return guess ? floorOfGuess(guess, count, value) : { unknown: `no floor of ${judged} is known for such a task` }
    } catch (error) {
      if (!(error instanceof StrataError)) throw error
      return { unknown: `its held-out set could not be read: ${error.message}` }
    }
  }

  async #guesses(job: Job, training: TrainJob, result: JobResult, task: string): Promise<Guesses> {
    const { recipe } = training
    const [split = 'dev'] = result.splits[task] ?? []
    const own = recipe.data[task]
    const data = job.kind === 'evaluate' ? await evaluatedFiles(givenData(job, task), own) : own
    const { devShare } = recipe.tasks[task]
    // A single file is divided by the seed.
    const key = JSON.stringify([data, split, devShare, typeof data === 'string' ? recipe.seed : 0, task])
    let found = this.#known.get(key)
    if (!found) {
      found = readGuesses(training, task, split, data)
      this.#known.set(key, found)
    }
    return found
  }
}

const hasNumber = (result: JobResult, name: string): boolean => name in result.values || isNotFinite(result, name)

function checkTask(job: Job, result: JobResult, task: string): void {
  const isProbed = job.kind === 'probe'
  const tasks = isProbed
    ? Object.keys(result.values).flatMap((name) => /^(.*)\.count$/.exec(name)?.[1] ?? [])
    : Object.keys(result.splits)
  if (tasks.includes(task)) return
  throw new StrataError(
    'BAD_RECIPE',
    `learned: step ${job.step} gives no score of task ${task}, expected one of ${tasks.join(', ') || 'its tasks: it has none'}`,
  )
}

/** The task's own, where a step trained it; else the first score of the result, which keeps the order of the metrics. */
function mainMetric(job: Job, result: JobResult, task: string): string {
  const training = trainingOf(job, task)
  const found = metricsIn(result, task)
  const main = training && taskDefinition(training.recipe, task).metrics[0]
  // A result may lack it, as one of an earlier version: then what it has is judged, scores with a floor first.
  if (main !== undefined && hasNumber(result, `${task}.${main}`)) return main
  return FLOORED_METRICS.find((metric) => found.includes(metric)) ?? found[0] ?? 'accuracy'
}

/** Scores of the task on its leading split. */
function metricsIn(result: JobResult, task: string): string[] {
  const names = [...Object.keys(result.values), ...(result.notFinite?.values ?? [])]
  const own = names.flatMap((name) => (name.startsWith(`${task}.`) ? [name.slice(task.length + 1)] : []))
  return own.filter((name) => !name.includes('.') && name !== 'loss' && name !== 'count')
}

function noSuchMetric(job: Job, result: JobResult, task: string, value: string): StrataError {
  const known = metricsIn(result, task).join(', ')
  return new StrataError(
    'BAD_RECIPE',
    `learned: step ${job.step} gives no ${value}, expected a metric of the task: ${known || 'it has none'}`,
  )
}

function floorOfCorrelation(result: JobResult, task: string, value: string): Floor | NoFloor {
  const count = result.values[`${task}.count`]
  if (count === undefined) return { unknown: 'the result does not say of how many examples it is' }
  const score = chanceCorrelation(count)
  return { value, score, what: `a correlation of 0 (95 % up to ${score.toFixed(4)}, ${count} examples)` }
}

function floorOfGuess({ who, share, scoreOf = (one) => one }: Guess, count: number, value: string): Floor {
  const [, upper] = wilsonInterval(share * count, count)
  const score = scoreOf(upper)
  const what = `${who} ${scoreOf(share).toFixed(4)} (95 % up to ${score.toFixed(4)}, ${count} examples)`
  return { value, score, what }
}

/** A probe tells its majority itself, where it was asked for; the layer that dev chooses stands for the task. */
function probeFloor(job: Job, result: JobResult, task: string, metric = 'accuracy'): Floor | NoFloor {
  const { [`${task}.majority`]: share, [`${task}.count`]: count } = result.values
  const value = `${task}.best.accuracy`
  if (metric !== 'accuracy') {
    throw new StrataError('BAD_RECIPE', `learned: step ${job.step} probes, which gives accuracy alone, not ${metric}`)
  }
  if (share === undefined) return { unknown: 'its probes have no majority control (options: { controls: majority })' }
  if (!hasNumber(result, value)) return { unknown: 'its probes read a mix alone, and no layer' }
  return floorOfGuess({ who: "the majority's", share }, count, value)
}

const givenData = ({ data }: CheckpointJob, task: string): TaskSlot | undefined => data[task] as TaskSlot | undefined

/** The training run whose model the job looks at; undefined where no step trained it on the task. */
function trainingOf(job: Job, task: string): TrainJob | undefined {
  const training = job.kind === 'train' ? job : job.parent
  return training?.kind === 'train' && task in training.recipe.tasks ? training : undefined
}

async function readGuesses(
  { recipe, folder }: TrainJob,
  name: string,
  split: string,
  data: TaskSlot,
): Promise<Guesses> {
  const kept = join(folder, TOKENIZER_FOLDER)
  const tokenizer = await Tokenizer.load(existsSync(kept) ? kept : join(folder, 'latest'))
  const open = async (files: TaskSlot, settings: ResolvedRecipe['tasks'][string], splits: string[]) => {
    const only = { ...recipe, data: { [name]: files }, tasks: { [name]: settings } }
    const [task] = await openRecipeTasks(only, tokenizer, { splits })
    return task
  }
  const settings = recipe.tasks[name]
  // Files of an evaluation may lack training rows: the classes are those that the run was trained on.
  const labels = data === recipe.data[name] ? undefined : (await open(recipe.data[name], settings, [])).labels
  const known = labels && { definition: { ...settings.definition, labels: [...labels] } }
  const task = await open(data, { ...settings, ...known }, [split])
  return guessesOf(task, task.evaluation[split])
}
