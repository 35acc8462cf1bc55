/** The next batches of each task of a stage, made ahead; opened when a task is first drawn. */
import { BatchPool } from '../data/batch-pool.js'
import { hasLabels, type PackedBatch } from '../data/packed-batch.js'
import { type Prefetch, prefetch } from '../data/prefetch.js'
import { isDescribed } from '../data/source-description.js'
import { StrataError } from '../errors.js'
import type { StageState, TrainingTask } from './types.js'

export interface BatchStreams extends AsyncDisposable {
  /**
   * Takes the task's next batches with labels and moves its place in `stage` on. Batches without any (text without a parse where relations
   * alone are learned) are passed over and counted there. Throws BAD_DATA when as many of them as a pass has come in a row.
   */
  take(task: TrainingTask, count: number): Promise<PackedBatch[]>
}

/** Goes on where `stage` says that each task stands. All tasks share the worker threads. */
export function openBatchStreams(stage: StageState, workers: number): BatchStreams {
  const streams = new Map<string, Prefetch>()
  let pool: BatchPool | undefined
  const open = ({ name, source }: TrainingTask): Prefetch => {
    const { epoch, index } = stage.tasks[name]
    if (workers > 0 && isDescribed(source)) pool ??= new BatchPool(workers)
    return prefetch(source, { pool, epoch, index })
  }
  return {
    async take(task, count) {
      const place = stage.tasks[task.name]
      let stream = streams.get(task.name)
      if (!stream) {
        stream = open(task)
        streams.set(task.name, stream)
      }
      const batches: PackedBatch[] = []
      let unlabelled = 0
      while (batches.length < count) {
        const next = await stream.next()
        if (next.done)
          throw new StrataError('BAD_DATA', `the data of task ${task.name} ended, endless passes were expected`)
        const { epoch, index, batchCount, batch } = next.value
        place.epoch = index + 1 < batchCount ? epoch : epoch + 1
        place.index = index + 1 < batchCount ? index + 1 : 0
        if (hasLabels(batch)) {
          batches.push(batch)
          unlabelled = 0
          continue
        }
        place.unlabelled = (place.unlabelled ?? 0) + 1
        if (++unlabelled >= batchCount) throw nothingToLearn(task, unlabelled)
      }
      place.steps++
      return batches
    },
    async [Symbol.asyncDispose]() {
      for (const stream of streams.values()) await stream.close()
      await pool?.close()
    },
  }
}

function nothingToLearn({ name, heads }: TrainingTask, batches: number): StrataError {
  return new StrataError(
    'BAD_DATA',
    `task ${name}: ${batches} batches in a row, as many as a pass has, hold no label for ${heads.join(', ')}; data with such labels were expected`,
  )
}
