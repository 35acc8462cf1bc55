import type { PackedBatch } from '../../data/packed-batch.js'
import type { Model } from '../../model/index.js'

/** One sequence of S tokens that a model computes. */
export interface Sequence {
  /** Token ids, shape (S). */
  tokenIds: Int32Array
  /** Shape (S). */
  segmentIds: Int32Array
  /** Places in the sequence that a head is asked about: first pieces of words, masks. */
  places?: readonly number[]
}

/** What a model is asked about sequences: calls of one kind share batches. */
export interface Work<Row> {
  /** Equal for works that may share a batch: same heads, layer, adapter, pooling. */
  readonly kind: string
  /** One row a sequence, in the batch's order; rows may be views of one array. */
  run(model: Model, batch: PackedBatch, sequences: readonly Sequence[]): Promise<Row[]>
  /**
   * A call's rows in memory of its own. Asked when calls of several callers shared a batch and rows reach them, so that no caller
   * holds, transfers or reads (`vector.buffer`) what is another's. Missing where rows stay inside.
   */
  own?(rows: readonly Row[]): Row[]
}
