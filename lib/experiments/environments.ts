/** On what the runs of an experiment ran. */
import { join } from 'node:path'
import { readJson, readResult } from './job-folder.js'
import type { Job } from './plan.js'

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

function describe({ versions, machine, git, device, precision }: EnvironmentEntry): string {
  return [
    `${machine?.processor ?? 'unknown processor'} (${machine?.processors ?? '?'} threads)`,
    `${device ?? '?'} ${precision ?? '?'}`,
    `stratabert ${versions?.stratabert ?? '?'}, Node ${versions?.node ?? '?'}`,
    ...(git ? [`commit ${git.commit.slice(0, 7)}${git.dirty ? ' with changes' : ''}`] : []),
  ].join(', ')
}
