import type { HeadLabels, PackedBatch } from '../data/packed-batch.js'
import type { HeadConfig, Model, Scores } from '../model/index.js'
import { softmax } from '../softmax.js'

/**
 * Labels that ask a head for scores of every sequence, every token, or of the given places; their values say nothing. `offsets`: where the
 * B sequences begin, shape (B + 1).
 */
export function askingLabels(head: HeadConfig, offsets: Int32Array, positions?: Int32Array): HeadLabels {
  const rows = offsets.length - 1
  switch (head.kind) {
    case 'regressor':
      return { labels: new Int32Array(rows), values: new Float32Array(rows) }
    case 'ranker':
      // Each the right candidate of a question of its own.
      return { labels: new Int32Array(rows).fill(1), groups: Int32Array.from({ length: rows }, (_, row) => row) }
    case 'span': {
      // "No answer" stands for any place.
      const spanStarts = offsets.slice(0, rows)
      return { labels: new Int32Array(rows), spanStarts, spanEnds: spanStarts.map((start) => start + 1) }
    }
    case 'tagger': {
      const places = positions ?? Int32Array.from({ length: offsets[rows] }, (_, place) => place)
      return { positions: places, labels: new Int32Array(places.length) }
    }
    case 'parser': {
      const places = positions ?? new Int32Array(0)
      const zeros = (): Int32Array => new Int32Array(places.length)
      return { positions: places, labels: zeros(), heads: zeros(), ...(head.tags && { tags: zeros() }) }
    }
    default:
      return { labels: new Int32Array(rows) }
  }
}

/**
 * One head asked in a pass of its own, what the shared passes of serving are held against. Scores of a task's head: (B, C) of a classifier (log-probabilities of a SAN), (B, 1) of a regressor or ranker, (T, 2) start and
 * end of a span head, (M, C) of a tagger at `positions` (default: every token); of a parser see HeadEvaluation.
 */
export async function headScores(
  model: Model,
  batch: PackedBatch,
  head: HeadConfig,
  options: { adapter?: string; positions?: Int32Array } = {},
): Promise<Scores> {
  const labels = { [head.name]: askingLabels(head, batch.sequenceOffsets, options.positions) }
  const { adapter } = options
  return model.headLogits({ ...batch, labels, ...(adapter === undefined ? {} : { adapter }) }, head.name)
}

/** Probabilities of row `row` of (rows, columns) scores. */
export function softmaxRow(values: ArrayLike<number>, row: number, columns: number): number[] {
  return softmax(Array.from({ length: columns }, (_, column) => values[row * columns + column]))
}
