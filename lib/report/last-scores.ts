/** What the last evaluation of each head and task found, for reading at a glance. */
import { brief } from './curves.js'
import type { Cell, Table } from './figure.js'
import type { LoggedNumber } from './read-file.js'
import type { EvaluationLine, RunInput } from './run-input.js'

/** A head or a task's split a row, four digits each; the figures' tables are exact. Undefined when nothing was evaluated. */
export function lastScores(runs: readonly RunInput[]): Table | undefined {
  const rows = runs.flatMap((run) => {
    // A stage evaluates its own heads and tasks: the last line of each counts, not the last line alone.
    const heads = new Map(
      run.evaluations.flatMap((line) => Object.keys(line.scores).map((head) => [head, line] as const)),
    )
    const tasks = new Map(
      run.evaluations.flatMap((line) => Object.keys(line.tasks).map((task) => [task, line] as const)),
    )
    return [
      ...[...heads].map(([head, line]) => headRow(run.name, head, line)),
      ...[...tasks].flatMap(([task, line]) => taskRows(run.name, task, line)),
    ]
  })
  if (rows.length === 0) return undefined
  const columns = [
    { label: 'run' },
    { label: 'head or task' },
    { label: 'step', numeric: true },
    { label: 'layer', numeric: true },
    { label: 'labels', numeric: true },
    { label: 'loss', numeric: true },
    { label: 'scores' },
  ]
  return { columns, rows }
}

function headRow(run: string, head: string, { step, scores }: EvaluationLine): Cell[] {
  const { layer, count, loss, accuracy, accuracyInterval: interval, ownChunksLoss, attachment } = scores[head]
  const told = (name: string, figure: { accuracy: LoggedNumber; f1: LoggedNumber }) =>
    `${name} ${brief(figure.accuracy)} (F1 ${brief(figure.f1)})`
  const said = [
    `accuracy ${brief(accuracy)}${interval ? ` (95 %: ${brief(interval[0])} … ${brief(interval[1])})` : ''}`,
    ...(ownChunksLoss === undefined ? [] : [`loss with chunks from the corrupted text ${brief(ownChunksLoss)}`]),
    ...(attachment
      ? [told('attached', attachment), told('nearest', attachment.nearest), told('majority', attachment.majority)]
      : []),
  ]
  return [run, head, step, layer ?? null, count ?? null, brief(loss), said.join(', ')]
}

function taskRows(run: string, task: string, { step, tasks }: EvaluationLine): Cell[][] {
  return Object.entries(tasks[task]).map(([split, { count, loss, metrics }]) => {
    const scores = Object.entries(metrics).map(([name, value]) => `${name} ${brief(value)}`)
    return [run, `${task}, ${split}`, step, null, count, brief(loss), scores.join(', ')]
  })
}
