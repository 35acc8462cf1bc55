/**
 * Numbers that came out as NaN or infinite, like the correlation of a constant answer. JSON has neither: a result names them beside its
 * numbers, the table says "not finite", and no mean and no test holds them.
 */
import type { Measure } from './load-experiment.js'

/** Names of the numbers that are not finite, as in the result's `values` and `stages`. */
export interface NotFinite {
  values: string[]
  stages: Record<string, string[]>
}

/** A measure that a run gives, but not as a number that can be compared. */
export interface NotFiniteCell {
  measure: Measure
  variant: string
  seed: number
  /** Name of the number, the variant's variables filled in. */
  valueName: string
}

/** In words, for tables. */
export const NOT_FINITE = 'not finite'

/** For JSON.parse of what a command printed: it wrote null where a number was not finite. */
export const asNaN = (_key: string, value: unknown): unknown => (value === null ? Number.NaN : value)

export function finiteOnly(numbers: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(numbers).filter(([, value]) => Number.isFinite(value)))
}

export function namesNotFinite(numbers: Readonly<Record<string, number>>): string[] {
  return Object.keys(numbers).filter((name) => !Number.isFinite(numbers[name]))
}

/** Whether a result has the number, if not as a finite one. A result of an earlier version does not say. */
export function isNotFinite({ notFinite }: { notFinite?: NotFinite }, name: string, stage?: string): boolean {
  const names = stage === undefined ? notFinite?.values : notFinite?.stages[stage]
  return names?.includes(name) ?? false
}

/** One note a measure and variant. */
export function notFiniteNotes(cells: readonly NotFiniteCell[]): string[] {
  const seeds = new Map<string, number[]>()
  for (const { measure, variant, seed, valueName } of cells) {
    const what = `${measure.name} of ${variant}${measure.name === valueName ? '' : ` (${valueName})`}`
    seeds.set(what, [...(seeds.get(what) ?? []), seed])
  }
  return [...seeds].map(
    ([what, own]) =>
      `${NOT_FINITE}: ${what}, seed${own.length > 1 ? 's' : ''} ${own.join(', ')}: in no mean and no test of the table`,
  )
}
