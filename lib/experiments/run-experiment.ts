/** An experiment from its file to its table. */
import { join, resolve } from 'node:path'
import { StrataError } from '../errors.js'
import { usableThreads } from '../runtime/index.js'
import { lockRun, makeFolder, replaceFile } from '../training/index.js'
import { checkMeasures, unknownMeasure, valueNameOf } from './check-measures.js'
import { type Comparison, compareRuns } from './comparison.js'
import { type Estimate, estimateJobs } from './estimate.js'
import { runEvaluations } from './evaluated-scores.js'
import { readFailure, readFolderNames, readResult } from './job-folder.js'
import { loadExperiment } from './load-experiment.js'
import { isNotFinite } from './not-finite.js'
import { type ExperimentPlan, type Job, planExperiment } from './plan.js'
import { type JobEvent, runJobs } from './run-jobs.js'
import type { ExperimentInput, Keep } from './schema.js'
import { writeComparison } from './write-comparison.js'

export interface CompareOptions {
  /** Folder of the runs and the table; the same folder again goes on with what is there. */
  output: string
  /** For `${name}` in the experiment. */
  paths?: Readonly<Record<string, string>>
  /** Only these variants are run. The table is of all that is done. */
  only?: readonly string[]
  /** Runs at a time, if memory allows; default 1. They share the processors. */
  parallel?: number
  /** In place of the experiment's own. */
  keep?: Keep
  /** Runs nothing. */
  tableOnly?: boolean
  /** An abort lets the running runs write their checkpoints; the same call goes on later. */
  signal?: AbortSignal
  /** An abort ends them at once. */
  kill?: AbortSignal
  onEvent?: (event: JobEvent) => void
  /** The command line, for the table. */
  command?: string
}

export interface CompareResult {
  status: 'completed' | 'interrupted'
  /** Runs that failed, or could not be run for it. */
  failed: number
  /** Runs that are missing, of these variants. */
  missing: number
  comparison: Comparison
}

/**
 * Runs what is missing of an experiment (a file or a value) in processes of their own and compares. After every run the table in
 * `output` is written anew: see {@link writeComparison}. Throws BAD_RECIPE for a wrong experiment, BAD_ARGUMENT when
 * another process is at work in `output`.
 *
 * @example
 * const { comparison } = await compareExperiment('mix.yaml', { output: 'runs/mix', paths: { glue: 'data/glue' } })
 */
export async function compareExperiment(
  experimentFile: string | ExperimentInput,
  options: CompareOptions,
): Promise<CompareResult> {
  const output = resolve(options.output)
  const experiment = await loadExperiment(experimentFile, options.paths)
  checkVariants(experiment.variants, options.only)
  const plan = await planExperiment(experiment, readFolderNames(output))
  checkMeasures(experiment, plan)
  const write = async () => {
    const evaluations = await runEvaluations(plan)
    const command = options.command ?? `compareExperiment(${experiment.label})`
    const comparison = { ...(await compareRuns(experiment, plan, evaluations)), command }
    await writeComparison(output, comparison, evaluations)
    return comparison
  }
  const wanted = wantedJobs(plan, options.only)
  if (!options.tableOnly) {
    await makeFolder(output)
    const lock = await lockRun(output)
    try {
      await replaceFile(join(output, 'experiment.json'), `${JSON.stringify(experiment, null, 2)}\n`)
      await runJobs(wanted, {
        ...options,
        keep: options.keep ?? experiment.keep,
        all: plan.jobs,
        threads: threadsOf(options.parallel),
        onEnd: async () => void (await write()),
      })
    } finally {
      await lock.release()
    }
  } else if (plan.jobs.every((job) => !readResult(job) && !readFailure(job))) {
    throw new StrataError('NOT_FOUND', `${output} holds no run of this experiment yet; run it without --table`)
  }
  const comparison = await write()
  const failed = wanted.filter((job) => readFailure(job) && !readResult(job)).length
  const missing = wanted.filter((job) => !readResult(job)).length
  const stopped = options.signal?.aborted || options.kill?.aborted
  return { status: stopped && missing > failed ? 'interrupted' : 'completed', failed, missing, comparison }
}

/** What would be run and how long it would take; a few steps of each variant are run for it. */
export async function estimateExperiment(
  experimentFile: string | ExperimentInput,
  options: CompareOptions & { onProgress?: (line: string) => void },
): Promise<Estimate & { output: string; runs: { variant: string; step: string; seed: number; status: string }[] }> {
  const output = resolve(options.output)
  const experiment = await loadExperiment(experimentFile, options.paths)
  checkVariants(experiment.variants, options.only)
  const plan = await planExperiment(experiment, readFolderNames(output))
  checkMeasures(experiment, plan)
  const jobs = wantedJobs(plan, options.only)
  const estimate = await estimateJobs(jobs, {
    folder: join(output, `.measure.${process.pid}`),
    parallel: options.parallel ?? 1,
    all: plan.jobs,
    threads: threadsOf(options.parallel),
    signal: options.signal,
    onProgress: options.onProgress,
    onMeasured: (job, found) => {
      const { values, stages } = found
      for (const measure of experiment.measures) {
        const of = measure.stage === undefined ? values : (stages[measure.stage] ?? {})
        const name = valueNameOf(experiment, measure, { variant: job.variant, seed: job.seed })
        const isThere = name in of || isNotFinite(found, name, measure.stage)
        if (measure.step === job.step && !isThere) throw unknownMeasure(experiment, measure, Object.keys(values))
      }
    },
  })
  const runs = jobs.map((job) => ({
    variant: job.variant,
    step: job.step,
    seed: job.seed,
    status: readResult(job) ? 'done' : readFailure(job) ? 'failed, is tried again' : 'missing',
  }))
  return { ...estimate, output, runs }
}

/** Runs at a time share the threads that one may take; one alone takes what its recipe says. */
function threadsOf(parallel = 1): number | undefined {
  return parallel > 1 ? Math.max(1, Math.floor(usableThreads() / parallel)) : undefined
}

function checkVariants(variants: object, only: readonly string[] = []): void {
  const names = Object.keys(variants)
  const unknown = only.find((name) => !names.includes(name))
  if (unknown !== undefined)
    throw new StrataError('BAD_ARGUMENT', `--only came as "${unknown}", expected one of ${names.join(', ')}`)
}

/** The jobs of some variants, with those that they start from. */
function wantedJobs({ jobs, runs }: ExperimentPlan, only: readonly string[] = []): Job[] {
  if (only.length === 0) return jobs
  const wanted = new Set(runs.filter(({ variant }) => only.includes(variant)).flatMap((run) => Object.values(run.jobs)))
  return jobs.filter((job) => wanted.has(job))
}
