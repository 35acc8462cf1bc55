/** Colour and dashes of a series, the same in a figure's legend and in its drawing. Colours are the style sheet's, light or dark. */
import type { LineFigure } from './figure.js'

export interface SeriesStyle {
  stroke: string
  /** SVG's stroke-dasharray. */
  dashes?: string
}

/** Colours that the style sheet defines as `--c0` and so on. */
const COLOURS = 8
/** After all colours are used once, dashes tell the next round apart. */
const ROUNDS = [undefined, '6 3', '2 3', '9 3 2 3']

/** Of each series of a figure, in its order. A target has the colour of what it is the target of. */
export function seriesStyles({ series, colours = 'distinct' }: Pick<LineFigure, 'series' | 'colours'>): SeriesStyle[] {
  const solid = series.filter(({ dashed }) => !dashed).length
  let [reached, targets] = [0, 0]
  return series.map(({ dashed, colour }) =>
    dashed
      ? { ...styleOf(colour ?? targets++, solid, colours), dashes: '4 4' }
      : styleOf(colour ?? reached++, solid, colours),
  )
}

/** A `ramp` goes from one colour to another, for series with an order. */
function styleOf(index: number, count: number, colours: 'distinct' | 'ramp'): SeriesStyle {
  if (colours === 'distinct')
    return { stroke: `var(--c${index % COLOURS})`, dashes: ROUNDS[Math.floor(index / COLOURS) % ROUNDS.length] }
  const share = count > 1 ? Math.round((100 * index) / (count - 1)) : 0
  return { stroke: `color-mix(in oklab, var(--ramp-high) ${share}%, var(--ramp-low))` }
}
