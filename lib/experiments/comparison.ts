/** What an experiment shows: every run, and a table of its variants beside the baseline. */
import { unknownMeasure, valueNameOf } from './check-measures.js'
import { differentPlaces, environmentsOf } from './environments.js'
import { type EvaluatedScore, evaluatedScores, type RunEvaluations } from './evaluated-scores.js'
import { Floors } from './floors.js'
import { type JobResult, readFailure, readResult } from './job-folder.js'
import { findLearned, type Learned, reasonsOf } from './learned.js'
import type { LoadedExperiment } from './load-experiment.js'
import { isNotFinite, type NotFiniteCell, notFiniteNotes } from './not-finite.js'
import { type Overview, overviewsOf } from './overview.js'
import type { ExperimentPlan, Job } from './plan.js'
import { type JobStatus, statusOf } from './run-jobs.js'
import { type Cell, type ComparisonTableRow, type MeasuredCells, tableRows } from './table-rows.js'
import { type ArmCosts, trainingCosts } from './training-costs.js'

/** One variant with one seed: a run of every step. */
export interface ComparedRun {
  seed: number
  /** Of its last training step, else of its last step. */
  folder: string
  status: 'done' | 'failed' | 'partial' | 'missing'
  /** False when it missed a criterion; undefined where no criterion told, or not yet. */
  learned?: boolean
  notLearned?: string[]
  /** By measure. */
  values: Record<string, number>
  /** Measures whose value is not finite; missing where there is none. */
  notFinite?: string[]
  /** Sums over its training steps. */
  tokens: number
  steps: number
  seconds: number
  /** Its steps, in order. Runs of equal settings are one and shared. */
  parts: { step: string; folder: string; status: JobStatus; error?: string }[]
}

/** What `comparison.json` holds. */
export interface Comparison {
  format: 1
  name: string
  description?: string
  date: string
  /** That wrote it. */
  command?: string
  baseline: string
  test: 'sign-flip' | 't'
  seeds: number[]
  /** Machines and versions of the training runs. */
  environments: string[]
  measures: { name: string; step: string; value: string; better: 'higher' | 'lower' }[]
  variants: { name: string; description?: string; runs: ComparedRun[] }[]
  table: ComparisonTableRow[]
  overviews: Overview[]
  /** What each variant's training steps cost. */
  costs: ArmCosts[]
  /** The measures of training steps at every evaluation of every finished run. */
  evaluations: EvaluatedScore[]
  /** What a reader should know beside the table. */
  notes: string[]
}

/** Reads what is done; `evaluations` are those of its runs. Throws BAD_RECIPE when a measure names a number that no run of its step gives. */
export async function compareRuns(
  experiment: LoadedExperiment,
  plan: ExperimentPlan,
  evaluations: readonly RunEvaluations[],
): Promise<Comparison> {
  const floors = new Floors()
  const results = new Map<Job, JobResult>(
    plan.jobs.flatMap((job) => {
      const result = readResult(job)
      return result ? [[job, result] as const] : []
    }),
  )
  const learned = await findLearned(experiment, plan, floors)
  const measured = measuredCells(experiment, plan, results, learned)
  const notes = [
    ...plan.notes,
    ...missingNotes(experiment, plan),
    ...notFiniteNotes(measured.notFinite),
    ...learned.notes,
    ...warningNotes(results),
    ...differentPlaces(experiment, plan),
  ]
  const table = await tableRows(experiment, measured, floors, notes)
  const { name, description, baseline, test, seeds, measures, variants } = experiment
  return {
    format: 1,
    name,
    ...(description !== undefined && { description }),
    date: new Date().toISOString().slice(0, 10),
    baseline,
    test,
    seeds,
    environments: environmentsOf(plan.jobs),
    measures: measures.map(({ name, step, value, better }) => ({ name, step, value, better })),
    variants: Object.entries(variants).map(([variant, { description }]) => ({
      name: variant,
      ...(description !== undefined && { description }),
      runs: seeds.map((seed) => comparedRun(variant, seed, plan, results, learned, measured)),
    })),
    table,
    overviews: overviewsOf(experiment, table),
    costs: await trainingCosts(experiment, plan),
    evaluations: evaluatedScores(experiment, evaluations),
    notes,
  }
}

