/** The comparison's table as text, for terminals and Markdown. */
import { alignedTable } from '../recipes/index.js'
import type { Comparison } from './comparison.js'
import { NOT_FINITE } from './not-finite.js'
import type { Overview } from './overview.js'
import type { ComparisonTableRow } from './table-rows.js'

/** The table for a terminal. */
export function comparisonLines({ table, overviews, seeds, notes }: Comparison): string[] {
  return [
    ...alignedTable([TABLE_HEADER, ...table.map(tableCells)], 2),
    ...overviews.flatMap((overview) => [
      '',
      `${overview.name}, ${overview.statistic}s`,
      ...alignedTable(overviewCells(overview, seeds.length), 1),
      '',
    ]),
    ...notes.map((note) => `note  ${note}`),
  ]
}

export const TABLE_HEADER = [
  'measure',
  'variant',
  'runs',
  'mean',
  'median',
  'SD',
  '95 %',
  'reference',
  'to reference',
  'runs could show',
  'against',
  'pairs',
  'difference',
  'its 95 %',
  'p',
  'p (Holm)',
  'could have shown',
  'set could show',
  'bootstrap 95 %',
  'convergence',
]

export function tableCells(row: ComparisonTableRow): string[] {
  const asides = [
    ...(row.notLearned > 0 ? [`${row.notLearned} not learned`] : []),
    ...(row.notFinite ? [`${row.notFinite} more ${NOT_FINITE}`] : []),
  ]
  return [
    row.measure,
    row.variant,
    `${row.n}${asides.length > 0 ? ` (${asides.join(', ')})` : ''}`,
    row.n === 0 && row.notFinite ? NOT_FINITE : figure(row.mean),
    figure(row.median),
    figure(row.standardDeviation),
    range(row.interval),
    figure(row.reference),
    signed(row.referenceDifference),
    figure(row.referenceDetectable),
    row.against ?? '',
    row.pairs === undefined ? '' : String(row.pairs),
    signed(row.difference),
    range(row.differenceInterval),
    probability(row.pValue),
    probability(row.adjustedPValue),
    figure(row.smallestDetectable),
    row.examples === undefined ? '' : `${figure(row.smallestByExamples)} (${row.examples.toLocaleString('en-US')})`,
    row.bootstrap ? range([row.bootstrap.low, row.bootstrap.high]) : '',
    convergenceCell(row),
  ]
}

/** Header and rows as text; a figure of fewer runs than there are seeds tells their number. */
export function overviewCells({ measures, rows, reference }: Overview, seeds: number): string[][] {
  return [
    ['variant', ...measures, 'average'],
    ...rows.map(({ variant, values, runs, average }) => [
      variant,
      ...values.map((value, index) =>
        value !== null && runs[index] < seeds ? `${figure(value)} (${runs[index]})` : figure(value),
      ),
      figure(average),
    ]),
    ...(reference ? [['reference', ...reference.values.map(figure), figure(reference.average)]] : []),
  ]
}

/** The factor, the interval of order statistics with the share that it covers, and of how many seeds they are. */
function convergenceCell({ convergence, convergenceFactor }: ComparisonTableRow): string {
  if (convergence === undefined) return ''
  const { interval, coverage = 0, comparable, notComparable } = convergence
  const seeds = `${comparable} of ${comparable + notComparable} seeds`
  if (convergenceFactor === undefined) return `not comparable, ${seeds}`
  const ends =
    interval && comparable > 1
      ? ` (${interval.map((end) => end.toFixed(2)).join('–')}, ${(100 * coverage).toFixed(0)} %)`
      : ''
  return `${convergenceFactor.toFixed(2)}${ends}, ${seeds}`
}

/** Four decimals of what lies near 1, four digits of the rest. */
export function figure(value: number | null | undefined): string {
  if (value === undefined) return ''
  if (value === null) return '–'
  if (!Number.isFinite(value)) return '–'
  const size = Math.abs(value)
  if (size >= 1000) return Math.round(value).toLocaleString('en-US')
  return size < 10 ? value.toFixed(4) : value.toPrecision(4)
}

const signed = (value: number | undefined): string =>
  value !== undefined && value > 0 ? `+${figure(value)}` : figure(value)
const range = (ends: readonly [number, number] | undefined): string =>
  ends ? `${figure(ends[0])} to ${figure(ends[1])}` : ''

function probability(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return ''
  return value < 0.001 ? '< 0.001' : value.toFixed(3)
}
