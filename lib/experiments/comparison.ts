/** What an experiment shows: every run, and a table of its variants beside the baseline. */
import { compareToBaseline, type PairedBootstrap, summarize } from '../evaluation/index.js'
import { unknownMeasure, valueNameOf } from './check-measures.js'
import { type ConvergenceOutcome, convergenceOf } from './curves.js'
import { environmentsOf } from './environments.js'
import { bootstrapOf } from './example-bootstrap.js'
import { type JobResult, readFailure, readResult } from './job-folder.js'
import { findNotLearned, type NotLearned, reasonsOf } from './learned.js'
import type { LoadedExperiment, Measure } from './load-experiment.js'
import { Majorities } from './majority.js'
import type { ExperimentPlan, Job } from './plan.js'
import { type JobStatus, statusOf } from './run-jobs.js'

export interface ComparedRun {
  seed: number
  /** Of its last training step, else of its last step. */
  folder: string
  status: 'done' | 'failed' | 'partial' | 'missing'
  /** False when it missed a criterion; undefined until that can be told. */
  learned?: boolean
  notLearned?: string[]
  /** By measure. */
  values: Record<string, number>
  /** Sums over its training steps. */
  tokens: number
  steps: number
  seconds: number
  /** Its steps, in order. Runs of equal settings are one and shared. */
  parts: { step: string; folder: string; status: JobStatus; error?: string }[]
}

export interface ComparisonTableRow {
  variant: string
  measure: string
  /** Variant that it is compared with, where that is not the experiment's baseline. */
  against?: string
  /** Runs with a value. */
  n: number
  mean?: number
  standardDeviation?: number
  /** 95 %, Student's t over the runs. */
  interval?: [low: number, high: number]
  /** Runs with a value that learned nothing. */
  notLearned: number
  /** Seeds of which both this variant and the baseline have a run that learned: what follows is about these. */
  pairs?: number
  /** Mean of variant − baseline, and its t-interval. */
  difference?: number
  differenceInterval?: [low: number, high: number]
  /** Of the experiment's test; then after Holm's correction over all tests of the table. */
  pValue?: number
  adjustedPValue?: number
  /** Both tests, and the smallest p that sign flips of so many seeds can give. */
  signFlip?: { p: number; adjusted: number; smallestP: number }
  tTest?: { p: number; adjusted: number }
  /** The smallest difference that a paired t-test of these seeds would have shown in 80 % of the cases. */
  smallestDetectable?: number
  /** Over seeds and examples, where predictions were kept. */
  bootstrap?: Pick<PairedBootstrap, 'difference' | 'low' | 'high' | 'p' | 'draws' | 'layers'>
  /** Median over the comparable seeds of: first step of the baseline at the target / that of the variant. */
  convergenceFactor?: number
  convergence?: {
    interval?: [low: number, high: number]
    coverage?: number
    comparable: number
    notComparable: number
    enoughSeeds: boolean
  }
  /** The known figure of the measure (mean of several), and mean − that figure. */
  reference?: number
  referenceDifference?: number
}

export interface Comparison {
  format: 1
  name: string
  description?: string
  date: string
  baseline: string
  test: 'sign-flip' | 't'
  seeds: number[]
  /** Machines and versions of the training runs. */
  environments: string[]
  measures: { name: string; step: string; value: string; better: 'higher' | 'lower' }[]
  variants: { name: string; description?: string; runs: ComparedRun[] }[]
  table: ComparisonTableRow[]
  /** What a reader should know beside the table. */
  notes: string[]
}

/** Reads what is done. Throws BAD_RECIPE when a measure names a number that no run of its step gives. */
export async function compareRuns(experiment: LoadedExperiment, plan: ExperimentPlan): Promise<Comparison> {
  const majorities = new Majorities()
  const results = new Map<Job, JobResult>(
    plan.jobs.flatMap((job) => {
      const result = readResult(job)
      return result ? [[job, result] as const] : []
    }),
  )
  const notLearned = await findNotLearned(experiment, plan, majorities)
  const cells = measuredCells(experiment, plan, results, notLearned)
  const notes = [...plan.notes, ...missingNotes(experiment, plan)]
  const table = await tableRows(experiment, cells, majorities, notes)
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
      runs: seeds.map((seed) => comparedRun(variant, seed, plan, results, notLearned, cells)),
    })),
    table,
    notes,
  }
}

