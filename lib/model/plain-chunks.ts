/** Where batches of plain text get the chunks that a model with agreements reads; training batches of a parsed corpus bring their own. */

import { TokenChunker, type Tokenizer } from '../text/index.js'
import type { Model } from './model.js'
import type { PackedBatch } from './packed-batch.js'

/** Does nothing for a model without agreements. */
export function chunkPlainBatches(model: Model, tokenizer: Tokenizer): void {
  const { agreements } = model.config
  if (!agreements) return
  const chunker = new TokenChunker({
    special: tokenizer.specialTokens,
    pieces: tokenizer.vocabulary(),
    unit: agreements.unit,
  })
  model.prepareBatches((batch) => withChunks(batch, chunker))
}

/** What is no batch is left to the checks of the model. */
function withChunks(batch: PackedBatch, chunker: TokenChunker): PackedBatch {
  const { tokenIds, sequenceOffsets, chunks } = batch ?? {}
  if (chunks || !(tokenIds instanceof Int32Array && sequenceOffsets instanceof Int32Array)) return batch
  return { ...batch, chunks: chunker.chunksOf(tokenIds, sequenceOffsets) }
}
