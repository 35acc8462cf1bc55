/** Asking heads about sequences: one encoder pass, whatever the number of heads. */
import type { PackedBatch } from '../data/packed-batch.js'
import type { HeadConfig, Scores, Values } from '../model/index.js'
import { askingLabels, headScores } from './head-scores.js'
import type { Sequence, Work } from './serving/work.js'

/** What a head says of one sequence: see {@link headScores}; a parser's arcs and then its tags. */
export type HeadRow = Values

/** One head's scores of each sequence; `places` of the sequences are those of a tagger or parser. */
export function headWork(head: HeadConfig, adapter: string | undefined): Work<HeadRow> {
  return {
    kind: `head ${JSON.stringify([adapter, head.name])}`,
    async run(model, batch, sequences) {
      const positions = positionsOf(sequences, batch)
      return rowsOf(head, await headScores(model, batch, head, { adapter, positions }), batch, sequences)
    },
  }
}

/** Several heads' scores of each sequence, in the order of `heads`, from one pass. */
export function headsWork(heads: readonly HeadConfig[], adapter: string | undefined): Work<HeadRow[]> {
  return {
    kind: `heads ${JSON.stringify([adapter, ...heads.map(({ name }) => name)])}`,
    async run(model, batch, sequences) {
      const positions = positionsOf(sequences, batch)
      const labels = Object.fromEntries(heads.map((head) => [head.name, askingLabels(head, batch, positions)]))
      const evaluations = await model.evaluate({ ...batch, labels, ...(adapter === undefined ? {} : { adapter }) })
      const rows = heads.map((head) => rowsOf(head, evaluations[head.name].logits!, batch, sequences))
      return sequences.map((_, sequence) => rows.map((ofHead) => ofHead[sequence]))
    },
  }
}

/** Places of all sequences in the batch. */
export function positionsOf(sequences: readonly Sequence[], { sequenceOffsets }: PackedBatch): Int32Array {
  const count = sequences.reduce((sum, { places }) => sum + (places?.length ?? 0), 0)
  const positions = new Int32Array(count)
  let next = 0
  sequences.forEach(({ places = [] }, row) => {
    for (const place of places) positions[next++] = sequenceOffsets[row] + place
  })
  return positions
}

function rowsOf(head: HeadConfig, scores: Scores, batch: PackedBatch, sequences: readonly Sequence[]): HeadRow[] {
  const { values, shape } = scores
  const columns = shape[1] ?? 1
  const words = (row: number): number => sequences[row].places?.length ?? 0
  const counts = sequences.map((_, row) => {
    if (head.kind === 'span') return batch.sequenceOffsets[row + 1] - batch.sequenceOffsets[row]
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
