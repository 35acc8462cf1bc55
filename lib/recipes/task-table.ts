import { type SplitScores, shownMetric } from '../training/index.js'
import { alignedTable } from './held-out-table.js'

/** Lines of a table with one row a task and split: its metrics, the main one first: shares × 100, other numbers with their unit. */
export function taskTable(tasks: Readonly<Record<string, Readonly<Record<string, SplitScores>>>>): string[] {
  const rows = Object.entries(tasks).flatMap(([task, splits]) =>
    Object.entries(splits).map(([split, { count, loss, metrics }]) => [
      task,
      split,
      count.toLocaleString('en-US'),
      loss.toFixed(4),
      Object.entries(metrics)
        .map(([name, value]) => `${name} ${shownMetric(name, value)}`)
        .join('  '),
    ]),
  )
  return rows.length === 0 ? [] : alignedTable([['task', 'split', 'examples', 'loss', 'score × 100'], ...rows], 2)
}
