import { StrataError, type StrataErrorCode } from '../errors.js'
import type { BatchSource, PackedBatch } from './packed-batch.js'
import type { SourceDescription } from './source-description.js'

/** What the main thread asks of a prefetch worker; `source` is a number that `add` introduced. */
export type PrefetchRequest =
  | { kind: 'add'; source: number; description: SourceDescription }
  | { kind: 'count'; id: number; source: number; epoch: number }
  | { kind: 'build'; id: number; source: number; epoch: number; index: number }

/** A worker's answer to the request of the same id: a batch count, a batch, or why there is none. */
export type PrefetchReply =
  | { id: number; value: unknown }
  | {
      id: number
      error: { code?: StrataErrorCode; message: string; details?: Record<string, unknown>; stack?: string }
    }

/** Builds one batch; what a source throws that is no StrataError becomes one that says which batch it was. */
export function buildBatch(source: BatchSource, epoch: number, index: number): PackedBatch {
  try {
    return source.build(epoch, index)
  } catch (error) {
    if (error instanceof StrataError) throw error
    const { message, stack } = error as Error
    throw new StrataError(
      'NATIVE_ERROR',
      `batch ${index} of pass ${epoch} could not be built, its source failed: ${message ?? String(error)}`,
      { cause: error, details: { epoch, index, stack } },
    )
  }
}
