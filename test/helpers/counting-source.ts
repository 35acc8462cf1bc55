import type { PackedBatch } from '../../lib/data/packed-batch.js'
import { packSequences } from '../../lib/data/packed-batch.js'
import type { DescribedSource } from '../../lib/data/source-description.js'

export interface CountingOptions {
  batches: number
  /** Builds so far, in shared memory; every thread counts in it. */
  built: Int32Array
  /** Index of a batch that cannot be built; thrown as a plain error. */
  failAt?: number
  /** Index of a batch at which the thread ends. */
  exitAt?: number
}

/** A source that counts how often it builds; batch (epoch, index) holds these two numbers. */
export function createSource(options: unknown): DescribedSource {
  const { batches, built, failAt, exitAt } = options as CountingOptions
  return {
    batchCount: () => batches,
    build(epoch, index): PackedBatch {
      Atomics.add(built, 0, 1)
      if (index === failAt) throw new TypeError(`batch ${index} is broken`)
      if (index === exitAt) process.exit(3)
      return packSequences([[epoch, index]])
    },
    describe: () => ({ module: __filename, options }),
  }
}
