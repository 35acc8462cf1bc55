/** Values with their intervals, one a line, beside a reference. */
import * as Plot from '@observablehq/plot'
import type { IntervalFigure } from '../figure.js'
import type { View } from './main.js'
import { cut, frame, printed, roomFor } from './style.js'

const ROW_HEIGHT = 38

export function drawIntervals({ rows, xLabel, reference }: IntervalFigure, { width }: View): Element {
  const names = rows.map(({ label }) => cut(label, width < 480 ? 16 : 28))
  const placed = rows.map((row, i) => ({ ...row, row: i, fill: row.weak ? 'var(--surface)' : 'var(--c0)' }))
  const told = rows.map(({ label, value, low, high }, i) => ({
    row: i,
    value,
    text: printed(value),
    title: `${label}: ${printed(value)}${low === null || high === null ? '' : ` (${printed(low)} to ${printed(high)})`}`,
  }))
  return Plot.plot({
    ...frame(width, 66 + ROW_HEIGHT * rows.length),
    marginLeft: roomFor(names),
    marginRight: 24,
    marginTop: 22,
    marginBottom: 40,
    x: { label: xLabel, grid: true, nice: true, ticks: Math.max(2, Math.round(width / 130)) },
    y: { type: 'band', domain: rows.map((_, i) => i), tickFormat: (i: number) => names[i], tickSize: 0, label: null },
    marks: [
      reference ? Plot.ruleX([reference.value], { stroke: 'currentColor', strokeDasharray: '3 3' }) : null,
      reference
        ? Plot.text([reference], { x: 'value', text: 'label', frameAnchor: 'top', dy: -14, fill: 'currentColor' })
        : null,
      Plot.link(
        placed.filter(({ low, high }) => low !== null && high !== null),
        { x1: 'low', x2: 'high', y1: 'row', y2: 'row', stroke: 'var(--c0)', strokeWidth: 2.5 },
      ),
      Plot.dot(placed, { x: 'value', y: 'row', r: 5, stroke: 'var(--c0)', fill: { value: 'fill', scale: null } }),
      Plot.text(told, {
        x: 'value',
        y: 'row',
        text: 'text',
        dy: -12,
        fill: 'currentColor',
        stroke: 'var(--ground)',
        strokeWidth: 4,
      }),
      Plot.tip(
        told,
        Plot.pointer({ x: 'value', y: 'row', title: 'title', fill: 'var(--surface)', stroke: 'var(--line)' }),
      ),
    ],
  })
}
