/**
 * Convergence factor: how many times fewer steps a run needs than its baseline. Our definition; the paper (BERMo,
 * arXiv 2110.15802) states factors without one. Both runs have the same seed, data order, budget and learning-rate schedule,
 * and a development score (higher is better) every fixed number of steps, smoothed by a centred median of 3. The target is the
 * lower of both runs' best smoothed scores, and the factor is the baseline's first step at the target / the other's.
 */
import { StrataError } from '../errors.js'
import { median, type Summary, summarize } from './summary.js'

/** Development scores of one run. */
export interface ScoreCurve {
  /** Ascending, at one distance; the last may come earlier, where the budget ends. */
  steps: ArrayLike<number>
  /** One a step. NaN, a score that does not exist there, counts as below every other. */
  scores: ArrayLike<number>
}

export interface ConvergencePair {
  seed: number
  baseline: ScoreCurve
  other: ScoreCurve
}

export interface PairConvergence {
  seed: number
  /** First step of the baseline / first step of the other; undefined when the pair is not comparable. */
  factor?: number
  /** Lower of both best smoothed scores. */
  target: number
  /** First steps with a smoothed score at the target. A run that stays below has none. */
  baselineStep?: number
  otherStep?: number
  /** Runs that never left the majority score: not empty means "not comparable". */
  stuck: ('baseline' | 'other')[]
  /** Scores of NaN in both curves. */
  undefinedScores: number
}

export interface Convergence {
  pairs: PairConvergence[]
  comparable: number
  notComparable: number
  /** Over the comparable seeds; NaN of none. */
  median: number
  /**
   * Distribution-free interval of the median: the narrowest pair of order statistics that covers it with 95 %, or all of the
   * range when there are fewer than 6 seeds. `coverage` is what it does cover: 0.9375 for 5 seeds, 0 for one.
   */
  interval: { low: number; high: number; coverage: number }
  /** Mean and t-interval of the factors' logarithms, as factors. */
  geometricMean: Pick<Summary, 'mean' | 'low' | 'high'>
  /** Five comparable seeds or more, which a claim needs. */
  enoughSeeds: boolean
}

/** Seeds that a median of factors needs. */
export const ENOUGH_SEEDS = 5

/**
 * Factor of each seed, with median and interval. A run has left the majority score when a smoothed score lies above
 * `majority`; give the upper end of that score's interval there to ask for more than luck. BAD_DATA for curves of fewer than 3
 * points, of other steps than the partner's, with steps that do not rise evenly, or a seed that comes twice; BAD_ARGUMENT for
 * no pair or a majority that is no number.
 */
export function convergence(pairs: readonly ConvergencePair[], majority: number): Convergence {
  if (pairs.length === 0) throw new StrataError('BAD_ARGUMENT', 'no pair of runs: one for each seed was expected')
  if (!Number.isFinite(majority))
    throw new StrataError('BAD_ARGUMENT', `majority score ${majority}: a finite number was expected`)
  const seen = new Set<number>()
  const results = pairs.map((pair) => {
    if (seen.has(pair.seed))
      throw new StrataError('BAD_DATA', `seed ${pair.seed} comes twice; one pair of runs a seed was expected`)
    seen.add(pair.seed)
    return pairConvergence(pair, majority)
  })
  const factors = results.flatMap(({ factor }) => factor ?? [])
  const { mean, low, high } = summarize(factors.map(Math.log))
  return {
    pairs: results,
    comparable: factors.length,
    notComparable: results.length - factors.length,
    median: median(factors),
    interval: medianInterval(factors),
    geometricMean: { mean: Math.exp(mean), low: Math.exp(low), high: Math.exp(high) },
    enoughSeeds: factors.length >= ENOUGH_SEEDS,
  }
}

