/** Logged values as curves: thinned for the drawing with their envelope kept, exact in the tables. */
import { createHash } from 'node:crypto'
import type { Cell, Points, Table } from './figure.js'
import { finite, type LoggedNumber } from './read-file.js'

/** One logged value. */
export interface Reading {
  step: number
  value: LoggedNumber
}

/** A run's readings of one quantity. */
export interface Curve {
  run: string
  readings: Reading[]
  metricsPath: string
  /** Of the run, where there are several. */
  colour?: number
}

/** Points that a curve is drawn with at most. */
const MAX_POINTS = 600
/** Rows that a figure's table shows at most; the rest stands in metrics.jsonl. */
const MAX_ROWS = 300

/**
 * All readings up to `limit` points; else `limit` stretches of the same number of readings, each with its mean, lowest and highest
 * value at its last step, so that no spike is lost.
 */
export function toPoints(readings: readonly Reading[], limit = MAX_POINTS): Points {
  if (readings.length <= limit)
    return { x: readings.map(({ step }) => step), y: readings.map(({ value }) => shortened(finite(value))) }
  const points = {
    x: [] as number[],
    y: [] as (number | null)[],
    low: [] as (number | null)[],
    high: [] as (number | null)[],
  }
  for (let i = 0; i < limit; i++) {
    const from = Math.floor((i * readings.length) / limit)
    const to = Math.floor(((i + 1) * readings.length) / limit)
    const stretch = readings.slice(from, to)
    const values = stretch.flatMap(({ value }) => finite(value) ?? [])
    const sum = values.reduce((total, value) => total + value, 0)
    points.x.push(stretch[stretch.length - 1].step)
    points.y.push(values.length > 0 ? shortened(sum / values.length) : null)
    points.low.push(values.length > 0 ? shortened(Math.min(...values)) : null)
    points.high.push(values.length > 0 ? shortened(Math.max(...values)) : null)
  }
  return points
}

/** Seven digits are more than a drawing shows; the tables keep all. */
const shortened = (value: number | null): number | null => (value === null ? null : Number(value.toPrecision(7)))

/** What the drawing does with the values, in words; empty when it shows them all as they are. */
export function thinningNote(curves: readonly Curve[]): string {
  const notes: string[] = []
  const longest = Math.max(0, ...curves.map(({ readings }) => readings.length))
  if (longest > MAX_POINTS)
    notes.push(
      `${longest} logged values are drawn as ${MAX_POINTS} stretches: the line is each stretch's mean, the band its lowest to highest value.`,
    )
  const lost = curves.reduce(
    (sum, { readings }) => sum + readings.filter(({ value }) => finite(value) === null).length,
    0,
  )
  if (lost > 0) notes.push(`${lost} ${lost === 1 ? 'value is' : 'values are'} not finite: the line has a gap there.`)
  return notes.join(' ')
}

/** A step and a value a row, exactly as logged; with several runs the run as well. */
export function curveTable(curves: readonly Curve[], label: string): Table {
  const severalRuns = curves.length > 1
  const rows = curves.flatMap(({ run, readings }) =>
    readings.map(({ step, value }): Cell[] => (severalRuns ? [run, step, value] : [step, value])),
  )
  const columns = [
    ...(severalRuns ? [{ label: 'run' }] : []),
    { label: 'step', numeric: true },
    { label, numeric: true },
  ]
  return limitRows({ columns, rows }, curves[0]?.metricsPath)
}

/** Evenly spread rows, the first and the last among them, when there are more than fit. */
export function limitRows(table: Table, file: string | undefined): Table {
  const { rows } = table
  if (rows.length <= MAX_ROWS) return table
  const kept = Array.from({ length: MAX_ROWS }, (_, i) => rows[Math.round((i * (rows.length - 1)) / (MAX_ROWS - 1))])
  const note = `${MAX_ROWS} of ${rows.length} rows, evenly spread, the first and the last among them; metrics.jsonl holds all.`
  return { ...table, rows: kept, note, file }
}

/** Says in a sentence or two where curves begin and end. */
export function describeCurves(curves: readonly Curve[], what: string): string {
  const told = curves.slice(0, 6).map(({ run, readings }) => {
    const values = readings.filter(({ value }) => finite(value) !== null)
    if (values.length === 0) return `${run} has no finite value`
    const [first, last] = [values[0], values[values.length - 1]]
    const ends = `${brief(first.value)} at step ${first.step}`
    return values.length === 1 ? `${run}: ${ends}` : `${run}: from ${ends} to ${brief(last.value)} at step ${last.step}`
  })
  const more = curves.length > told.length ? ` And ${curves.length - told.length} more.` : ''
  return `${what}. ${told.join('; ')}.${more}`
}

/** Four digits, for text. */
export function brief(value: Cell | undefined): string {
  if (value === null || value === undefined) return '–'
  if (typeof value === 'string') return value
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value)
  const size = Math.abs(value)
  return size !== 0 && (size < 1e-3 || size >= 1e6) ? value.toExponential(3) : String(Number(value.toPrecision(4)))
}

/** An id for the page from any names: readable where it can be, and never the same for two. */
export function figureId(...parts: string[]): string {
  const readable = parts.join('-').replace(/[^A-Za-z0-9]+/g, '-')
  return `f-${readable}-${createHash('sha256').update(parts.join('\0')).digest('hex').slice(0, 6)}`
}
