/** What a guess would reach on a task's held-out set: always the most frequent class, or any of a question's candidates. */

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { NO_LABEL } from '../data/index.js'
import { StrataError } from '../errors.js'
import { wilsonInterval } from '../evaluation/index.js'
import {
  evaluatedFiles,
  openRecipeTasks,
  type ResolvedRecipe,
  type TaskSlot,
  TOKENIZER_FOLDER,
} from '../recipes/index.js'
import { RankingSet } from '../tasks/index.js'
import { Tokenizer } from '../text/index.js'
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

/** Share of the examples that a guess gets right. */
interface Guess {
  share: number
  count: number
}

/** Bound of a correlation of n pairs that have nothing to do with each other (Fisher's z): our choice for Matthews as well. */
const chanceCorrelation = (count: number): number => Math.tanh(1.959963984540054 / Math.sqrt(Math.max(1, count - 3)))

/** Scores that are a share of right answers, and who guesses. */
const GUESSES = [
  { metric: 'accuracy', guesser: 'the majority' },
  { metric: 'accuracyAt1', guesser: 'a random candidate' },
]

/** Reads each held-out set once. */
export class Majorities {
  readonly #known = new Map<string, Promise<Guess>>()

  /**
   * The floor of a task in a finished job: above the interval (Wilson) of what a guess gets right, the majority's accuracy or that of a
   * ranking's random candidate; where there is neither, of a correlation of 0. Spans, parses and F1 alone have none. Throws
   * BAD_RECIPE for a task that the job does not have.
   */
  async floorOf(job: Job, result: JobResult, task: string): Promise<Floor | NoFloor> {
    checkTask(job, result, task)
    const has = (name: string) => hasNumber(result, `${task}.${name}`)
    if (job.kind === 'probe') return probeFloor(result, task)
    const guess = GUESSES.find(({ metric }) => has(metric))
    if (guess) {
      const training = trainingOf(job)
      if (!training) return { unknown: `step ${job.step} looks at a checkpoint that no step trained` }
      try {
        return floorOfGuess(await this.#guess(job, training, result, task), `${task}.${guess.metric}`, guess.guesser)
      } catch (error) {
        if (!(error instanceof StrataError)) throw error
        return { unknown: `its held-out set could not be read: ${error.message}` }
      }
    }
    const correlation = ['matthews', 'pearson', 'spearman'].find(has)
    const count = result.values[`${task}.count`]
    if (correlation && count !== undefined) {
      const score = chanceCorrelation(count)
      return {
        value: `${task}.${correlation}`,
        score,
        what: `a correlation of 0 (95 % up to ${score.toFixed(4)}, ${count} examples)`,
      }
    }
    return { unknown: 'no floor is known for its scores' }
  }

  async #guess(job: Job, training: TrainJob, result: JobResult, task: string): Promise<Guess> {
    const { recipe } = training
    const [split = 'dev'] = result.splits[task] ?? []
    const own = recipe.data[task]
    const data = job.kind === 'evaluate' ? await evaluatedFiles(givenData(job, task), own) : own
    const { devShare } = recipe.tasks[task]
    // A single file is divided by the seed.
    const key = JSON.stringify([data, split, devShare, typeof data === 'string' ? recipe.seed : 0, task])
    let found = this.#known.get(key)
    if (!found) {
      found = readGuess(training, task, split, data)
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

function floorOfGuess({ share, count }: Guess, value: string, guesser: string): Floor {
  const [, score] = wilsonInterval(share * count, count)
  return { value, score, what: `${guesser}'s ${share.toFixed(4)} (95 % up to ${score.toFixed(4)}, ${count} examples)` }
}

/** A probe tells its majority itself, where it was asked for; the layer that dev chooses stands for the task. */
function probeFloor(result: JobResult, task: string): Floor | NoFloor {
  const { [`${task}.majority`]: share, [`${task}.count`]: count } = result.values
  const value = `${task}.best.accuracy`
  if (share === undefined) return { unknown: 'its probes have no majority control (options: { controls: majority })' }
  if (!hasNumber(result, value)) return { unknown: 'its probes read a mix alone, and no layer' }
  return floorOfGuess({ share, count }, value, 'the majority')
}

const givenData = ({ data }: CheckpointJob, task: string): TaskSlot | undefined => data[task] as TaskSlot | undefined

/** The training run whose model the job looks at; undefined where no step trained it. */
function trainingOf(job: Job): TrainJob | undefined {
  if (job.kind === 'train') return job
  return job.parent?.kind === 'train' ? job.parent : undefined
}

async function readGuess({ recipe, folder }: TrainJob, name: string, split: string, data: TaskSlot): Promise<Guess> {
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
  const set = task.evaluation[split]
  if (set instanceof RankingSet) {
    const { length: count } = set.questions
    return { share: set.questions.reduce((sum, { candidates }) => sum + 1 / candidates.length, 0) / count, count }
  }
  const counts = new Map<number, number>()
  for (let index = 0; index < set.batchCount(0); index++) {
    for (const label of set.build(0, index).labels[task.head].labels) {
      if (label !== NO_LABEL) counts.set(label, (counts.get(label) ?? 0) + 1)
    }
  }
  const count = [...counts.values()].reduce((sum, one) => sum + one, 0)
  return { share: Math.max(...counts.values()) / count, count }
}