/** One number of the table's base: a measure of a variant with a seed. */
interface Cell {
  measure: Measure
  variant: string
  seed: number
  job: Job
  /** Name of the number, the variant's variables filled in. */
  valueName: string
  value: number
  learned: boolean
}

function measuredCells(
  experiment: LoadedExperiment,
  { runs }: ExperimentPlan,
  results: ReadonlyMap<Job, JobResult>,
  notLearned: NotLearned,
): Cell[] {
  const cells: Cell[] = []
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
      if (value === undefined) continue
      found++
      if (counted.has(`${variant} ${job.id}`)) continue
      counted.add(`${variant} ${job.id}`)
      cells.push({ measure, variant, seed, job, valueName, value, learned: reasonsOf(job, notLearned).length === 0 })
    }
    if (looked > 0 && found === 0) throw unknownMeasure(experiment, measure, [...known])
  }
  return cells
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

function comparedRun(
  variant: string,
  seed: number,
  { runs }: ExperimentPlan,
  results: ReadonlyMap<Job, JobResult>,
  notLearned: NotLearned,
  cells: readonly Cell[],
): ComparedRun {
  const { jobs } = runs.find((run) => run.variant === variant && run.seed === seed)!
  const own = Object.values(jobs)
  const statuses = own.map(statusOf)
  const done = own.flatMap((job) => results.get(job) ?? [])
  const reasons = [...new Set(own.flatMap((job) => reasonsOf(job, notLearned)))]
  const status = statuses.every((one) => one === 'done')
    ? 'done'
    : statuses.includes('failed')
      ? 'failed'
      : statuses.includes('done')
        ? 'partial'
        : 'missing'
  const sum = (key: 'tokens' | 'steps' | 'seconds') =>
    done.filter(({ kind }) => kind === 'train').reduce((total, result) => total + result[key], 0)
  const ofRun = cells.filter((cell) => cell.variant === variant && cell.seed === seed)
  return {
    seed,
    folder: (own.findLast(({ kind }) => kind === 'train') ?? own.at(-1)!).folder,
    status,
    ...(status === 'done' && { learned: reasons.length === 0 }),
    ...(reasons.length > 0 && { learned: false, notLearned: reasons }),
    values: Object.fromEntries(ofRun.map(({ measure, value }) => [measure.name, value])),
    tokens: sum('tokens'),
    steps: sum('steps'),
    seconds: sum('seconds'),
    parts: Object.entries(jobs).map(([step, job], index) => {
      const failure = statuses[index] === 'failed' ? readFailure(job) : undefined
      return { step, folder: job.folder, status: statuses[index], ...(failure && { error: failure.message }) }
    }),
  }
}

async function tableRows(
  experiment: LoadedExperiment,
  cells: readonly Cell[],
  majorities: Majorities,
  notes: string[],
): Promise<ComparisonTableRow[]> {
  const { baseline, measures, variants } = experiment
  const rows = measures.flatMap((measure) =>
    Object.entries(variants).map(([variant, { against = baseline }]) => {
      const of = (name: string) => cells.filter((cell) => cell.measure === measure && cell.variant === name)
      const [own, others] = [of(variant), of(against)]
      const done = own.flatMap((cell): Pair[] => {
        const other = others.find(({ seed }) => seed === cell.seed)
        // Runs of equal settings are one run: there is nothing to compare.
        const isSame = other?.job === cell.job && other.valueName === cell.valueName
        return variant !== against && other && !isSame ? [{ seed: cell.seed, own: cell, baseline: other }] : []
      })
      const pairs = done.filter((pair) => pair.own.learned && pair.baseline.learned)
      return { measure, variant, against, own, done, pairs }
    }),
  )
  const tests = pairedTests(rows)
  const table: ComparisonTableRow[] = []
  for (const [index, { measure, variant, against, own, done, pairs }] of rows.entries()) {
    const row: ComparisonTableRow = {
      ...summaryRow(measure, variant, own),
      ...(against !== baseline && { against }),
      ...testsOfRow(tests[index], pairs.length, measure.tested ? experiment.test : undefined),
    }
    const [first] = pairs
    const bootstrap =
      first && first.own.valueName === first.baseline.valueName
        ? await bootstrapOf(first.own.valueName, jobsOf(pairs))
        : undefined
    if (bootstrap && 'problem' in bootstrap) {
      notes.push(`no bootstrap of ${measure.name}, ${variant}: ${bootstrap.problem}`)
    } else if (bootstrap) {
      const { difference, low, high, p, draws, layers } = bootstrap
      row.bootstrap = { difference, low, high, p, draws, layers }
    }
    // A run that never left the majority score is this one's own matter: it makes its pair "not comparable".
    if (measure.convergence && done.length > 0) {
      const names = { own: done[0].own.valueName, baseline: done[0].baseline.valueName }
      addConvergence(row, await convergenceOf(measure, names, jobsOf(done), majorities), notes)
    }
    table.push(row)
  }
  return table
}

