/** A source whose passes are later ones of another source: the same data in orders that were not met yet. */
import type { BatchSource } from './packed-batch.js'
import { isDescribed, openDescribed, type SourceDescription } from './source-description.js'

/** More passes than anyone makes: blocks of passes never meet. */
const PASSES_OF_A_BLOCK = 2 ** 32

/** Pass e of block `block` ≥ 0; block 0 is the source itself. Worker threads build its batches where they build the source's. */
export function laterPasses(source: BatchSource, block: number): BatchSource {
  if (block === 0) return source
  const from = block * PASSES_OF_A_BLOCK
  const later: BatchSource = {
    batchCount: (epoch) => source.batchCount(from + epoch),
    build: (epoch, index) => source.build(from + epoch, index),
  }
  if (!isDescribed(source)) return later
  const describe = (): SourceDescription => ({ module: __filename, options: { source: source.describe(), block } })
  return Object.assign(later, { describe })
}

/** Rebuilds such a source from its description; called in prefetch workers. */
export async function createSource(options: unknown): Promise<BatchSource> {
  const { source, block } = options as { source: SourceDescription; block: number }
  return laterPasses(await openDescribed(source), block)
}
