import { pathToFileURL } from 'node:url'
import { StrataError } from '../errors.js'
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

interface SourceModule {
  createSource?: (options: unknown) => BatchSource | Promise<BatchSource>
}

async function loadModule(file: string): Promise<SourceModule> {
  if (/\.m[jt]s$/.test(file)) return import(pathToFileURL(file).href)
  try {
    return require(file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_REQUIRE_ESM') throw error
    return import(pathToFileURL(file).href)
  }
}

/** The source that a description stands for. */
export async function openDescribed({ module, options }: SourceDescription): Promise<BatchSource> {
  const { createSource } = await loadModule(module)
  if (typeof createSource !== 'function') {
    throw new StrataError(
      'BAD_ARGUMENT',
      `${module} exports no function createSource(options), which prefetch workers call`,
    )
  }
  return createSource(options)
}
