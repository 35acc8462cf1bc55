import type { PlotOptions } from '@observablehq/plot'

/** What all drawings share. */
export function frame(width: number, height: number): PlotOptions {
  return { width, height, className: 'drawing', style: { fontSize: '12px', background: 'transparent' } }
}

/** Four digits, for labels on drawings; the tables hold the exact values. */
export function printed(value: number | null): string {
  if (value === null) return 'not finite'
  const size = Math.abs(value)
  return size !== 0 && (size < 1e-3 || size >= 1e6) ? value.toExponential(2) : String(Number(value.toPrecision(4)))
}

/** Names on an axis: the whole one stands in the table. */
export const cut = (text: string, most: number): string => (text.length > most ? `${text.slice(0, most - 1)}…` : text)

/** Room for names on the left, in pixels. */
export const roomFor = (names: readonly string[]): number =>
  16 + Math.round(7.5 * Math.max(1, ...names.map((name) => name.length)))
