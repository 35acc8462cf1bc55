/**
 * Tests of a run against a baseline that was trained with the same seeds: score i of both lists belongs to seed i. All are
 * two-sided. Lists of different lengths, or without a value, are a BAD_ARGUMENT; with a value that is not finite the
 * figures are NaN.
 */
import { stream } from '../data/random.js'
import { StrataError } from '../errors.js'
import { studentTail } from './student-t.js'
import { type Summary, summarize } from './summary.js'

export interface PairedTTest {
  /** Of other − baseline: mean, standard deviation and t-interval. */
  differences: Summary
  t: number
  degrees: number
  p: number
}

/**
 * Student's paired t-test. t and p are NaN for one seed and for differences without spread (to 1e-12 of the scores): there a
 * division by 0 would call any difference certain.
 */
export function pairedTTest(other: ArrayLike<number>, baseline: ArrayLike<number>, level = 0.95): PairedTTest {
  const values = pairedDifferences(other, baseline)
  const differences = summarize(values, level)
  const { count, mean, standardDeviation } = differences
  const degrees = count - 1
  const spread = standardDeviation > 1e-12 * largest(other, baseline) ? standardDeviation : Number.NaN
  const t = mean / (spread / Math.sqrt(count))
  return { differences, t, degrees, p: degrees === 0 ? Number.NaN : studentTail(t, degrees) }
}

export interface SignFlipOptions {
  /** Seed of the sampled flips (more than 16 seeds), 0. */
  seed?: number
  /** Number of sampled flips, 100,000. */
  draws?: number
}

export interface SignFlipTest {
  /** Mean of other − baseline. */
  difference: number
  p: number
  /** All flips were counted, not sampled. */
  exact: boolean
  /** Flips counted or sampled. */
  flips: number
  /** The smallest p that this many seeds can give: 0.25 for 3, 0.0625 for 5. Above the level, the test can show nothing. */
  smallestP: number
}

const LARGEST_EXACT = 16

/**
 * Permutation test over seeds: without a difference each pair could as well stand the other way round. p is the share of all
 * 2^n sign flips whose mean is at least as far from 0 (ties to 1e-12 count). Above 16 seeds flips are sampled and
 * p = (hits + 1) / (draws + 1) (Phipson & Smyth 2010, "Permutation p-values should never be zero").
 */
export function signFlipTest(
  other: ArrayLike<number>,
  baseline: ArrayLike<number>,
  { seed = 0, draws = 100_000 }: SignFlipOptions = {},
): SignFlipTest {
  const differences = pairedDifferences(other, baseline)
  const count = differences.length
  const exact = count <= LARGEST_EXACT
  checkDraws(draws)
  const sum = differences.reduce((total, value) => total + value, 0)
  const size = differences.reduce((total, value) => total + Math.abs(value), 0)
  const limit = Math.abs(sum) - 1e-12 * Math.max(size, largest(other, baseline))
  const flips = exact ? 2 ** count : draws
  const smallestP = exact ? 2 / flips : 1 / (draws + 1)
  if (!Number.isFinite(size)) return { difference: Number.NaN, p: Number.NaN, exact, flips, smallestP }
  const p = exact
    ? (2 * exactHits(differences, sum, limit)) / flips
    : (sampledHits(differences, limit, draws, seed) + 1) / (draws + 1)
  return { difference: sum / count, p, exact, flips, smallestP }
}

/** Flips that leave the last sign alone and reach the limit; turning all signs gives the other half, equally far. */
function exactHits(differences: Float64Array, sum: number, limit: number): number {
  const sums = new Float64Array(2 ** (differences.length - 1))
  sums[0] = sum
  let hits = 0
  for (let flipped = 0; flipped < sums.length; flipped++) {
    if (flipped > 0) {
      const highest = 31 - Math.clz32(flipped)
      sums[flipped] = sums[flipped - 2 ** highest] - 2 * differences[highest]
    }
    if (Math.abs(sums[flipped]) >= limit) hits++
  }
  return hits
}

function sampledHits(differences: Float64Array, limit: number, draws: number, seed: number): number {
  const random = stream(seed, 'sign-flip')
  let hits = 0
  for (let draw = 0; draw < draws; draw++) {
    let sum = 0
    let bits = 0
    for (let i = 0; i < differences.length; i++) {
      if (i % 32 === 0) bits = random.uint32()
      sum += bits & 1 ? -differences[i] : differences[i]
      bits >>>= 1
    }
    if (Math.abs(sum) >= limit) hits++
  }
  return hits
}

/**
 * Holm's step-down correction (Holm 1979): p-values that may be compared with the level as they stand, whatever the
 * dependence between the tests. NaN stays NaN and does not count as a test, as in R's p.adjust. BAD_ARGUMENT for a number
 * outside 0 … 1.
 */
export function holm(pValues: ArrayLike<number>): number[] {
  const values = Array.from(pValues)
  const wrong = values.findIndex((p) => p < 0 || p > 1)
  if (wrong >= 0)
    throw new StrataError('BAD_ARGUMENT', `p-value ${wrong} is ${values[wrong]}; a number from 0 to 1 was expected`)
  const order = values.flatMap((p, i) => (Number.isNaN(p) ? [] : [i])).sort((i, j) => values[i] - values[j])
  const adjusted = values.map(() => Number.NaN)
  let running = 0
  for (const [rank, index] of order.entries()) {
    running = Math.max(running, Math.min(1, (order.length - rank) * values[index]))
    adjusted[index] = running
  }
  return adjusted
}

/** other − baseline. */
export function pairedDifferences(other: ArrayLike<number>, baseline: ArrayLike<number>): Float64Array {
  if (other.length !== baseline.length || other.length === 0)
    throw new StrataError(
      'BAD_ARGUMENT',
      `${other.length} scores and ${baseline.length} of the baseline: a paired test needs one of each for every seed, at least one`,
    )
  return Float64Array.from(other, (score, i) => score - baseline[i])
}

export function checkDraws(draws: number): void {
  if (!(Number.isInteger(draws) && draws >= 1 && draws <= 1e9))
    throw new StrataError('BAD_ARGUMENT', `${draws} draws: a whole number from 1 to 1e9 was expected`)
}

function largest(...lists: ArrayLike<number>[]): number {
  let result = 0
  for (const list of lists) for (let i = 0; i < list.length; i++) result = Math.max(result, Math.abs(list[i]))
  return result
}
