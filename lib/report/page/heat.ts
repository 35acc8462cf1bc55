/** Heat maps: a value in every cell, on a colour between the style sheet's two ends. */
import * as Plot from '@observablehq/plot'
import type { HeatFigure } from '../figure.js'
import type { View } from './main.js'
import { cut, frame, printed, roomFor } from './style.js'

interface Tile {
  row: number
  column: number
  text: string
  title: string
  fill: string
  ink: string
  highest: boolean
}

/** Up to which share of the colour range which ink is read at 4.5 : 1; the style sheet's two schemes turn at different places. */
const INKS = [
  { upTo: 0.5, ink: 'var(--heat-low-ink)' },
  { upTo: 0.65, ink: 'var(--heat-middle-ink)' },
  { upTo: 1, ink: 'var(--heat-high-ink)' },
]
const CELL_HEIGHT = 28
const MOST_LETTERS = 20

export function drawHeat(figure: HeatFigure, view: View): Element {
  const rowNames = figure.rows.map((name) => cut(name, MOST_LETTERS))
  const columnNames = figure.columns.map((name) => cut(name, 8))
  const tiles = tilesOf(figure, figure.scale === 'rows' ? view.scale : 'all')
  const letters = Math.max(2, ...tiles.map(({ text }) => text.length), ...columnNames.map(({ length }) => length))
  const marginLeft = roomFor([...rowNames, figure.rowLabel])
  const marginRight = 8
  const least = marginLeft + marginRight + figure.columns.length * (8 + 6.6 * letters)
  const width = Math.max(Math.min(view.width, least * 2), least)
  const svg = Plot.plot({
    ...frame(width, 52 + CELL_HEIGHT * figure.rows.length),
    marginLeft,
    marginRight,
    marginTop: 38,
    marginBottom: 6,
    padding: 0.04,
    x: {
      type: 'band',
      axis: 'top',
      domain: figure.columns.map((_, i) => i),
      tickFormat: (i: number) => columnNames[i],
      tickSize: 0,
      label: figure.columnLabel,
      labelAnchor: 'left',
      labelArrow: 'none',
    },
    y: {
      type: 'band',
      domain: figure.rows.map((_, i) => i),
      tickFormat: (i: number) => rowNames[i],
      tickSize: 0,
      label: null,
    },
    marks: [
      Plot.cell(tiles, { x: 'column', y: 'row', fill: { value: 'fill', scale: null }, title: 'title' }),
      Plot.cell(
        tiles.filter(({ highest }) => highest),
        { x: 'column', y: 'row', fill: 'none', stroke: 'var(--ring)', strokeWidth: 2, inset: 1 },
      ),
      Plot.text(tiles, {
        x: 'column',
        y: 'row',
        text: 'text',
        fill: { value: 'ink', scale: null },
        pointerEvents: 'none',
      }),
    ],
  }) as SVGElement
  svg.style.maxWidth = 'none'
  return svg
}

function tilesOf({ rows, columns, values, format, domain, markHighest }: HeatFigure, scale: View['scale']): Tile[] {
  const known = (list: readonly (number | null)[]) => list.filter((value) => value !== null)
  const range = (list: readonly (number | null)[]) => [Math.min(...known(list)), Math.max(...known(list))]
  const overall = domain ?? range(values.flat())
  return values.flatMap((row, i) => {
    const [low, high] = scale === 'rows' ? range(row) : overall
    const best = row.indexOf(Math.max(...known(row)))
    return row.map((value, j): Tile => {
      const text = value === null ? '–' : format === 'percent' ? (100 * value).toFixed(1) : shortNumber(value)
      const share = value === null || high <= low ? 0 : Math.min(1, Math.max(0, (value - low) / (high - low)))
      const exact =
        value === null ? 'not measured' : format === 'percent' ? `${printed(100 * value)} %` : printed(value)
      return {
        row: i,
        column: j,
        text,
        title: `${rows[i]}, ${columns[j]}: ${exact}`,
        fill:
          value === null
            ? 'transparent'
            : `color-mix(in oklab, var(--heat-high) ${(100 * share).toFixed(1)}%, var(--heat-low))`,
        ink: value === null ? 'currentColor' : (INKS.find(({ upTo }) => share <= upTo)?.ink ?? 'currentColor'),
        highest: markHighest === true && j === best,
      }
    })
  })
}

/** Three digits at most, so that cells stay narrow. */
const shortNumber = (value: number): string =>
  Math.abs(value) >= 100 ? value.toFixed(0) : Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(2)
