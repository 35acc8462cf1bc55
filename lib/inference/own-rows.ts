import type { Values } from '../model/index.js'

/** Copies of rows in one array: the views that come back share no memory with other callers' rows. */
export function ownRows<Row extends Values>(rows: readonly Row[]): Row[] {
  const length = rows.reduce((sum, row) => sum + row.length, 0)
  const all = rows[0] instanceof Float64Array ? new Float64Array(length) : new Float32Array(length)
  let place = 0
  return rows.map((row) => {
    all.set(row, place)
    place += row.length
    return all.subarray(place - row.length, place) as Row
  })
}