type Pair = { seed: number; own: Cell; baseline: Cell }

function jobsOf(pairs: readonly Pair[]): { seed: number; own: Job; baseline: Job }[] {
  return pairs.map(({ seed, own, baseline }) => ({ seed, own: own.job, baseline: baseline.job }))
}

interface PairedRow {
  measure: Measure
  pairs: readonly Pair[]
}

/** Two seeds at least make a test. Holm's correction runs over those of the tested measures. */
function pairedTests(rows: readonly PairedRow[]) {
  const compared = (tested: boolean) => {
    const table = rows.flatMap(({ measure, pairs }, index): [string, Record<string, Record<string, number>>][] => {
      if (pairs.length < 2 || measure.tested !== tested) return []
      const variant = Object.fromEntries(pairs.map(({ seed, own }) => [seed, own.value]))
      const baseline = Object.fromEntries(pairs.map((pair) => [pair.seed, pair.baseline.value]))
      return [[String(index), { variant, baseline }]]
    })
    return compareToBaseline(Object.fromEntries(table), 'baseline')
  }
  const found = [...compared(true), ...compared(false)].filter(({ run }) => run === 'variant')
  return rows.map((_, index) => found.find(({ measure }) => measure === String(index))?.against)
}

function summaryRow({ name, reference }: Measure, variant: string, cells: readonly Cell[]): ComparisonTableRow {
  const { count, mean, standardDeviation, low, high } = summarize(cells.map(({ value }) => value))
  const known = reference.length > 0 ? reference.reduce((sum, one) => sum + one, 0) / reference.length : undefined
  return {
    variant,
    measure: name,
    n: count,
    ...(count > 0 && { mean }),
    ...(count > 1 && { standardDeviation, interval: [low, high] as [number, number] }),
    notLearned: cells.filter(({ learned }) => !learned).length,
    ...(known !== undefined && { reference: known, ...(count > 0 && { referenceDifference: mean - known }) }),
  }
}

function testsOfRow(
  tests: ReturnType<typeof pairedTests>[number],
  pairs: number,
  test?: LoadedExperiment['test'],
): Partial<ComparisonTableRow> {
  if (!tests) return pairs > 0 ? { pairs } : {}
  const { tTest, signFlip, tTestHolm, signFlipHolm, smallestEffect } = tests
  const { mean, low, high } = tTest.differences
  const [pValue, adjustedPValue] = test === 't' ? [tTest.p, tTestHolm] : [signFlip.p, signFlipHolm]
  const difference = { pairs, difference: mean, differenceInterval: [low, high] as [number, number] }
  if (test === undefined) return difference
  return {
    ...difference,
    ...(!Number.isNaN(pValue) && { pValue, adjustedPValue }),
    signFlip: { p: signFlip.p, adjusted: signFlipHolm, smallestP: signFlip.smallestP },
    ...(!Number.isNaN(tTest.p) && { tTest: { p: tTest.p, adjusted: tTestHolm } }),
    ...(!Number.isNaN(smallestEffect) && { smallestDetectable: smallestEffect }),
  }
}

function addConvergence(row: ComparisonTableRow, outcome: ConvergenceOutcome, notes: string[]): void {
  const place = `convergence of ${row.measure}, ${row.variant}`
  if ('problem' in outcome) {
    notes.push(`${place}: no factor: ${outcome.problem}`)
    return
  }
  const { comparable, notComparable, median, interval, enoughSeeds, pairs } = outcome.found
  if (comparable > 0) row.convergenceFactor = median
  row.convergence = {
    comparable,
    notComparable,
    enoughSeeds,
    ...(comparable > 0 && { interval: [interval.low, interval.high] as [number, number], coverage: interval.coverage }),
  }
  for (const note of outcome.notes) if (!notes.includes(note)) notes.push(note)
  for (const { seed, stuck } of pairs) {
    if (stuck.length > 0)
      notes.push(`${place}, seed ${seed}: not comparable, ${stuck.join(' and ')} never left the majority score`)
  }
}
