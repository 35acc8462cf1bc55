/** Which runs learned anything: what did not supports no comparison. */
import { StrataError } from '../errors.js'
import { type JobResult, readResult } from './job-folder.js'
import type { LoadedExperiment } from './load-experiment.js'
import type { Majorities } from './majority.js'
import type { ExperimentPlan, Job } from './plan.js'

/** Why a job counts as "not learned"; nothing when it learned or is not done. */
export type NotLearned = ReadonlyMap<Job, string[]>

/** Holds every finished job against the criteria of its step. Throws BAD_RECIPE when a criterion names no number of the step. */
export async function findNotLearned(
  experiment: LoadedExperiment,
  { runs }: ExperimentPlan,
  majorities: Majorities,
): Promise<NotLearned> {
  const found = new Map<Job, string[]>()
  for (const [index, criterion] of experiment.learned.entries()) {
    const jobs = new Set(runs.flatMap(({ jobs }) => jobs[criterion.step] ?? []))
    for (const job of jobs) {
      const result = readResult(job)
      if (!result) continue
      const reason =
        criterion.head !== undefined
          ? headReason(result, criterion.head, criterion.nats, index)
          : await taskReason(job, result, criterion.task!, majorities)
      if (reason) found.set(job, [...(found.get(job) ?? []), reason])
    }
  }
  return found
}

function headReason({ values, step }: JobResult, head: string, nats: number, index: number): string | undefined {
  const [loss, unigram] = [values[`${head}.loss`], values[`${head}.unigramLoss`]]
  if (loss === undefined || unigram === undefined) {
    const heads = Object.keys(values).flatMap((name) => /^(.*)\.unigramLoss$/.exec(name)?.[1] ?? [])
    throw new StrataError(
      'BAD_RECIPE',
      `learned.${index}.head: step ${step} gives no held-out loss of a masked LM "${head}"; it has ${heads.join(', ') || 'none'}`,
    )
  }
  if (loss <= unigram - nats) return undefined
  return `${head}.loss ${loss.toFixed(3)} is not ${nats} nats below the unigram entropy ${unigram.toFixed(3)}`
}

async function taskReason(
  job: Job,
  result: JobResult,
  task: string,
  majorities: Majorities,
): Promise<string | undefined> {
  const { value, score, what } = await majorities.floorOf(job, result, task)
  const reached = result.values[value]
  return reached > score ? undefined : `${value} ${reached.toFixed(4)} is not above ${what}`
}

/** The job and those whose checkpoints it came from: what one of them did not learn spoils it. */
export function reasonsOf(job: Job | undefined, notLearned: NotLearned): string[] {
  if (!job) return []
  return [...reasonsOf(job.parent, notLearned), ...(notLearned.get(job) ?? [])]
}
