import type { BatchSource, PackedBatch } from '../../lib/data/packed-batch.js'
import { evaluateHeads } from '../../lib/evaluation/index.js'
import type { HeadConfig } from '../../lib/model/index.js'
import type { SplitScores, TrainingTask } from '../../lib/training/index.js'
import { smallBatch } from './small-model.js'

/** Two heads that stand for two tasks; each batch holds labels of one of them. */
export const TASK_HEADS: HeadConfig[] = [
  { name: 'pairs', kind: 'next-sentence', tap: { layer: 2 }, weight: 1 },
  { name: 'swaps', kind: 'bigram-shift', tap: { layer: 2 }, weight: 1, level: 'sentence', read: 'mean' },
]

const LABELS_OF: Record<string, string> = { pairs: 'nsp', swaps: 'swap' }

/** The given number of small batches in another order every pass; counts how often each was built for training. */
export function taskSource(head: string, batches: number, seed: number): BatchSource & { built: number[][] } {
  const built: number[][] = []
  return {
    built,
    batchCount: () => batches,
    build(epoch, index): PackedBatch {
      built[epoch] ??= new Array(batches).fill(0)
      built[epoch][index]++
      const which = (index * 7 + epoch) % batches
      const batch = smallBatch(1000 * seed + which, [9, 6, 11])
      return { ...batch, labels: { [head]: batch.labels[LABELS_OF[head]] } }
    },
  }
}

/** A task that is scored as tasks with metrics of their own are: accuracy on `dev` and on `other`. */
export function scoredTask(head: 'pairs' | 'swaps', batches: number, more: Partial<TrainingTask> = {}): TrainingTask {
  const splits = { dev: taskSource(head, 2, 50), other: taskSource(head, 2, 60) }
  return {
    name: head,
    heads: [head],
    source: taskSource(head, batches, head === 'pairs' ? 1 : 2),
    async score(model, { signal, onBatch }) {
      const scores: Record<string, SplitScores> = {}
      for (const [split, source] of Object.entries(splits)) {
        const { accuracy, loss, count, f1 } = (await evaluateHeads(model, source, { heads: [head], signal, onBatch }))[
          head
        ]
        scores[split] = { main: accuracy, loss, count, metrics: { accuracy, f1: f1 ?? 0 } }
      }
      return scores
    },
    ...more,
  }
}
