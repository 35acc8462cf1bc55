import type { PruningReading } from '../model/index.js'
import { alignedTable } from './held-out-table.js'

/** What pruning left of each block's linear layers, as lines of text. */
export function pruningTable(reading: PruningReading): string[] {
  const { method, weights, nonZero, density, targetDensity, byLayer } = reading
  const target = targetDensity === undefined ? '' : `, aim ${percent(targetDensity)} %`
  const count = (value: number) => value.toLocaleString('en-US')
  const rows = Object.entries(byLayer).map(([layer, share]) => [layer, percent(share), percent(1 - share)])
  return [
    `pruned by ${method}: ${count(nonZero)} of ${count(weights)} weights are left (${percent(density)} %${target})`,
    ...alignedTable([['layer', 'left %', 'zero %'], ...rows], 1),
  ]
}

const percent = (share: number): string => (100 * share).toFixed(2)
