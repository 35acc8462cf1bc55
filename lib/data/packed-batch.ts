import type { PackedBatch } from '../model/packed-batch.js'

// Past the model's door, which opens libtorch's side: workers build batches with this file alone.
export * from '../model/packed-batch.js'

/**
 * A numbered supply of batches: batch `index` of pass `epoch` is a pure function of (source, epoch, index), so that any
 * number of workers makes the same batches and a resumed run finds its place by two numbers.
 */
export interface BatchSource {
  /** How many batches one pass over the data has. */
  batchCount(epoch: number): number
  /** Builds one batch; 0 ≤ index < batchCount(epoch). */
  build(epoch: number, index: number): PackedBatch
}
