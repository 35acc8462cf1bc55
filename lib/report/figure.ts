/**
 * What a figure shows: plain values that travel into the page as JSON and are drawn there. Only types stand here, for this side
 * and for the page's script (page/).
 */

export type Cell = string | number | null

export interface Column {
  label: string
  /** Right-aligned. */
  numeric?: boolean
}

/** The exact values behind a figure. */
export interface Table {
  columns: Column[]
  rows: Cell[][]
  /** What the table leaves out, and where it stands in full. */
  note?: string
  /** File with all of it, absolute. */
  file?: string
}

interface FigureBase {
  /** Unique on the page; letters, digits and dashes. */
  id: string
  title: string
  /** For those who do not see the drawing: what it shows and where it begins and ends. */
  description: string
  /** Under the drawing: what was done with the values. */
  caption?: string
  table: Table
}

/** Points by column; with `low` and `high` each point stands for many, `y` being their mean. */
export interface Points {
  x: number[]
  /** null where the value was not finite: the line has a gap. */
  y: (number | null)[]
  low?: (number | null)[]
  high?: (number | null)[]
}

export interface Series {
  name: string
  points: Points
  /** Of a run among several: the same in every figure. Default: the place in the figure. */
  colour?: number
  /** A target beside what was reached. */
  dashed?: boolean
}

export interface LineFigure extends FigureBase {
  kind: 'lines'
  xLabel: string
  yLabel: string
  series: Series[]
  /** Layers have an order: their colours too. Default `distinct`. */
  colours?: 'distinct' | 'ramp'
  /** The page's smoothing applies. */
  smoothed?: boolean
  /** x counts things: whole ticks only, every point marked. */
  wholeX?: boolean
  /** The axis shall include these. */
  include?: number[]
  /** Lines across, as between stages. */
  borders?: { x: number; label: string }[]
}

export interface HeatFigure extends FigureBase {
  kind: 'heat'
  rowLabel: string
  columnLabel: string
  rows: string[]
  columns: string[]
  /** values[row][column]; null = not measured. */
  values: (number | null)[][]
  /** `percent` prints 0.734 as 73.4. */
  format: 'percent' | 'number'
  /** A colour's range: one for all cells, or the page's reader may choose one a row. Default `all`. */
  scale?: 'rows' | 'all'
  /** Fixed range of the colours, as 0 … 1 for a similarity. */
  domain?: [low: number, high: number]
  /** Marks each row's highest cell. */
  markHighest?: boolean
}

export interface IntervalRow {
  label: string
  value: number
  low: number | null
  high: number | null
  /** Drawn hollow: it supports no comparison. */
  weak?: boolean
}

export interface IntervalFigure extends FigureBase {
  kind: 'intervals'
  xLabel: string
  rows: IntervalRow[]
  /** Line to compare with: the baseline's mean, or 0 for differences. */
  reference?: { value: number; label: string }
}

export type Figure = LineFigure | HeatFigure | IntervalFigure

/** All that the page's script gets. */
export interface PageData {
  figures: Figure[]
  /** Weight of the past in the moving average when the page opens, 0 … 0.99. */
  smoothing: number
}
