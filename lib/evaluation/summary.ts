/**
 * What a handful of seeds says: mean, spread, t-interval, and the smallest effect they could have shown. NaN is "there is
 * no such figure", never 0: of values that hold a NaN or an infinity all but the count is NaN.
 */
import { StrataError } from '../errors.js'
import { detectableNoncentrality, studentQuantile } from './student-t.js'

export interface Summary {
  count: number
  /** NaN of no values. */
  mean: number
  /** With n − 1 below; NaN of fewer than two values. */
  standardDeviation: number
  /** Bounds of the t-interval of the mean; NaN of fewer than two values. Equal values give both bounds at the mean. */
  low: number
  high: number
}

/** Mean, standard deviation (n − 1) and t-interval of the mean at `level` (0.95). */
export function summarize(values: ArrayLike<number>, level = 0.95): Summary {
  const count = values.length
  const quantile = count < 2 ? Number.NaN : studentQuantile((1 + checkLevel(level)) / 2, count - 1)
  const { mean, standardDeviation } = moments(values)
  const half = (quantile * standardDeviation) / Math.sqrt(count)
  return { count, mean, standardDeviation, low: mean - half, high: mean + half }
}

export interface PowerOptions {
  /** Probability of showing the effect, 0.8. */
  power?: number
  /** Level of the two-sided test, 0.05. */
  alpha?: number
}

/**
 * The smallest effect that n seeds can show by a paired t-test, in standard deviations of the differences: the true mean
 * difference at which the two-sided test at level `alpha` (0.05) rejects with probability `power` (0.8), by the noncentral
 * t with n − 1 degrees of freedom. NaN of fewer than two pairs: no effect could be shown.
 */
export function pairedEffectSize(count: number, { power = 0.8, alpha = 0.05 }: PowerOptions = {}): number {
  checkCount(count)
  return count < 2 ? Number.NaN : detectableNoncentrality(count - 1, power, alpha) / Math.sqrt(count)
}

/**
 * The smallest effect in the unit of the scores that these pairs' differences could have shown: {@link pairedEffectSize}
 * times their standard deviation, which is taken for the true one. NaN when it cannot be told: fewer than two pairs, a value
 * that is not finite, or differences without spread (0 would claim that anything could have been shown).
 */
export function smallestPairedEffect(differences: ArrayLike<number>, options?: PowerOptions): number {
  const { standardDeviation } = moments(differences)
  return standardDeviation > 0 ? standardDeviation * pairedEffectSize(differences.length, options) : Number.NaN
}

/** The middle value, or the mean of the two middle ones. NaN of no values or when one is NaN. */
export function median(values: ArrayLike<number>): number {
  const sorted = Float64Array.from(values).sort()
  const { length } = sorted
  // A typed array sorts NaN to its end.
  if (length === 0 || Number.isNaN(sorted[length - 1])) return Number.NaN
  return (sorted[(length - 1) >> 1] + sorted[length >> 1]) / 2
}

/** Mean and standard deviation (n − 1). Equal values have a spread of exactly 0: they are taken from the first one. */
function moments(values: ArrayLike<number>): { mean: number; standardDeviation: number } {
  const { length } = values
  if (length === 0) return { mean: Number.NaN, standardDeviation: Number.NaN }
  let sum = 0
  for (let i = 0; i < length; i++) sum += values[i] - values[0]
  // An infinity on the first place makes every difference NaN; elsewhere the sum is infinite.
  const mean = Number.isFinite(sum) ? values[0] + sum / length : Number.NaN
  let square = 0
  for (let i = 0; i < length; i++) square += (values[i] - mean) ** 2
  return { mean, standardDeviation: length < 2 ? Number.NaN : Math.sqrt(square / (length - 1)) }
}

function checkLevel(level: number): number {
  if (!(level > 0 && level < 1))
    throw new StrataError(
      'BAD_ARGUMENT',
      `interval level ${level}: a number between 0 and 1 was expected, such as 0.95`,
    )
  return level
}

function checkCount(count: number): void {
  if (!(Number.isInteger(count) && count >= 0))
    throw new StrataError('BAD_ARGUMENT', `${count} seeds: a whole number from 0 was expected`)
}
