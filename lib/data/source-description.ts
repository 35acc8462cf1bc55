import type { BatchSource } from './packed-batch.js'

/**
 * A batch source in a form that can be sent to a worker thread. `module` is an absolute file name; the module exports
 * `createSource(options)`, which returns an equal {@link BatchSource} (or a promise of one).
 */
export interface SourceDescription {
  module: string
  /** Anything that `postMessage` can copy. */
  options: unknown
}

/** A source that other threads can rebuild. */
export interface DescribedSource extends BatchSource {
  describe(): SourceDescription
}

/** True for a source that worker threads can rebuild. */
export function isDescribed(source: BatchSource): source is DescribedSource {
  return typeof (source as Partial<DescribedSource>).describe === 'function'
}
