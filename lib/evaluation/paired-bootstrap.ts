/**
 * Paired bootstrap over seeds and examples. Every seed is scored on the same examples, so examples cross seeds: a replicate
 * draws seeds with replacement, then examples with replacement ONCE, and these serve all its seeds and both runs (the
 * "pigeonhole" bootstrap of Owen 2007, "The pigeonhole bootstrap"). Drawing examples anew for each seed would take
 * their number for seeds × examples.
 */
import { stream } from '../data/random.js'
import { StrataError } from '../errors.js'
import { checkDraws } from './paired-tests.js'

/** What is drawn again: the seeds on these examples, the examples under these seeds, or both. */
export type BootstrapLayers = 'seeds' | 'examples' | 'both'

export interface PairedBootstrapOptions {
  /** Which layers are drawn again, 'both'. */
  layers?: BootstrapLayers
  /** Replicates, 10,000. */
  draws?: number
  /** Seed of the draws, 0. */
  seed?: number
  /** Level of the percentile interval, 0.95. */
  level?: number
}

export interface PairedBootstrap {
  /** Mean over seeds of other − baseline on the whole set. */
  difference: number
  /** Percentile interval. With few seeds it is too narrow: 3 seeds have 10 resamples. */
  low: number
  high: number
  /** Standard deviation of the replicates. */
  deviation: number
  draws: number
  layers: BootstrapLayers
}

/** A score of one run that is no mean over examples, such as F1 or Matthews: of seed `seed` on these examples (repeats count). */
export type ExampleScore = (run: 'other' | 'baseline', seed: number, examples: Int32Array) => number

/**
 * Bootstrap of the mean difference. `other[seed][example]` and `baseline[seed][example]` are scores of single examples
 * (1 and 0 for right and wrong, reciprocal ranks, F1 of an answer). BAD_ARGUMENT when the tables' shapes differ, are empty,
 * or when one seed, or one example, alone is to be drawn again. All figures are NaN with a score that is not finite.
 */
export function pairedBootstrap(
  other: ArrayLike<number>[],
  baseline: ArrayLike<number>[],
  options: PairedBootstrapOptions = {},
): PairedBootstrap {
  const examples = checkTables(other, baseline)
  const table = other.map((row, seed) => Float64Array.from(row, (value, i) => value - baseline[seed][i]))
  const sums = new Float64Array(examples)
  return replicate(table.length, examples, options, (seeds, drawn) => {
    sums.fill(0)
    for (const seed of seeds) {
      const row = table[seed]
      for (let i = 0; i < examples; i++) sums[i] += row[i]
    }
    let total = 0
    for (let i = 0; i < examples; i++) total += sums[drawn[i]]
    return total / (seeds.length * examples)
  })
}

/** As {@link pairedBootstrap} for a score of a whole set; it is called twice for each seed that a replicate draws. */
export function pairedBootstrapOf(
  score: ExampleScore,
  seeds: number,
  examples: number,
  options: PairedBootstrapOptions = {},
): PairedBootstrap {
  return replicate(seeds, examples, options, (chosen, drawn) => {
    let total = 0
    for (const seed of chosen) total += score('other', seed, drawn) - score('baseline', seed, drawn)
    return total / chosen.length
  })
}

function replicate(
  seeds: number,
  examples: number,
  { layers = 'both', draws = 10_000, seed = 0, level = 0.95 }: PairedBootstrapOptions,
  measure: (seeds: Int32Array, examples: Int32Array) => number,
): PairedBootstrap {
  checkDraws(draws)
  if (!(level > 0 && level < 1))
    throw new StrataError('BAD_ARGUMENT', `interval level ${level}: a number between 0 and 1 was expected`)
  checkLayer('seeds', seeds, layers)
  checkLayer('examples', examples, layers)
  const random = stream(seed, 'paired-bootstrap')
  const chosen = Int32Array.from({ length: seeds }, (_, i) => i)
  const drawn = Int32Array.from({ length: examples }, (_, i) => i)
  const difference = measure(chosen, drawn)
  const replicates = new Float64Array(draws)
  for (let draw = 0; draw < draws; draw++) {
    if (layers !== 'examples') for (let i = 0; i < seeds; i++) chosen[i] = random.below(seeds)
    if (layers !== 'seeds') for (let i = 0; i < examples; i++) drawn[i] = random.below(examples)
    replicates[draw] = measure(chosen, drawn)
  }
  return { difference, ...describe(replicates.sort(), level), draws, layers }
}

/** Figures of ascending replicates. */
function describe(sorted: Float64Array, level: number): Pick<PairedBootstrap, 'low' | 'high' | 'deviation'> {
  const draws = sorted.length
  const [least, most] = [sorted[0], sorted[draws - 1]]
  // NaN is sorted to the end, infinities to both.
  if (!Number.isFinite(least) || !Number.isFinite(most))
    return { low: Number.NaN, high: Number.NaN, deviation: Number.NaN }
  let sum = 0
  for (const value of sorted) sum += value - least
  const mean = least + sum / draws
  let squares = 0
  for (const value of sorted) squares += (value - mean) ** 2
  const deviation = Math.sqrt(squares / draws)
  return { low: quantile(sorted, (1 - level) / 2), high: quantile(sorted, (1 + level) / 2), deviation }
}

/** Linear between neighbours, NumPy's default. */
function quantile(sorted: Float64Array, share: number): number {
  const place = share * (sorted.length - 1)
  const below = Math.floor(place)
  const above = Math.min(below + 1, sorted.length - 1)
  return sorted[below] + (place - below) * (sorted[above] - sorted[below])
}

function checkTables(other: ArrayLike<number>[], baseline: ArrayLike<number>[]): number {
  if (other.length !== baseline.length || other.length === 0)
    throw new StrataError(
      'BAD_ARGUMENT',
      `${other.length} seeds and ${baseline.length} of the baseline: both runs need the same seeds, at least one`,
    )
  const examples = other[0].length
  for (const [name, rows] of [['the run', other] as const, ['the baseline', baseline] as const])
    for (const [seed, row] of rows.entries())
      if (row.length !== examples)
        throw new StrataError(
          'BAD_ARGUMENT',
          `seed ${seed} of ${name} has ${row.length} examples, ${examples} were expected: score all on the same set`,
        )
  return examples
}

function checkLayer(name: 'seeds' | 'examples', count: number, layers: BootstrapLayers): void {
  if (!(Number.isInteger(count) && count >= 1))
    throw new StrataError('BAD_ARGUMENT', `${count} ${name}: a whole number from 1 was expected`)
  if (count > 1 || (layers !== 'both' && layers !== name)) return
  const rest = name === 'seeds' ? 'examples' : 'seeds'
  throw new StrataError('BAD_ARGUMENT', `one of ${name} cannot be drawn again; take layers: '${rest}', or more ${name}`)
}
