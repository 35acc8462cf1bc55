/** A table of runs beside their baseline: summaries, paired tests over seeds and Holm's correction over the whole table. */
import { StrataError } from '../errors.js'
import {
  holm,
  type PairedTTest,
  pairedDifferences,
  pairedTTest,
  type SignFlipTest,
  signFlipTest,
} from './paired-tests.js'
import { type PowerOptions, type Summary, smallestPairedEffect, summarize } from './summary.js'

/** One score a seed; the key is the seed. */
export type SeedScores = Readonly<Record<string, number>>

/** Scores by measure, then by run. */
export type ScoreTable = Readonly<Record<string, Readonly<Record<string, SeedScores>>>>

export interface ComparisonRow {
  measure: string
  run: string
  /** Over the run's own seeds. */
  scores: Summary
  /** What is not there for the baseline itself. */
  against?: {
    tTest: PairedTTest
    signFlip: SignFlipTest
    /** p-values after Holm's correction over all rows of the table, a family for each kind of test. */
    tTestHolm: number
    signFlipHolm: number
    /** The smallest difference these seeds could have shown: see `smallestPairedEffect`. */
    smallestEffect: number
  }
}

export interface ComparisonOptions extends PowerOptions {
  /** Level of the intervals, 0.95. */
  level?: number
  /** Seed and number of sampled sign flips, for more than 16 seeds. */
  seed?: number
  draws?: number
}

/**
 * Every run of every measure beside `baseline`, paired by seed. NOT_FOUND for a measure without the baseline; BAD_DATA for a run
 * without seeds or with other seeds than the baseline's, which are named: nothing is left out to make pairs.
 */
export function compareToBaseline(
  table: ScoreTable,
  baseline: string,
  options: ComparisonOptions = {},
): ComparisonRow[] {
  const rows = Object.entries(table).flatMap(([measure, runs]) =>
    Object.keys(runs).map((run) => compareRun(measure, runs, run, baseline, options)),
  )
  const tested = rows.flatMap(({ against }) => against ?? [])
  const tTests = holm(tested.map(({ tTest }) => tTest.p))
  const signFlips = holm(tested.map(({ signFlip }) => signFlip.p))
  for (const [i, against] of tested.entries()) {
    against.tTestHolm = tTests[i]
    against.signFlipHolm = signFlips[i]
  }
  return rows
}

function compareRun(
  measure: string,
  runs: Readonly<Record<string, SeedScores>>,
  run: string,
  baseline: string,
  options: ComparisonOptions,
): ComparisonRow {
  if (!Object.hasOwn(runs, baseline))
    throw new StrataError(
      'NOT_FOUND',
      `${measure} has no baseline ${JSON.stringify(baseline)}; its runs are ${Object.keys(runs).join(', ')}`,
    )
  const seeds = Object.keys(runs[baseline])
  const values = seeds.map((seed) => runs[run][seed])
  checkSeeds(measure, run, baseline, seeds, Object.keys(runs[run]))
  const scores = summarize(values, options.level)
  if (run === baseline) return { measure, run, scores }
  const others = seeds.map((seed) => runs[baseline][seed])
  const against = {
    tTest: pairedTTest(values, others, options.level),
    signFlip: signFlipTest(values, others, options),
    tTestHolm: Number.NaN,
    signFlipHolm: Number.NaN,
    smallestEffect: smallestPairedEffect(pairedDifferences(values, others), options),
  }
  return { measure, run, scores, against }
}

function checkSeeds(measure: string, run: string, baseline: string, seeds: string[], own: string[]): void {
  const missing = seeds.filter((seed) => !own.includes(seed))
  const extra = own.filter((seed) => !seeds.includes(seed))
  if (seeds.length > 0 && missing.length === 0 && extra.length === 0) return
  const what = [
    ...(missing.length > 0 ? [`lacks seed ${missing.join(', ')}`] : []),
    ...(extra.length > 0 ? [`has seed ${extra.join(', ')}, which ${baseline} lacks`] : []),
  ]
  throw new StrataError(
    'BAD_DATA',
    `${measure} of ${run} ${what.join(' and ') || 'has no seed'}: the same seeds as the baseline’s were expected; run the missing ones`,
  )
}
