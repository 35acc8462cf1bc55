/** The rows of a table: each variant's figures beside its baseline's. */
import {
  compareToBaseline,
  ENOUGH_SEEDS,
  median,
  type PairedBootstrap,
  smallestPairedEffect,
  summarize,
} from '../evaluation/index.js'
import { type ConvergenceOutcome, convergenceOf } from './curves.js'
import { bootstrapOf } from './example-bootstrap.js'
import type { Floors } from './floors.js'
import type { LoadedExperiment, Measure } from './load-experiment.js'
import type { NotFiniteCell } from './not-finite.js'
import type { Job } from './plan.js'
import { examplesBehind, smallestByExamples } from './set-size.js'

export interface ComparisonTableRow {
  variant: string
  measure: string
  /** Variant that it is compared with, where that is not the experiment's baseline. */
  against?: string
  /** Runs with a value. */
  n: number
  mean?: number
  median?: number
  standardDeviation?: number
  /** Runs whose value is not finite, which count nowhere else; missing where there is none. */
  notFinite?: number
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
  /** Of an accuracy: held-out examples, and the smallest difference that so many could have shown. */
  examples?: number
  smallestByExamples?: number
  /** Over seeds and examples, where predictions were kept. No p: it would stand uncorrected beside Holm's. */
  bootstrap?: Pick<PairedBootstrap, 'difference' | 'low' | 'high' | 'draws' | 'layers'>
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
  /** The smallest difference from that figure, taken as exact, that a t-test of these runs would have shown in 80 % of the cases. */
  referenceDetectable?: number
}

/** One number of the table's base: a measure of a variant with a seed. */
export interface Cell {
  measure: Measure
  variant: string
  seed: number
  job: Job
  /** Name of the number, the variant's variables filled in. */
  valueName: string
  value: number
  learned: boolean
  /** A run that it started from learned nothing. */
  fromUnlearned: boolean
}

/** What the finished runs gave for the measures. */
export interface MeasuredCells {
  cells: readonly Cell[]
  notFinite: readonly NotFiniteCell[]
}

/** One row a measure and variant, in the file's order. What a reader should know is added to `notes`. */
export async function tableRows(
  experiment: LoadedExperiment,
  { cells, notFinite }: MeasuredCells,
  floors: Floors,
  notes: string[],
): Promise<ComparisonTableRow[]> {
  const { baseline, measures, variants } = experiment
  const rows = measures.flatMap((measure) =>
    Object.entries(variants).map(([variant, { against = baseline }]) => {
      const of = (name: string) => cells.filter((cell) => cell.measure === measure && cell.variant === name)
      const [own, others] = [of(variant), of(against)]
      const lost = notFinite.filter((cell) => cell.measure === measure && cell.variant === variant).length
      const done = own.flatMap((cell): Pair[] => {
        const other = others.find(({ seed }) => seed === cell.seed)
        // Runs of equal settings are one run: there is nothing to compare.
        const isSame = other?.job === cell.job && other.valueName === cell.valueName
        return variant !== against && other && !isSame ? [{ seed: cell.seed, own: cell, baseline: other }] : []
      })
      const pairs = done.filter((pair) => pair.own.learned && pair.baseline.learned)
      return { measure, variant, against, own, lost, done, pairs }
    }),
  )
  const tests = pairedTests(rows)
  const table: ComparisonTableRow[] = []
  for (const [index, { measure, variant, against, own, lost, done, pairs }] of rows.entries()) {
    const row: ComparisonTableRow = {
      ...summaryRow(measure, variant, own),
      ...(lost > 0 && { notFinite: lost }),
      ...(against !== baseline && { against }),
      ...testsOfRow(tests[index], pairs.length, measure.tested ? experiment.test : undefined),
      ...setOfRow(
        pairs.length > 0 ? pairs.flatMap((pair) => [pair.own, pair.baseline]) : measure.reference.length > 0 ? own : [],
      ),
    }
    const [first] = pairs
    const bootstrap =
      first && first.own.valueName === first.baseline.valueName
        ? await bootstrapOf(first.own.valueName, jobsOf(pairs))
        : undefined
    if (bootstrap && 'problem' in bootstrap) {
      notes.push(`no bootstrap of ${measure.name}, ${variant}: ${bootstrap.problem}`)
    } else if (bootstrap) {
      const { difference, low, high, draws, layers } = bootstrap
      row.bootstrap = { difference, low, high, draws, layers }
    }
    if (measure.convergence) {
      // A run that never left the majority score is this one's own matter: it makes its pair "not comparable".
      const begun = done.filter((pair) => !pair.own.fromUnlearned && !pair.baseline.fromUnlearned)
      const place = `convergence of ${measure.name}, ${variant}`
      for (const { seed } of done.filter((pair) => !begun.includes(pair)))
        notes.push(`${place}, seed ${seed}: left out, a run starts from one that did not learn`)
      if (begun.length > 0) {
        const names = { own: begun[0].own.valueName, baseline: begun[0].baseline.valueName }
        addConvergence(row, place, await convergenceOf(measure, names, jobsOf(begun), floors), notes)
      }
    }
    table.push(row)
  }
  notes.push(...fewSeedsNotes(table))
  return table
}