function pairConvergence({ seed, baseline, other }: ConvergencePair, majority: number): PairConvergence {
  checkCurve(baseline, `baseline of seed ${seed}`)
  checkCurve(other, `run of seed ${seed}`)
  checkSameSteps(baseline.steps, other.steps, seed)
  const curves = { baseline: smoothed(baseline.scores), other: smoothed(other.scores) }
  const best = { baseline: Math.max(...curves.baseline), other: Math.max(...curves.other) }
  const target = Math.min(best.baseline, best.other)
  const stuck = (['baseline', 'other'] as const).filter((run) => !(best[run] > majority))
  const undefinedScores = countNaN(baseline.scores) + countNaN(other.scores)
  if (stuck.length > 0) return { seed, target, stuck, undefinedScores }
  // The first smoothed score belongs to the second step.
  const first = (curve: Float64Array) => baseline.steps[1 + curve.findIndex((score) => score >= target)]
  const baselineStep = first(curves.baseline)
  const otherStep = first(curves.other)
  return { seed, factor: baselineStep / otherStep, target, baselineStep, otherStep, stuck, undefinedScores }
}

/** Centred median of 3. The ends have no such window: they give none, so a peak there is not taken for a level. */
export function smoothed(scores: ArrayLike<number>): Float64Array {
  const value = (i: number) => (Number.isNaN(scores[i]) ? Number.NEGATIVE_INFINITY : scores[i])
  return Float64Array.from({ length: Math.max(0, scores.length - 2) }, (_, i) =>
    median([value(i), value(i + 1), value(i + 2)]),
  )
}

/** Order statistics k and n + 1 − k cover the median with 1 − 2 P(Binomial(n, ½) < k). */
export function medianInterval(values: ArrayLike<number>, level = 0.95): Convergence['interval'] {
  const sorted = Float64Array.from(values).sort()
  const count = sorted.length
  if (count === 0) return { low: Number.NaN, high: Number.NaN, coverage: Number.NaN }
  let rank = 1
  let share = 2 ** -count
  let below = share
  for (let k = 2; k <= count / 2; k++) {
    share *= (count - k + 2) / (k - 1)
    if (1 - 2 * (below + share) < level) break
    below += share
    rank = k
  }
  return { low: sorted[rank - 1], high: sorted[count - rank], coverage: Math.max(0, 1 - 2 * below) }
}

function checkCurve({ steps, scores }: ScoreCurve, name: string): void {
  const refuse = (what: string) => new StrataError('BAD_DATA', `${name}: ${what}`)
  if (steps.length !== scores.length)
    throw refuse(`${steps.length} steps and ${scores.length} scores; one score a step was expected`)
  if (steps.length < 3)
    throw refuse(`${steps.length} scores; a centred median of 3 needs at least 3: evaluate more often`)
  const distance = steps[1] - steps[0]
  for (let i = 0; i < steps.length; i++) {
    if (!(Number.isInteger(steps[i]) && steps[i] >= 0))
      throw refuse(`step ${i} is ${steps[i]}; a whole number from 0 was expected`)
    if (i === 0) continue
    const gap = steps[i] - steps[i - 1]
    const last = i === steps.length - 1
    if (gap <= 0 || (last ? gap > distance : gap !== distance))
      throw refuse(`step ${steps[i]} follows ${steps[i - 1]}; scores every ${distance} steps were expected`)
  }
}

function checkSameSteps(baseline: ArrayLike<number>, other: ArrayLike<number>, seed: number): void {
  const length = Math.max(baseline.length, other.length)
  for (let i = 0; i < length; i++)
    if (baseline[i] !== other[i])
      throw new StrataError(
        'BAD_DATA',
        `seed ${seed}: score ${i} of the baseline is at step ${baseline[i]}, of the run at ${other[i]}; the same budget and evaluation interval were expected`,
      )
}

function countNaN(values: ArrayLike<number>): number {
  let count = 0
  for (let i = 0; i < values.length; i++) if (Number.isNaN(values[i])) count++
  return count
}
