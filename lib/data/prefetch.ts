/** Batches in order, built ahead of the one who trains on them. */
import { StrataError } from '../errors.js'
import { BatchPool, type RemoteSource } from './batch-pool.js'
import type { BatchSource, PackedBatch } from './packed-batch.js'
import { buildBatch } from './prefetch-protocol.js'
import { isDescribed } from './source-description.js'

/** Where batches are built and from which one on. */
export interface PrefetchOptions {
  /** Threads that build batches; 0 (default) = in this thread, when a batch is asked for. Batches do not depend on it. */
  workers?: number
  /** Where to begin; default batch 0 of epoch 0. `index` may equal the epoch's batch count: the next epoch's first batch. */
  epoch?: number
  index?: number
  /** How many batches are built or wait at most; default 2 a worker, at least 4. Each holds about 20 bytes a token. */
  lookahead?: number
  /** How many epochs are given out, the first (maybe partial) one included; default: no end. */
  epochs?: number
  /** Ends the iteration: the pending and every later `next()` rejects with ABORTED. */
  signal?: AbortSignal
  /** Threads shared with other iterations (they then outlive this one); instead of `workers`. */
  pool?: BatchPool
}

/** A batch with its place in the source. */
export interface PrefetchedBatch {
  epoch: number
  index: number
  /** Batches of this epoch. */
  batchCount: number
  batch: PackedBatch
}

type Position = Omit<PrefetchedBatch, 'batch'>

/** An async iterator of batches. Leaving a `for await` loop, `return()` and `close()` end the threads. */
export interface Prefetch extends AsyncIterableIterator<PrefetchedBatch> {
  /** Threads at work; 0 when batches are built in this thread. */
  readonly workers: number
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * Iterates over the batches of a source, epoch after epoch. A source that cannot be described to a worker (it has no
 * `describe()`) is built in this thread whatever `workers` says; the result's `workers` is 0 then.
 *
 * @example
 * for await (const { batch } of prefetch(source, { workers: 2, epochs: 1 })) await model.step(batch)
 */
export function prefetch(source: BatchSource, options: PrefetchOptions = {}): Prefetch {
  for (const name of ['workers', 'epoch', 'index'] as const) {
    checkInteger(name, options[name] ?? 0, 0)
  }
  for (const name of ['lookahead', 'epochs'] as const) {
    if (options[name] !== undefined) checkInteger(name, options[name], 1)
  }
  return new PrefetchIteration(source, options)
}

function checkInteger(name: string, value: number, least: number): void {
  if (Number.isSafeInteger(value) && value >= least) return
  throw new StrataError('BAD_ARGUMENT', `prefetch ${name} ${value}: an integer of at least ${least} was expected`)
}

function inThisThread(source: BatchSource): RemoteSource {
  return {
    batchCount: async (epoch) => source.batchCount(epoch),
    build: async (epoch, index) => buildBatch(source, epoch, index),
  }
}

class PrefetchIteration implements Prefetch {
  readonly workers: number
  readonly #source: RemoteSource
  readonly #ownPool: BatchPool | undefined
  readonly #lookahead: number
  /** False in this thread: building ahead would gain nothing there. */
  readonly #buildsAhead: boolean
  readonly #lastEpoch: number
  readonly #signal: AbortSignal | undefined
  /** Batches under way, in order; undefined stands for the end. */
  readonly #queue: Promise<PrefetchedBatch | undefined>[] = []
  /** Rejects the `next()` calls that wait. */
  readonly #waiting = new Set<(error: StrataError) => void>()
  /** Resolves when every position so far has been given out: positions follow each other although counts come later. */
  #positions: Promise<Position | undefined> = Promise.resolve(undefined)
  #epoch: number
  #index: number
  #batchCount: number | undefined
  #ended = false
  #failure: StrataError | undefined

  constructor(source: BatchSource, options: PrefetchOptions) {
    const { workers = 0, pool, epoch = 0, index = 0, epochs = Infinity, signal } = options
    const inline = !isDescribed(source) || (!pool && workers === 0)
    if (!inline && !pool) this.#ownPool = new BatchPool(workers)
    const usedPool = inline ? undefined : (pool ?? this.#ownPool)
    this.workers = usedPool?.workers ?? 0
    this.#source = usedPool && isDescribed(source) ? usedPool.add(source) : inThisThread(source)
    this.#buildsAhead = usedPool !== undefined
    this.#lookahead = options.lookahead ?? Math.max(4, 2 * this.workers)
    this.#epoch = epoch
    this.#index = index
    this.#lastEpoch = epoch + epochs - 1
    this.#signal = signal
    if (signal?.aborted) this.#abort()
    else signal?.addEventListener('abort', this.#abort, { once: true })
    if (this.#buildsAhead) this.#fill()
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<PrefetchedBatch, undefined>> {
    if (this.#failure) return Promise.reject(this.#failure)
    if (this.#ended) return Promise.resolve({ done: true, value: undefined })
    if (this.#queue.length === 0) this.#request()
    const item = this.#queue.shift()!
    return new Promise((resolve, reject) => {
      this.#waiting.add(reject)
      item.then(
        async (value) => {
          this.#waiting.delete(reject)
          if (value) {
            if (this.#buildsAhead) this.#fill()
            resolve({ done: false, value })
          } else {
            await this.close()
            resolve({ done: true, value: undefined })
          }
        },
        async (error) => {
          this.#waiting.delete(reject)
          await this.close()
          reject(error)
        },
      )
    })
  }

  async return(): Promise<IteratorResult<PrefetchedBatch, undefined>> {
    await this.close()
    return { done: true, value: undefined }
  }

  async close(): Promise<void> {
    this.#ended = true
    this.#queue.length = 0
    this.#signal?.removeEventListener('abort', this.#abort)
    await this.#ownPool?.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  readonly #abort = (): void => {
    const failure = new StrataError('ABORTED', 'the iteration over batches was aborted', {
      cause: this.#signal?.reason,
    })
    this.#failure = failure
    for (const reject of this.#waiting) reject(failure)
    this.#waiting.clear()
    void this.close()
  }

  #fill(): void {
    while (!this.#ended && this.#queue.length < this.#lookahead) this.#request()
  }

  #request(): void {
    const position = this.#positions.then(() => this.#nextPosition())
    // The chain goes on after a failure; its item tells of it.
    this.#positions = position.catch(() => undefined)
    const item = position.then(async (place) => {
      if (!place) return undefined
      return { ...place, batch: await this.#source.build(place.epoch, place.index) }
    })
    // An item that fails before it is waited for is not an unhandled rejection.
    item.catch(() => {})
    this.#queue.push(item)
  }

  /** Undefined when the last epoch has been given out or the iteration has ended. */
  async #nextPosition(): Promise<Position | undefined> {
    while (!this.#ended && this.#epoch <= this.#lastEpoch) {
      this.#batchCount ??= await this.#source.batchCount(this.#epoch)
      const batchCount = this.#batchCount
      if (batchCount === 0)
        throw new StrataError('BAD_DATA', `epoch ${this.#epoch} has no batch; give documents with text`)
      if (this.#index < batchCount) return { epoch: this.#epoch, index: this.#index++, batchCount }
      if (this.#index > batchCount) {
        throw new StrataError(
          'BAD_ARGUMENT',
          `prefetch begins at batch ${this.#index} of epoch ${this.#epoch}, which has ${batchCount}; the data or batch settings have changed`,
        )
      }
      this.#epoch++
      this.#index = 0
      this.#batchCount = undefined
    }
    return undefined
  }
}
