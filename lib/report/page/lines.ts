/** Curves: the logged values or their envelope, a moving average over them, targets dashed. */
import * as Plot from '@observablehq/plot'
import type { LineFigure, Points } from '../figure.js'
import { seriesStyles } from '../series-style.js'
import type { View } from './main.js'
import { movingAverage } from './smoothing.js'
import { frame, printed } from './style.js'

interface Point {
  x: number
  y: number | null
  low: number | null
  high: number | null
  title: string
}

/** Up to so many points each is marked: a single one would not be seen otherwise. */
const MARKED = 30

export function drawLines(figure: LineFigure, view: View): Element {
  const { series, xLabel, yLabel, include = [], borders = [], wholeX } = figure
  const smoothing = figure.smoothed ? view.smoothing : 0
  const styles = seriesStyles(figure)
  const all: Point[] = []
  const marks = series.flatMap(({ name, points, dashed }, i) => {
    const { stroke, dashes: strokeDasharray } = styles[i]
    const logged = toPoints(points, name, figure)
    all.push(...logged)
    const smooth =
      smoothing > 0 ? logged.map((point, j) => ({ ...point, y: movingAverage(points.y, smoothing)[j] })) : []
    const rawOpacity = smoothing > 0 ? 0.5 : 1
    const showRaw = smoothing === 0 || view.raw
    const few = logged.length <= MARKED && !dashed
    return [
      points.low && showRaw
        ? Plot.areaY(logged, { x: 'x', y1: 'low', y2: 'high', fill: stroke, fillOpacity: 0.18 })
        : null,
      showRaw
        ? Plot.lineY(logged, {
            x: 'x',
            y: 'y',
            stroke,
            strokeDasharray,
            strokeOpacity: rawOpacity,
            strokeWidth: smoothing > 0 ? 1 : 1.75,
          })
        : null,
      smoothing > 0 ? Plot.lineY(smooth, { x: 'x', y: 'y', stroke, strokeDasharray, strokeWidth: 2 }) : null,
      few && showRaw
        ? Plot.dot(logged, { x: 'x', y: 'y', fill: stroke, r: wholeX ? 4 : 2.5, fillOpacity: rawOpacity })
        : null,
    ]
  })
  const xs = [...new Set(all.map(({ x }) => x))].sort((a, b) => a - b)
  return Plot.plot({
    ...frame(view.width, 270),
    marginLeft: 56,
    marginTop: 28,
    marginBottom: 40,
    // One x alone has no range of its own.
    x: {
      label: xLabel,
      ...(wholeX
        ? { ticks: xs, tickFormat: 'd' }
        : { ticks: Math.max(2, Math.round(view.width / 90)), tickFormat: 's' }),
      ...(xs.length === 1 ? { domain: [xs[0] - 1, xs[0] + 1], ticks: xs, tickFormat: 'd' } : {}),
      ...(wholeX ? { inset: 10 } : {}),
    },
    y: { label: yLabel, grid: true, nice: true, ticks: 6, ...range(all, include) },
    marks: [
      Plot.ruleX(borders, { x: 'x', stroke: 'currentColor', strokeOpacity: 0.4, strokeDasharray: '2 3' }),
      Plot.text(borders, { x: 'x', text: 'label', frameAnchor: 'top', textAnchor: 'start', dx: 4, dy: 2 }),
      ...marks,
      Plot.tip(
        all.filter(({ y }) => y !== null),
        Plot.pointer({ x: 'x', y: 'y', title: 'title', fill: 'var(--surface)', stroke: 'var(--line)' }),
      ),
    ],
  })
}

/** From the lowest to the highest value drawn; values that are all but the same get room around them, or rounding would fill the axis. */
function range(points: readonly Point[], include: readonly number[]): { domain?: [number, number] } {
  const values = [...points.flatMap(({ y, low, high }) => [y, low, high]), ...include].filter((value) => value !== null)
  if (values.length === 0) return {}
  const [least, most] = values.reduce(
    ([low, high], value) => [Math.min(low, value), Math.max(high, value)],
    [Infinity, -Infinity],
  )
  const room = most - least < 1e-4 * Math.abs(most) ? 0.05 * Math.abs(most) : 0
  return { domain: [least - room, most === least && room === 0 ? least + 1 : most + room] }
}

function toPoints({ x, y, low, high }: Points, name: string, { series, xLabel }: LineFigure): Point[] {
  return x.map((place, i) => {
    const [least, most] = [low?.[i] ?? null, high?.[i] ?? null]
    const range = least === null || most === null ? '' : ` (${printed(least)} to ${printed(most)})`
    const title = `${series.length > 1 ? `${name}\n` : ''}${xLabel} ${place}\n${printed(y[i])}${range}`
    return { x: place, y: y[i], low: least, high: most, title }
  })
}
