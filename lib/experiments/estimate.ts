/** How long an experiment will take, from a few real steps and looks of each variant. */
import { rm } from 'node:fs/promises'
import { median } from '../evaluation/index.js'
import { readResult } from './job-folder.js'
import { measureLook } from './measure-look.js'
import { type MeasuredRuns, type MeasureOptions, measureTraining } from './measure-training.js'
import type { Job } from './plan.js'
import { runsAlone } from './run-jobs.js'

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
  /** Every job of the experiment: they say which of them have the machine to themselves. */
  all: readonly Job[]
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
  let seconds = 0
  const add = (step: StepEstimate, alone: boolean) => {
    steps.push(step)
    seconds += (step.missing * (step.secondsPerRun ?? 0)) / (alone ? 1 : options.parallel)
  }
  try {
    for (const group of groups.values()) {
      const [first] = group
      const results = group.flatMap((job) => readResult(job) ?? [])
      const missing = group.length - results.length
      const alone = runsAlone(first, options.all)
      const settings = alone ? { ...options, threads: undefined } : options
      const common = { variant: first.variant, step: first.step, kind: first.kind, missing, done: results.length }
      if (missing === 0 || results.length > 0) {
        const secondsPerRun = median(results.map(({ commandSeconds }) => commandSeconds))
        add({ ...common, secondsPerRun, from: `${results.length} finished runs` }, alone)
      } else {
        options.onProgress?.(`measuring ${first.variant}, step ${first.step}`)
        const found =
          first.kind === 'train'
            ? await measureTraining(first, measured, settings)
            : await measureLook(first, measured, settings)
        add({ ...common, ...found }, alone)
      }
    }
  } finally {
    await rm(options.folder, { recursive: true, force: true })
  }
  return {
    steps,
    missing: steps.reduce((total, { missing }) => total + missing, 0),
    seconds,
    unknown: steps.reduce((total, { missing, secondsPerRun }) => total + (secondsPerRun === null ? missing : 0), 0),
  }
}
