/** The tasks' scores of an evaluation as lines of text. */
import { shownMetric } from './metric-scale.js'
import type { SplitScores } from './types.js'
import { leadingSplit } from './watched-score.js'

/**
 * One line a task: its main metric, then its other metrics (shares × 100), its loss and the splits after the first.
 *
 *     mnli  accuracy 55.02   loss 0.934   dev-mismatched 56.10
 *     rte   accuracy 54.15   loss 0.690
 *     mean           54.59
 */
export function scoreTable(tasks: Record<string, Record<string, SplitScores>>, mean?: number): string[] {
  const rows = Object.entries(tasks).flatMap(([task, splits]) => {
    const lead = leadingSplit(splits)
    if (!lead) return []
    const { main, metrics, loss } = lead.scores
    const name = Object.keys(metrics).find((metric) => Object.is(metrics[metric], main)) ?? 'main'
    const others = Object.entries(metrics).filter(([metric]) => metric !== name)
    const more = Object.entries(splits).filter(([split]) => split !== lead.split)
    const rest = [
      ...others.map(([metric, value]) => `${metric} ${shownMetric(metric, value)}`),
      `loss ${loss.toFixed(3)}`,
      ...more.map(([split, scores]) => `${split} ${percent(scores.main)}`),
    ]
    return [{ task, name, score: percent(main), rest: rest.join('   ') }]
  })
  if (mean !== undefined && rows.length > 1) rows.push({ task: 'mean', name: '', score: percent(mean), rest: '' })
  const width = (of: (row: (typeof rows)[number]) => string) => Math.max(...rows.map((row) => of(row).length))
  const [taskWidth, nameWidth, scoreWidth] = [width((r) => r.task), width((r) => r.name), width((r) => r.score)]
  return rows.map(({ task, name, score, rest }) =>
    `  ${task.padEnd(taskWidth)}  ${name.padEnd(nameWidth)} ${score.padStart(scoreWidth)}   ${rest}`.trimEnd(),
  )
}

const percent = (value: number): string => (100 * value).toFixed(2)
