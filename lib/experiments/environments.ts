/** On what the runs of an experiment ran. */
import { join } from 'node:path'
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
}

/** One line for each kind of place and version that finished training runs had, most runs first. */
export function environmentsOf(jobs: readonly Job[]): string[] {
  const counts = new Map<string, number>()
  for (const job of jobs) {
    if (job.kind !== 'train' || !readResult(job)) continue
    const entries = readJson<EnvironmentEntry[]>(join(job.folder, 'environment.json')) ?? []
    // A run that was gone on with elsewhere counts for both places.
    for (const line of new Set(entries.map(describe))) counts.set(line, (counts.get(line) ?? 0) + 1)
  }
  return [...counts].sort(([, a], [, b]) => b - a).map(([line]) => line)
}

/**
 * One note a variant and step whose runs had another device or precision than those that they are compared with, seed by seed: the
 * difference may be of these. Evaluations do not tell theirs.
 */
export function differentPlaces({ baseline, variants }: LoadedExperiment, { runs }: ExperimentPlan): string[] {
  const seeds = new Map<string, number[]>()
  for (const { variant, seed, jobs } of runs) {
    const { against = baseline } = variants[variant]
    const other = runs.find((run) => run.variant === against && run.seed === seed)
    if (variant === against || !other) continue
    for (const [step, job] of Object.entries(jobs)) {
      const [own, theirs] = [placeOf(job), placeOf(other.jobs[step])]
      if (own === undefined || theirs === undefined || own === theirs) continue
      const what = `${variant}, step ${step}, ran on ${own}, ${against} on ${theirs}`
      seeds.set(what, [...(seeds.get(what) ?? []), seed])
    }
  }
  return [...seeds].map(
    ([what, own]) =>
      `${what} (seed${own.length > 1 ? 's' : ''} ${own.join(', ')}): that may be part of their difference`,
  )
}

/** Device and precision of a finished run, all of them where it went on elsewhere; undefined where it does not say. */
function placeOf(job: Job): string | undefined {
  if (!readResult(job)) return undefined
  const found =
    job.kind === 'train'
      ? (readJson<EnvironmentEntry[]>(join(job.folder, 'environment.json')) ?? [])
      : job.kind === 'probe'
        ? [readJson<EnvironmentEntry>(join(job.folder, PROBES_FILE)) ?? {}]
        : []
  const places = found.flatMap(({ device, precision }) => (device && precision ? `${device} ${precision}` : []))
  return places.length > 0 ? [...new Set(places)].sort().join(' and ') : undefined
}

function describe({ versions, machine, git, device, precision }: EnvironmentEntry): string {
  return [
    `${machine?.processor ?? 'unknown processor'} (${machine?.processors ?? '?'} threads)`,
    `${device ?? '?'} ${precision ?? '?'}`,
    `stratabert ${versions?.stratabert ?? '?'}, Node ${versions?.node ?? '?'}`,
    ...(git ? [`commit ${git.commit.slice(0, 7)}${git.dirty ? ' with changes' : ''}`] : []),
  ].join(', ')
}
