/** Correlations over a whole set, equal to SciPy's. */
import { checkLengths } from './classification-metrics.js'

/**
 * Pearson's correlation. NaN when one side is constant, holds a NaN, or there are fewer than two pairs: then it does not
 * exist, and 0 would be mistaken for a measurement.
 */
export function pearson(x: ArrayLike<number>, y: ArrayLike<number>): number {
  checkLengths(x, y)
  if (x.length < 2 || isConstant(x) || isConstant(y)) return Number.NaN
  const fromMeanX = fromMean(x)
  const fromMeanY = fromMean(y)
  const normX = norm(fromMeanX)
  const normY = norm(fromMeanY)
  let sum = 0
  // Each side is scaled first: the product of two sums of squares could overflow.
  for (let i = 0; i < x.length; i++) sum += (fromMeanX[i] / normX) * (fromMeanY[i] / normY)
  return Number.isNaN(sum) ? sum : Math.max(-1, Math.min(1, sum))
}

/** Spearman's rank correlation; equal values share the mean of their ranks. NaN as {@link pearson}. */
export function spearman(x: ArrayLike<number>, y: ArrayLike<number>): number {
  checkLengths(x, y)
  if (hasNaN(x) || hasNaN(y)) return Number.NaN
  return pearson(averageRanks(x), averageRanks(y))
}

/** Ranks from 1; equal values share the mean of their ranks. */
export function averageRanks(values: ArrayLike<number>): Float64Array {
  const order = new Uint32Array(values.length)
  for (let i = 0; i < order.length; i++) order[i] = i
  order.sort((left, right) => values[left] - values[right])
  const ranks = new Float64Array(values.length)
  for (let start = 0; start < order.length; ) {
    let end = start + 1
    while (end < order.length && values[order[end]] === values[order[start]]) end++
    for (let i = start; i < end; i++) ranks[order[i]] = (start + 1 + end) / 2
    start = end
  }
  return ranks
}

function fromMean(values: ArrayLike<number>): Float64Array {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]
  const mean = sum / values.length
  return Float64Array.from(values, (value) => value - mean)
}

/** Euclidean length, taken of the values over their largest, whose squares neither overflow nor vanish. */
function norm(values: Float64Array): number {
  let largest = 0
  for (const value of values) largest = Math.max(largest, Math.abs(value))
  let sum = 0
  for (const value of values) sum += (value / largest) ** 2
  return largest * Math.sqrt(sum)
}

function isConstant(values: ArrayLike<number>): boolean {
  for (let i = 1; i < values.length; i++) if (values[i] !== values[0]) return false
  return true
}

function hasNaN(values: ArrayLike<number>): boolean {
  for (let i = 0; i < values.length; i++) if (Number.isNaN(values[i])) return true
  return false
}