function measuredCells(
  experiment: LoadedExperiment,
  { runs }: ExperimentPlan,
  results: ReadonlyMap<Job, JobResult>,
  learned: Learned,
): MeasuredCells {
  const cells: Cell[] = []
  const notFinite: NotFiniteCell[] = []
  for (const measure of experiment.measures) {
    // A step of equal settings for several seeds is one run: it counts once.
    const counted = new Set<string>()
    const known = new Set<string>()
    let looked = 0
    let found = 0
    for (const { variant, seed, jobs } of runs) {
      const job = jobs[measure.step]
      const result = results.get(job)
      if (!result) continue
      const valueName = valueNameOf(experiment, measure, { variant, seed })
      const numbers = measure.stage === undefined ? result.values : (result.stages[measure.stage] ?? {})
      looked++
      const names =
        measure.stage === undefined
          ? Object.keys(result.values)
          : Object.keys(result.stages).flatMap((stage) =>
              Object.keys(result.stages[stage]).map((value) => `${value} (stage ${stage})`),
            )
      for (const name of names) known.add(name)
      const value = numbers[valueName]
      if (value === undefined && !isNotFinite(result, valueName, measure.stage)) continue
      found++
      if (counted.has(`${variant} ${job.id}`)) continue
      counted.add(`${variant} ${job.id}`)
      const place = { measure, variant, seed, valueName }
      if (value === undefined) notFinite.push(place)
      else {
        const fromUnlearned = reasonsOf(job.parent, learned).length > 0
        cells.push({ ...place, job, value, learned: reasonsOf(job, learned).length === 0, fromUnlearned })
      }
    }
    if (looked > 0 && found === 0) throw unknownMeasure(experiment, measure, [...known])
  }
  return { cells, notFinite }
}

function missingNotes({ measures }: LoadedExperiment, { runs, jobs }: ExperimentPlan): string[] {
  const failed = jobs.flatMap((job) => {
    const failure = readResult(job) ? undefined : readFailure(job)
    return failure
      ? [`failed: ${job.variant}, step ${job.step}, seed ${job.seed}: ${failure.message.split('\n')[0]}`]
      : []
  })
  const measured = new Set(measures.map(({ step }) => step))
  const missing = runs.filter(({ jobs }) => [...measured].some((step) => statusOf(jobs[step]) !== 'done'))
  const note = `${missing.length} of ${runs.length} runs are not done: the table is of the others`
  return [...failed, ...(missing.length > 0 ? [note] : [])]
}

function warningNotes(results: ReadonlyMap<Job, JobResult>): string[] {
  return [...results].flatMap(([{ variant, step, seed }, { warnings = [] }]) =>
    warnings.map((warning) => `${variant}, step ${step}, seed ${seed}: ${warning}`),
  )
}

function comparedRun(
  variant: string,
  seed: number,
  { runs }: ExperimentPlan,
  results: ReadonlyMap<Job, JobResult>,
  learned: Learned,
  { cells, notFinite }: MeasuredCells,
): ComparedRun {
  const { jobs } = runs.find((run) => run.variant === variant && run.seed === seed)!
  const own = Object.values(jobs)
  const statuses = own.map(statusOf)
  const done = own.flatMap((job) => results.get(job) ?? [])
  const reasons = [...new Set(own.flatMap((job) => reasonsOf(job, learned)))]
  const status = statuses.every((one) => one === 'done')
    ? 'done'
    : statuses.includes('failed')
      ? 'failed'
      : statuses.includes('done')
        ? 'partial'
        : 'missing'
  const sum = (key: 'tokens' | 'steps' | 'seconds') =>
    done.filter(({ kind }) => kind === 'train').reduce((total, result) => total + result[key], 0)
  const isOfRun = (cell: { variant: string; seed: number }) => cell.variant === variant && cell.seed === seed
  const lost = notFinite.filter(isOfRun).map(({ measure }) => measure.name)
  return {
    seed,
    folder: (own.findLast(({ kind }) => kind === 'train') ?? own.at(-1)!).folder,
    status,
    ...(status === 'done' && own.some((job) => learned.judged.has(job)) && { learned: true }),
    ...(reasons.length > 0 && { learned: false, notLearned: reasons }),
    values: Object.fromEntries(cells.filter(isOfRun).map(({ measure, value }) => [measure.name, value])),
    ...(lost.length > 0 && { notFinite: lost }),
    tokens: sum('tokens'),
    steps: sum('steps'),
    seconds: sum('seconds'),
    parts: Object.entries(jobs).map(([step, job], index) => {
      const failure = statuses[index] === 'failed' ? readFailure(job) : undefined
      return { step, folder: job.folder, status: statuses[index], ...(failure && { error: failure.message }) }
    }),
  }
}