/** One note for all factors that are of too few seeds to claim anything. */
function fewSeedsNotes(table: readonly ComparisonTableRow[]): string[] {
  const few = table.flatMap(({ measure, variant, convergence }) =>
    convergence && convergence.comparable > 0 && !convergence.enoughSeeds
      ? [`${measure}, ${variant} (${convergence.comparable})`]
      : [],
  )
  return few.length > 0
    ? [`convergence: a claim needs ${ENOUGH_SEEDS} comparable seeds, fewer have: ${few.join('; ')}`]
    : []
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
  const values = cells.map(({ value }) => value)
  const { count, mean, standardDeviation, low, high } = summarize(values)
  const shown = smallestPairedEffect(values)
  const known = reference.length > 0 ? reference.reduce((sum, one) => sum + one, 0) / reference.length : undefined
  return {
    variant,
    measure: name,
    n: count,
    ...(count > 0 && { mean, median: median(values) }),
    ...(count > 1 && { standardDeviation, interval: [low, high] as [number, number] }),
    notLearned: cells.filter(({ learned }) => !learned).length,
    ...(known !== undefined && { reference: known, ...(count > 0 && { referenceDifference: mean - known }) }),
    ...(known !== undefined && !Number.isNaN(shown) && { referenceDetectable: shown }),
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
  const difference = {
    pairs,
    difference: mean,
    differenceInterval: [low, high] as [number, number],
    ...(!Number.isNaN(smallestEffect) && { smallestDetectable: smallestEffect }),
  }
  if (test === undefined) return difference
  return {
    ...difference,
    ...(!Number.isNaN(pValue) && { pValue, adjustedPValue }),
    signFlip: { p: signFlip.p, adjusted: signFlipHolm, smallestP: signFlip.smallestP },
    ...(!Number.isNaN(tTest.p) && { tTest: { p: tTest.p, adjusted: tTestHolm } }),
  }
}

/** Nothing where the runs have held-out sets of several sizes. */
function setOfRow(cells: readonly Cell[]): Partial<ComparisonTableRow> {
  const sizes = new Set(cells.map(({ job, valueName }) => examplesBehind(job, valueName)))
  const [examples] = sizes
  if (examples === undefined || sizes.size > 1) return {}
  const accuracy = cells.reduce((sum, { value }) => sum + value, 0) / cells.length
  return { examples, smallestByExamples: smallestByExamples(accuracy, examples) }
}

function addConvergence(row: ComparisonTableRow, place: string, outcome: ConvergenceOutcome, notes: string[]): void {
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
