/** What always naming the most frequent class would reach on a task's held-out set. */

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { NO_LABEL } from '../data/index.js'
import { StrataError } from '../errors.js'
import { wilsonInterval } from '../evaluation/index.js'
import { openRecipeTasks, TOKENIZER_FOLDER } from '../recipes/index.js'
import { Tokenizer } from '../text/index.js'
import type { JobResult } from './job-folder.js'
import type { Job, TrainJob } from './plan.js'

/** A score that a run must be above to have learned anything. */
export interface Floor {
  /** Name of the number that is compared, like `rte.accuracy`. */
  value: string
  /** Upper end of the 95 % interval. */
  score: number
  /** In words. */
  what: string
}

/** Bound of a correlation of n pairs that have nothing to do with each other (Fisher's z): our choice for Matthews as well. */
const chanceCorrelation = (count: number): number => Math.tanh(1.959963984540054 / Math.sqrt(Math.max(1, count - 3)))

/** Reads each held-out set once. */
export class Majorities {
  readonly #known = new Map<string, Promise<{ share: number; count: number }>>()

  /**
   * The floor of a task in a finished job: above the interval of the majority's accuracy (Wilson), or where there is no
   * accuracy of a correlation of 0. Throws BAD_RECIPE for a task without such a floor.
   */
  async floorOf(job: Job, result: JobResult, task: string): Promise<Floor> {
    const has = (name: string) => result.values[`${task}.${name}`] !== undefined
    const interval = (share: number, count: number, value: string): Floor => {
      const [, score] = wilsonInterval(share * count, count)
      return {
        value,
        score,
        what: `the majority's ${share.toFixed(4)} (95 % up to ${score.toFixed(4)}, ${count} examples)`,
      }
    }
    if (job.kind === 'probe' && has('majority'))
      return interval(result.values[`${task}.majority`], result.values[`${task}.count`], `${task}.best.accuracy`)
    if (has('accuracy') && trainingOf(job).recipe.tasks[task]) {
      const { share, count } = await this.#majority(job, result, task)
      return interval(share, count, `${task}.accuracy`)
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
    throw new StrataError(
      'BAD_RECIPE',
      `learned: step ${job.step} gives no accuracy and no correlation of task ${task}, expected one; it has ${Object.keys(result.splits).join(', ') || 'no task'}`,
    )
  }

  #majority(job: Job, result: JobResult, task: string): Promise<{ share: number; count: number }> {
    const { recipe } = trainingOf(job)
    const data = (job.kind === 'evaluate' && job.data[task]) || recipe.data[task]
    const [split = 'dev'] = result.splits[task] ?? []
    const { devShare } = recipe.tasks[task]
    // A single file is divided by the seed.
    const key = JSON.stringify([data, split, devShare, typeof data === 'string' ? recipe.seed : 0, task])
    let found = this.#known.get(key)
    if (!found) {
      found = readMajority(trainingOf(job), task, split, data)
      this.#known.set(key, found)
    }
    return found
  }
}

/** The training run whose model the job looks at. */
function trainingOf(job: Job): TrainJob {
  if (job.kind === 'train') return job
  if (job.parent?.kind === 'train') return job.parent
  throw new StrataError(
    'BAD_RECIPE',
    `learned: step ${job.step} looks at a checkpoint that no step trained; name a training step`,
  )
}

async function readMajority(job: TrainJob, name: string, split: string, data: unknown) {
  const { recipe, folder } = job
  const kept = join(folder, TOKENIZER_FOLDER)
  const tokenizer = await Tokenizer.load(existsSync(kept) ? kept : join(folder, 'latest'))
  const only = { ...recipe, data: { [name]: data as string }, tasks: { [name]: recipe.tasks[name] } }
  const [task] = await openRecipeTasks(only, tokenizer, { splits: [split] })
  const set = task.evaluation[split]
  const counts = new Map<number, number>()
  for (let index = 0; index < set.batchCount(0); index++) {
    for (const label of set.build(0, index).labels[task.head].labels) {
      if (label !== NO_LABEL) counts.set(label, (counts.get(label) ?? 0) + 1)
    }
  }
  const count = [...counts.values()].reduce((sum, one) => sum + one, 0)
  return { share: Math.max(...counts.values()) / count, count }
}
