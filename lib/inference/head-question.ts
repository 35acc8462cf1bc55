/** Asking heads about sequences. */
import { type HeadConfig, type Model, type Scores, tapLayer, type Values } from '../model/index.js'
import { askingLabels } from './head-scores.js'
import type { Question, Sequence } from './serving/question.js'

/** What a head says of one sequence: see {@link headScores}; a parser's arcs and then its tags. */
export type HeadRow = Values

/** A head's scores of each sequence; `places` of the sequences are those of a tagger or parser. */
export function headQuestion(model: Model, head: HeadConfig, adapter: string | undefined): Question<HeadRow> {
  return {
    key: `head ${head.name}`,
    adapter,
    depth: tapLayer(head.tap, model.config.encoder.layers),
    ask(sequences, offsets) {
      const labels = askingLabels(head, offsets, positionsOf(sequences, offsets))
      return { kind: 'scores', head: head.name, labels }
    },
    read: ([scores], sequences, offsets) => rowsOf(head, scores as Scores, sequences, offsets),
  }
}

/** Places of all sequences in the batch. */
export function positionsOf(sequences: readonly Sequence[], offsets: Int32Array): Int32Array {
  const count = sequences.reduce((sum, { places }) => sum + (places?.length ?? 0), 0)
  const positions = new Int32Array(count)
  let next = 0
  sequences.forEach(({ places = [] }, row) => {
    for (const place of places) positions[next++] = offsets[row] + place
  })
  return positions
}

function rowsOf(head: HeadConfig, scores: Scores, sequences: readonly Sequence[], offsets: Int32Array): HeadRow[] {
  const { values, shape } = scores
  const columns = shape[1] ?? 1
  const words = (row: number): number => sequences[row].places?.length ?? 0
  const counts = sequences.map((_, row) => {
    if (head.kind === 'span') return offsets[row + 1] - offsets[row]
    if (head.kind === 'tagger') return words(row)
    return head.kind === 'parser' ? words(row) * (words(row) + 1) : 1
  })
  const rows = cut(values, counts, columns, 0)
  if (head.kind !== 'parser' || !head.tags) return rows
  // The tags of all sequences' words follow the arcs of all.
  const arcs = counts.reduce((sum, count) => sum + count, 0)
  const tags = cut(
    values,
    sequences.map((_, row) => words(row)),
    columns,
    arcs,
  )
  return rows.map((row, index) => joined(row, tags[index]))
}

/** Views of the values: `counts[i]` rows of `columns` numbers each, from row `first` on. */
function cut(values: Values, counts: readonly number[], columns: number, first: number): HeadRow[] {
  let place = first * columns
  return counts.map((count) => {
    const row = values.subarray(place, place + count * columns)
    place += count * columns
    return row
  })
}

function joined(first: Values, second: Values): Values {
  const both =
    first instanceof Float64Array
      ? new Float64Array(first.length + second.length)
      : new Float32Array(first.length + second.length)
  both.set(first)
  both.set(second, first.length)
  return both
}
