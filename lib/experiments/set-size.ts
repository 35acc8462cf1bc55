/** What the size of a held-out set lets an accuracy show, whatever the seeds say. */
import { readResult } from './job-folder.js'
import type { Job } from './plan.js'

/** Standard normal quantiles of 0.975 and 0.8: a two-sided test at 5 % that shows the difference in 80 % of the cases. */
const QUANTILES = 1.959963984540054 + 0.8416212335729143

/**
 * The smallest difference in accuracy that `examples` could show: (z₀.₉₇₅ + z₀.₈) √(2 p (1 − p) / n), the normal approximation of two
 * models that err independently of each other. Two models that mostly err on the same examples could show less. Our choice.
 */
export function smallestByExamples(accuracy: number, examples: number): number {
  return QUANTILES * Math.sqrt((2 * accuracy * (1 - accuracy)) / examples)
}

/** Held-out examples behind `<task>.accuracy`, `<task>.<split>.accuracy` or a probe's `<task>.<layer>.accuracy`; undefined for another number. */
export function examplesBehind(job: Job, valueName: string): number | undefined {
  const parts = valueName.split('.')
  if (parts.length < 2 || parts.at(-1) !== 'accuracy') return undefined
  const values = readResult(job)?.values ?? {}
  return values[`${parts.slice(0, -1).join('.')}.count`] ?? values[`${parts[0]}.count`]
}
