/** A table as papers print it: a row a variant, a column a measure, one figure of the seeds each, and the columns' mean. */
import type { LoadedExperiment } from './load-experiment.js'
import type { ComparisonTableRow } from './table-rows.js'

export interface Overview {
  name: string
  statistic: 'median' | 'mean'
  measures: string[]
  rows: OverviewRow[]
  /** The known figures of the measures, where one has any. */
  reference?: Omit<OverviewRow, 'variant' | 'runs'>
}

export interface OverviewRow {
  variant: string
  /** One a measure; null where no run has a value. */
  values: (number | null)[]
  /** Runs with a value, one a measure. */
  runs: number[]
  /** Mean of the values; null where one is missing. */
  average: number | null
}

export function overviewsOf(
  { overviews, variants }: Pick<LoadedExperiment, 'overviews' | 'variants'>,
  table: readonly ComparisonTableRow[],
): Overview[] {
  return overviews.map(({ name, statistic, measures }) => {
    const found = (variant: string) =>
      measures.map((measure) => table.find((row) => row.variant === variant && row.measure === measure))
    const rows = Object.keys(variants).map((variant) => {
      const cells = found(variant)
      const values = cells.map((cell) => cell?.[statistic] ?? null)
      return { variant, values, runs: cells.map((cell) => cell?.n ?? 0), average: averageOf(values) }
    })
    const known = found(Object.keys(variants)[0]).map((cell) => cell?.reference ?? null)
    const reference = known.some((value) => value !== null) && { values: known, average: averageOf(known) }
    return { name, statistic, measures: [...measures], rows, ...(reference && { reference }) }
  })
}

function averageOf(values: readonly (number | null)[]): number | null {
  const there = values.filter((value) => value !== null)
  return there.length < values.length ? null : there.reduce((sum, value) => sum + value, 0) / there.length
}
