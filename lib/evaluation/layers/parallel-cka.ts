/**
 * A CKA table whose products are summed on threads beside this one, some pairs of layers on each: the event loop stays free, and the
 * encoder computes the next block meanwhile. The same numbers as {@link CkaTable} gives, to the last bit.
 */
import { once } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import type { Worker } from 'node:worker_threads'
import { spawnWorker } from '../../runtime/index.js'
import { CkaShape, type StateBlock } from '../cka.js'
import type { GramAnswer, GramRequest, GramWorkerData } from './gram-worker.js'

interface GramThread {
  worker: Worker
  /** Of its pairs among those of the table. */
  places: number[]
  /** Rejects with what the thread died of. */
  failed: Promise<never>
}

export class ParallelCka implements AsyncDisposable {
  readonly #shape: CkaShape
  readonly #threads: GramThread[]
  /** What every thread reads; written anew when all have read it. */
  #shared: Float64Array[] = []
  #asked: Promise<GramAnswer[]> = Promise.resolve([])
  #rows = 0

  /** As {@link CkaTable}; `threads` at most. */
  constructor(left: readonly number[], right: readonly number[] | undefined, threads: number) {
    this.#shape = new CkaShape(left, right)
    const { widths, pairs } = this.#shape
    const all = pairs.map((_, place) => place)
    const count = Math.min(Math.max(1, threads), pairs.length)
    this.#threads = Array.from({ length: count }, (_, thread) => {
      const places = all.filter((place) => place % count === thread)
      const workerData: GramWorkerData = { widths, pairs: places.map((place) => pairs[place]) }
      const worker = spawnWorker(__dirname, 'gram-worker', { workerData })
      const failed = once(worker, 'error').then(([error]) => Promise.reject(error as Error))
      // Met when it is asked.
      failed.catch(() => {})
      return { worker, places, failed }
    })
  }

  get rows(): number {
    return this.#rows
  }

  /** As {@link CkaTable.add}; resolves when the blocks have been copied, while the threads are still at work on them. */
  async add(left: readonly StateBlock[], right?: readonly StateBlock[]): Promise<void> {
    const { blocks, rows } = this.#shape.checked(left, right)
    await this.#asked
    if (rows === 0) return
    const copies: Float64Array[] = []
    for (const [layer, block] of blocks.entries()) {
      copies.push(this.#copied(layer, block))
      // Megabytes each: others may run between two of them.
      await setImmediate()
    }
    this.#rows += rows
    this.#ask({ add: copies, rows })
  }

  /** As {@link CkaTable.values}. */
  async values(): Promise<number[][]> {
    await this.#asked
    this.#ask({ squares: true })
    const squares: number[] = []
    for (const [thread, answer] of (await this.#asked).entries()) {
      this.#threads[thread].places.forEach((place, index) => {
        squares[place] = answer.squares![index]
      })
    }
    return this.#shape.values(squares)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()))
  }

  #ask(request: GramRequest): void {
    this.#asked = Promise.all(
      this.#threads.map(async ({ worker, failed }) => {
        const answered = once(worker, 'message') as Promise<[GramAnswer]>
        worker.postMessage(request)
        return (await Promise.race([answered, failed]))[0]
      }),
    )
    // Met at the next call.
    this.#asked.catch(() => {})
  }

  #copied(layer: number, block: StateBlock): Float64Array {
    const { length } = block
    if ((this.#shared[layer]?.length ?? 0) < length)
      this.#shared[layer] = new Float64Array(new SharedArrayBuffer(length * Float64Array.BYTES_PER_ELEMENT))
    const copy = this.#shared[layer].subarray(0, length)
    copy.set(block)
    return copy
  }
}
