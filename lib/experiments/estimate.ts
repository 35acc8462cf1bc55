/** How long an experiment will take, from a few real steps and looks of each variant. */
import { rm } from 'node:fs/promises'
import { median } from '../evaluation/index.js'
import { readResult } from './job-folder.js'
import { measureLook } from './measure-look.js'
import { type MeasuredRuns, type MeasureOptions, measureTraining } from './measure-training.js'
import type { Job } from './plan.js'

export interface StepEstimate {
  variant: string
  step: string
  kind: Job['kind']
  /** Runs that are still to be done; those that are done. */
  missing: number
  done: number
  /** Of one run; null where it can only be told when it has run once. */
  secondsPerRun: number | null
  /** Where that is from: finished runs, or a measurement and what the plan says. */
  from: string
}

export interface Estimate {
  steps: StepEstimate[]
  missing: number
  /** Of the runs whose time is known. */
  seconds: number
  /** Runs whose time is not known. */
  unknown: number
}

export interface EstimateOptions extends MeasureOptions {
  parallel: number
  onProgress?: (line: string) => void
}

/** Measures what of each variant is not done yet, in child processes. */
export async function estimateJobs(jobs: readonly Job[], options: EstimateOptions): Promise<Estimate> {
  const groups = new Map<string, Job[]>()
  for (const job of jobs) {
    const key = JSON.stringify([job.variant, job.step])
    groups.set(key, [...(groups.get(key) ?? []), job])
  }
  const measured: MeasuredRuns = new Map()
  const steps: StepEstimate[] = []
  try {
    for (const group of groups.values()) {
      const [first] = group
      const results = group.flatMap((job) => readResult(job) ?? [])
      const missing = group.length - results.length
      const common = { variant: first.variant, step: first.step, kind: first.kind, missing, done: results.length }
      if (missing === 0 || results.length > 0) {
        const secondsPerRun = median(results.map(({ commandSeconds }) => commandSeconds))
        steps.push({ ...common, secondsPerRun, from: `${results.length} finished runs` })
      } else {
        options.onProgress?.(`measuring ${first.variant}, step ${first.step}`)
        const found =
          first.kind === 'train'
            ? await measureTraining(first, measured, options)
            : await measureLook(first, measured, options)
        steps.push({ ...common, ...found })
      }
    }
  } finally {
    await rm(options.folder, { recursive: true, force: true })
  }
  const sum = steps.reduce((total, { missing, secondsPerRun }) => total + missing * (secondsPerRun ?? 0), 0)
  return {
    steps,
    missing: steps.reduce((total, { missing }) => total + missing, 0),
    seconds: sum / options.parallel,
    unknown: steps.reduce((total, { missing, secondsPerRun }) => total + (secondsPerRun === null ? missing : 0), 0),
  }
}
