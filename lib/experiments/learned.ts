/** Which runs learned anything: what did not supports no comparison. */
import { StrataError } from '../errors.js'
import type { Floors } from './floors.js'
import { type JobResult, readResult } from './job-folder.js'
import type { LoadedExperiment } from './load-experiment.js'
import { isNotFinite, NOT_FINITE } from './not-finite.js'
import type { ExperimentPlan, Job } from './plan.js'
import type { LearnedCriterion } from './schema.js'

/** Finished jobs beside the criteria of their steps. */
export interface Learned {
  /** Why a job counts as "not learned"; a job that learned or is not done is not there. */
  reasons: ReadonlyMap<Job, string[]>
  /** Jobs of which a criterion could tell. */
  judged: ReadonlySet<Job>
  /** Criteria that could not tell, as no floor is known. */
  notes: string[]
}

/** Holds every finished job against the criteria of its step. Throws BAD_RECIPE when a criterion names no number of the step. */
export async function findLearned(
  experiment: LoadedExperiment,
  { runs }: ExperimentPlan,
  floors: Floors,
): Promise<Learned> {
  const reasons = new Map<Job, string[]>()
  const judged = new Set<Job>()
  const notes = new Set<string>()
  for (const [index, criterion] of experiment.learned.entries()) {
    const jobs = new Set(runs.flatMap(({ jobs }) => jobs[criterion.step] ?? []))
    for (const job of jobs) {
      const result = readResult(job)
      if (!result) continue
      const found =
        criterion.head !== undefined
          ? headVerdict(result, criterion.head, criterion.nats, index)
          : await taskVerdict(job, result, criterion, floors)
      if ('unknown' in found) {
        notes.add(`whether step ${criterion.step} learned ${criterion.task} is not told: ${found.unknown}`)
        continue
      }
      judged.add(job)
      if (found.reason !== undefined) reasons.set(job, [...(reasons.get(job) ?? []), found.reason])
    }
  }
  return { reasons, judged, notes: [...notes] }
}

/** Why the job did not learn, nothing when it did; or why that cannot be told. */
type Verdict = { reason?: string } | { unknown: string }

function headVerdict(result: JobResult, head: string, nats: number, index: number): Verdict {
  const { values, step } = result
  const [loss, unigram] = [values[`${head}.loss`], values[`${head}.unigramLoss`]]
  if (isNotFinite(result, `${head}.loss`)) return { reason: `${head}.loss is ${NOT_FINITE}` }
  if (loss === undefined || unigram === undefined) {
    const heads = Object.keys(values).flatMap((name) => /^(.*)\.unigramLoss$/.exec(name)?.[1] ?? [])
    throw new StrataError(
      'BAD_RECIPE',
      `learned.${index}.head: step ${step} gives no held-out loss of a masked LM "${head}"; it has ${heads.join(', ') || 'none'}`,
    )
  }
  if (loss <= unigram - nats) return {}
  return {
    reason: `${head}.loss ${loss.toFixed(3)} is not ${nats} nats below the unigram entropy ${unigram.toFixed(3)}`,
  }
}

async function taskVerdict(
  job: Job,
  result: JobResult,
  { task, metric }: LearnedCriterion,
  floors: Floors,
): Promise<Verdict> {
  const floor = await floors.floorOf(job, result, task!, metric)
  if ('unknown' in floor) return floor
  const { value, score, what } = floor
  if (isNotFinite(result, value)) return { reason: `${value} is ${NOT_FINITE}` }
  const reached = result.values[value]
  return reached > score ? {} : { reason: `${value} ${reached.toFixed(4)} is not above ${what}` }
}

/** The job and those whose checkpoints it came from: what one of them did not learn spoils it. */
export function reasonsOf(job: Job | undefined, learned: Learned): string[] {
  if (!job) return []
  return [...reasonsOf(job.parent, learned), ...(learned.reasons.get(job) ?? [])]
}
