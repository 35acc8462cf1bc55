/**
 * Student's t, central and noncentral, from the regularised incomplete beta function (DLMF §8.17). Relative errors of the
 * quantiles are near 1e-13 for 1 … 200 degrees of freedom.
 */
import { StrataError } from '../errors.js'

/** Coefficients of 1/x, 1/x³, … in Stirling's series of ln Γ (DLMF 5.11.1). */
const STIRLING = [1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156]
const HALF_LOG_TWO_PI = 0.9189385332046727

/** ln Γ(x), x > 0. */
function logGamma(x: number): number {
  let shift = 1
  let from = x
  // The series needs a large argument: Γ(x) = Γ(x + k) / (x (x + 1) … (x + k − 1)).
  for (; from < 15; from++) shift *= from
  let series = 0
  for (let i = STIRLING.length - 1; i >= 0; i--) series = series / from ** 2 + STIRLING[i]
  return (from - 0.5) * Math.log(from) - from + HALF_LOG_TWO_PI + series / from - Math.log(shift)
}

const logBeta = (a: number, b: number): number => logGamma(a) + logGamma(b) - logGamma(a + b)

/** I_x(a, b) with `rest` = 1 − x, given apart because near 1 the difference would lose its digits. */
function incompleteBeta(x: number, rest: number, a: number, b: number): number {
  if (x <= 0) return 0
  if (rest <= 0) return 1
  // Beyond its mean the fraction converges slowly; the mirrored one does not.
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(rest, x, b, a)
  return Math.exp(a * Math.log(x) + b * Math.log(rest) - logBeta(a, b)) / (a * betaFraction(x, a, b))
}

/** The continued fraction of I_x(a, b) (DLMF 8.17.22), by Lentz's method. */
function betaFraction(x: number, a: number, b: number): number {
  const tiny = 1e-300
  let value = 1
  let c = 1
  let d = 0
  for (let i = 1; i < 100_000; i++) {
    const m = i >> 1
    const term =
      i % 2 === 0 ? (m * (b - m) * x) / ((a + i - 1) * (a + i)) : (-(a + m) * (a + b + m) * x) / ((a + i - 1) * (a + i))
    d = 1 / (1 + term * d || tiny)
    c = 1 + term / c || tiny
    value *= c * d
    if (Math.abs(c * d - 1) < 1e-16) break
  }
  return value
}

function checkDegrees(degrees: number): void {
  if (!(degrees > 0 && Number.isFinite(degrees)))
    throw new StrataError(
      'BAD_ARGUMENT',
      `Student's t with ${degrees} degrees of freedom: a number above 0 was expected`,
    )
}

/** P(|T| ≥ |t|), the two-sided p-value. NaN for a t of NaN. */
export function studentTail(t: number, degrees: number): number {
  checkDegrees(degrees)
  if (Number.isNaN(t)) return t
  const squared = t * t
  return incompleteBeta(degrees / (degrees + squared), 1 / (1 + degrees / squared), degrees / 2, 0.5)
}

/** P(|T| < |t|), whose small values keep their digits. */
function studentCentre(t: number, degrees: number): number {
  const squared = t * t
  return incompleteBeta(1 / (1 + degrees / squared), degrees / (degrees + squared), 0.5, degrees / 2)
}

/**
 * The quantile of Student's t: P(T ≤ result) = `probability`, strictly between 0 and 1. BAD_ARGUMENT for another
 * probability and for degrees of freedom that are not above 0.
 */
export function studentQuantile(probability: number, degrees: number): number {
  checkDegrees(degrees)
  if (!(probability > 0 && probability < 1))
    throw new StrataError(
      'BAD_ARGUMENT',
      `quantile of Student's t at ${probability}: a number between 0 and 1 was expected`,
    )
  const tail = 2 * Math.min(probability, 1 - probability)
  const centre = Math.abs(2 * probability - 1)
  if (centre === 0) return 0
  // The smaller of both is the one that is known to all its digits.
  const excess = (t: number) => (tail < centre ? tail - studentTail(t, degrees) : studentCentre(t, degrees) - centre)
  let high = 1
  while (excess(high) < 0) high *= 2
  let low = high === 1 ? 0 : high / 2
  const logScale = -0.5 * Math.log(degrees) - logBeta(degrees / 2, 0.5)
  let t = (low + high) / 2
  for (let i = 0; i < 200; i++) {
    const error = excess(t)
    if (error === 0) break
    if (error < 0) low = t
    else high = t
    const density = Math.exp(logScale - ((degrees + 1) / 2) * Math.log1p((t * t) / degrees))
    let next = t - error / (2 * density)
    // Newton's step, or half of the bracket where the step leaves it.
    if (!(next > low && next < high)) next = (low + high) / 2
    if (Math.abs(next - t) <= 2e-16 * t) break
    t = next
  }
  return probability < 0.5 ? -t : t
}

/**
 * P(|T| ≥ t) of the noncentral T with noncentrality δ: T² is noncentral F with 1 and ν degrees, whose distribution
 * function is a Poisson mixture of incomplete beta functions.
 */
function noncentralTail(t: number, degrees: number, noncentrality: number): number {
  const rate = noncentrality ** 2 / 2
  if (rate === 0) return studentTail(t, degrees)
  const x = 1 / (1 + degrees / (t * t))
  const rest = degrees / (degrees + t * t)
  let inside = 0
  for (let j = 0; ; j++) {
    const weight = Math.exp(j * Math.log(rate) - rate - logGamma(j + 1))
    inside += weight * incompleteBeta(x, rest, j + 0.5, degrees / 2)
    if (j > rate && weight < 1e-18) return 1 - inside
  }
}

/** The noncentrality at which a two-sided t-test at level `alpha` rejects with probability `power`. */
export function detectableNoncentrality(degrees: number, power: number, alpha: number): number {
  if (!(alpha > 0 && alpha < power && power < 1))
    throw new StrataError('BAD_ARGUMENT', `power ${power} at level ${alpha}: 0 < level < power < 1 was expected`)
  const critical = studentQuantile(1 - alpha / 2, degrees)
  let low = 0
  let high = 1
  while (noncentralTail(critical, degrees, high) < power) {
    low = high
    high *= 2
  }
  while (high - low > 1e-12 * high) {
    const middle = (low + high) / 2
    if (noncentralTail(critical, degrees, middle) < power) low = middle
    else high = middle
  }
  return (low + high) / 2
}
