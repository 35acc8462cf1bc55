import { type PackedBatch, packSequences } from '../data/packed-batch.js'
import type { EncodedText } from '../text/index.js'

/** A packed batch and where its sequences stood in the input. */
export interface PackedTexts {
  batch: PackedBatch
  /** Input index of each sequence, shape (B). */
  indices: number[]
}

/**
 * Sorts texts by length and fills batches of at most `maxBatchTokens`: attention works on the longest sequence of a batch, so
 * neighbours of like length cost least. A single text above the limit gets a batch of its own. Batches come longest first,
 * so that memory peaks at once rather than at the end.
 */
export function packTexts(texts: readonly EncodedText[], maxBatchTokens: number): PackedTexts[] {
  const order = texts
    .map((_, index) => index)
    .sort((a, b) => texts[b].tokenIds.length - texts[a].tokenIds.length || a - b)
  const packed: PackedTexts[] = []
  let indices: number[] = []
  let tokens = 0
  const flush = () => {
    if (indices.length === 0) return
    const batch = packSequences(indices.map((index) => texts[index].tokenIds))
    indices.forEach((index, place) => {
      batch.segmentIds.set(texts[index].segmentIds, batch.sequenceOffsets[place])
    })
    packed.push({ batch, indices })
    indices = []
    tokens = 0
  }
  for (const index of order) {
    const length = texts[index].tokenIds.length
    if (tokens + length > maxBatchTokens) flush()
    indices.push(index)
    tokens += length
  }
  flush()
  return packed
}
