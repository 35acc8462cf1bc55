import type { BatchSource } from '../data/packed-batch.js'
import type { HeadScores } from '../evaluation/index.js'
import { unigramEntropy } from '../objectives/index.js'

/** A head's held-out figures beside what a guess without the text would reach. */
export interface HeldOutRow extends HeadScores {
  /** Masked LM: loss of a model that knows each token's frequency alone, in nats. */
  unigramLoss?: number
  /** Heads with two classes: accuracy of always naming the more frequent one. */
  chance?: number
}

/** Puts the unigram level beside masked LM and the more frequent class beside heads with two; rows by layer. `source` = what was scored. */
export function heldOutRows(scores: Record<string, HeadScores>, source: BatchSource): HeldOutRow[] {
  return Object.values(scores)
    .sort((a, b) => a.layer - b.layer)
    .map((score) => {
      if (score.kind === 'masked-lm') return { ...score, unigramLoss: unigramEntropy(source, score.head).nats }
      if (!score.confusion) return { ...score }
      const [zeros, ones] = [score.confusion[0] + score.confusion[1], score.confusion[2] + score.confusion[3]]
      return { ...score, chance: Math.max(zeros, ones) / Math.max(1, zeros + ones) }
    })
}

/** Lines of a table with one row a head; several runs stand beside each other under their names. */
export function heldOutTable(runs: Record<string, readonly HeldOutRow[]>): string[] {
  const several = Object.keys(runs).length > 1
  const header = [
    ...(several ? ['run'] : []),
    'head',
    'layer',
    'labels',
    'loss',
    'own chunks',
    'unigram',
    'perplexity',
    'accuracy',
    '95 %',
    'balanced',
    'at prior',
    'chance',
  ]
  const cells = Object.entries(runs).flatMap(([name, rows]) =>
    rows.map((row) => [
      ...(several ? [name] : []),
      row.head,
      row.layer < 0 ? '' : String(row.layer),
      row.count.toLocaleString('en-US'),
      row.loss.toFixed(3),
      row.ownChunksLoss?.toFixed(3) ?? '',
      row.unigramLoss?.toFixed(3) ?? '',
      row.perplexity === undefined ? '' : row.perplexity.toPrecision(4),
      row.accuracy.toFixed(3),
      row.accuracyInterval?.map((end) => end.toFixed(3)).join('–') ?? '',
      row.balancedAccuracy?.toFixed(3) ?? '',
      row.balancedAccuracyAtPrior?.toFixed(3) ?? '',
      row.chance?.toFixed(3) ?? '',
    ]),
  )
  return alignedTable([header, ...cells], several ? 2 : 1)
}

/** One line a relation: how its chunks are attached, beside the distance and the side that are most frequent. Empty without relations. */
export function attachmentTable(scores: readonly HeadScores[]): string[] {
  const rows = scores.flatMap(({ head, attachment }) => {
    if (!attachment) return []
    const { participants, accuracy, f1, majority, nearest } = attachment
    const percent = (value: number) => (100 * value).toFixed(1)
    const distance = `${majority.distance > 0 ? '+' : ''}${majority.distance}`
    return [
      [
        head,
        participants.toLocaleString('en-US'),
        percent(accuracy),
        `${percent(majority.accuracy)} (${distance})`,
        `${percent(nearest.accuracy)} (${nearest.side})`,
        percent(f1),
        percent(majority.f1),
        percent(nearest.f1),
      ],
    ]
  })
  if (rows.length === 0) return []
  const header = ['relation', 'chunks', 'attached', 'majority', 'nearest', 'F1', 'majority', 'nearest']
  return alignedTable([header, ...rows], 1)
}

/** Pads the columns; the first `left` of them to the left, the others to the right. Columns without any value are left out. */
export function alignedTable(rows: readonly (readonly string[])[], left: number): string[] {
  const used = rows[0].map((_, column) => rows.length === 1 || rows.slice(1).some((row) => row[column] !== ''))
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)))
  return rows.map((row) =>
    row
      .map((cell, column) => (column < left ? cell.padEnd(widths[column]) : cell.padStart(widths[column])))
      .filter((_, column) => used[column])
      .join('  ')
      .trimEnd(),
  )
}
