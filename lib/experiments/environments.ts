/** On what the runs of an experiment ran. */
import { join } from 'node:path'
import { ENVIRONMENT_FILE } from '../training/index.js'
import { PROBES_FILE } from './job-command.js'
import { readJson, readResult } from './job-folder.js'
import type { LoadedExperiment } from './load-experiment.js'
import type { ExperimentPlan, Job } from './plan.js'

interface EnvironmentEntry {
  versions?: Record<string, string>
  machine?: { processor?: string; processors?: number }
  git?: { commit: string; dirty: boolean }
  device?: string
  precision?: string
  computeThreads?: number
}

/** One line for each kind of place and version that finished training runs had, most runs first. */
export function environmentsOf(jobs: readonly Job[]): string[] {
  const counts = new Map<string, number>()
  for (const job of jobs) {
    if (job.kind !== 'train' || !readResult(job)) continue
    const entries = readJson<EnvironmentEntry[]>(join(job.folder, ENVIRONMENT_FILE)) ?? []
    // A run that was gone on with elsewhere counts for both places.
    for (const line of new Set(entries.map(describe))) counts.set(line, (counts.get(line) ?? 0) + 1)
  }
  return [...counts].sort(([, a], [, b]) => b - a).map(([line]) => line)
}

/**
 * One note a variant and step whose runs had another device, precision or number of threads, or were made by other versions, than those that
 * they are compared with, seed by seed: the difference may be of these. Evaluations do not tell theirs.
 */
export function differentPlaces(experiment: LoadedExperiment, plan: ExperimentPlan): string[] {
  return [
    ...differences(experiment, plan, 'ran on', placeOf),
    ...differences(experiment, plan, 'computed with', threadsOf),
    ...differences(experiment, plan, 'was made by', versionsOf),
  ]
}

function differences(
  { baseline, variants }: LoadedExperiment,
  { runs }: ExperimentPlan,
  verb: string,
  factOf: (job: Job) => string | undefined,
): string[] {
  const seeds = new Map<string, number[]>()
  for (const { variant, seed, jobs } of runs) {
    const { against = baseline } = variants[variant]
    const other = runs.find((run) => run.variant === against && run.seed === seed)
    if (variant === against || !other) continue
    for (const [step, job] of Object.entries(jobs)) {
      const [own, theirs] = [factOf(job), factOf(other.jobs[step])]
      if (own === undefined || theirs === undefined || own === theirs) continue
      const what = `${variant}, step ${step}, ${verb} ${own}, ${against} ${verb.split(' ').at(-1)} ${theirs}`
      seeds.set(what, [...(seeds.get(what) ?? []), seed])
    }
  }
  return [...seeds].map(
    ([what, own]) =>
      `${what} (seed${own.length > 1 ? 's' : ''} ${own.join(', ')}): that may be part of their difference`,
  )
}

/** Device and precision of a finished run, all of them where it went on elsewhere; undefined where it does not say. */
const placeOf = (job: Job): string | undefined =>
  joined(entriesOf(job).map(({ device, precision }) => (device && precision ? `${device} ${precision}` : undefined)))

/** Compute threads of a finished run on a processor, likewise. */
const threadsOf = (job: Job): string | undefined =>
  joined(
    entriesOf(job).map(({ device, computeThreads: count }) =>
      device === 'cpu' && count !== undefined ? `${count} thread${count === 1 ? '' : 's'}` : undefined,
    ),
  )

/** What computed a finished run, likewise. */
const versionsOf = (job: Job): string | undefined =>
  joined(
    entriesOf(job).map(({ versions, git }) => {
      if (versions?.stratabert === undefined) return undefined
      return `stratabert ${versions.stratabert}${git ? `, ${commitOf(git)}` : ''}`
    }),
  )

const joined = (facts: readonly (string | undefined)[]): string | undefined => {
  const known = facts.filter((fact) => fact !== undefined)
  return known.length > 0 ? [...new Set(known)].sort().join(' and ') : undefined
}

/** Starts of a finished run. */
function entriesOf(job: Job): EnvironmentEntry[] {
  if (!readResult(job) || job.kind === 'evaluate') return []
  if (job.kind === 'probe') return [readJson<EnvironmentEntry>(join(job.folder, PROBES_FILE)) ?? {}]
  return readJson<EnvironmentEntry[]>(join(job.folder, ENVIRONMENT_FILE)) ?? []
}

const commitOf = ({ commit, dirty }: { commit: string; dirty: boolean }): string =>
  `commit ${commit.slice(0, 7)}${dirty ? ' with changes' : ''}`

function describe({ versions, machine, git, device, precision, computeThreads: count }: EnvironmentEntry): string {
  const ofThreads = count === undefined ? '' : `${count} of `
  return [
    `${machine?.processor ?? 'unknown processor'} (${ofThreads}${machine?.processors ?? '?'} threads)`,
    `${device ?? '?'} ${precision ?? '?'}`,
    `stratabert ${versions?.stratabert ?? '?'}, Node ${versions?.node ?? '?'}`,
    ...(git ? [commitOf(git)] : []),
  ].join(', ')
}
