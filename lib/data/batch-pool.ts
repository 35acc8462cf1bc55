import type { Worker } from 'node:worker_threads'
import { isStrataErrorCode, StrataError } from '../errors.js'
import { spawnWorker } from '../runtime/spawn-worker.js'
import type { PackedBatch } from './packed-batch.js'
import type { PrefetchReply, PrefetchRequest } from './prefetch-protocol.js'
import type { DescribedSource } from './source-description.js'

/** A source whose batches are built elsewhere. */
export interface RemoteSource {
  batchCount(epoch: number): Promise<number>
  build(epoch: number, index: number): Promise<PackedBatch>
}

interface Member {
  worker: Worker
  /** Requests that it has not answered yet. */
  pending: number
}

interface Waiting {
  member: Member
  resolve(value: unknown): void
  reject(error: StrataError): void
}

/** A request without its id: spelled per kind, since Omit would merge the kinds. */
type Question =
  | { kind: 'count'; source: number; epoch: number }
  | { kind: 'build'; source: number; epoch: number; index: number }

/**
 * Worker threads that build batches, shared by any number of sources. Idle workers do not keep the process alive.
 * Disposable: `close()` ends the threads and rejects what is still waited for with ABORTED.
 */
export class BatchPool {
  readonly workers: number
  readonly #members: Member[]
  readonly #waiting = new Map<number, Waiting>()
  #nextId = 0
  #nextSource = 0
  #failure: StrataError | undefined

  /** @param workers number of threads, at least 1 */
  constructor(workers: number) {
    if (!(Number.isInteger(workers) && workers >= 1)) {
      throw new StrataError('BAD_ARGUMENT', `a pool of ${workers} workers: an integer of at least 1 was expected`)
    }
    this.workers = workers
    this.#members = Array.from({ length: workers }, () => this.#start())
  }

  /** Makes a source known to every worker. */
  add(source: DescribedSource): RemoteSource {
    const number = this.#nextSource++
    const request: PrefetchRequest = { kind: 'add', source: number, description: source.describe() }
    for (const { worker } of this.#members) worker.postMessage(request)
    return {
      batchCount: (epoch) => this.#ask({ kind: 'count', source: number, epoch }) as Promise<number>,
      build: (epoch, index) => this.#ask({ kind: 'build', source: number, epoch, index }) as Promise<PackedBatch>,
    }
  }

  async close(): Promise<void> {
    this.#fail(new StrataError('ABORTED', 'the batch pool was closed while batches were being built'))
    await Promise.all(this.#members.map(({ worker }) => worker.terminate()))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #start(): Member {
    const worker = spawnWorker(__dirname, 'prefetch-worker')
    const member = { worker, pending: 0 }
    worker.unref()
    worker.on('message', (reply: PrefetchReply) => this.#settle(reply))
    worker.on('error', (error: NodeJS.ErrnoException) => {
      const outOfMemory = error.code === 'ERR_WORKER_OUT_OF_MEMORY'
      const what = outOfMemory ? 'ran out of memory; use fewer workers' : `failed: ${error.message}`
      const code = outOfMemory ? 'OUT_OF_MEMORY' : 'NATIVE_ERROR'
      this.#fail(new StrataError(code, `a prefetch worker ${what}`, { cause: error }))
    })
    worker.on('exit', (exitCode) => {
      this.#fail(
        new StrataError('NATIVE_ERROR', `a prefetch worker ended with code ${exitCode} before its batches were built`),
      )
    })
    return member
  }

  #ask(question: Question): Promise<unknown> {
    if (this.#failure) return Promise.reject(this.#failure)
    const member = this.#members.reduce((least, other) => (other.pending < least.pending ? other : least))
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { member, resolve, reject })
      if (member.pending++ === 0) member.worker.ref()
      member.worker.postMessage({ ...question, id } satisfies PrefetchRequest)
    })
  }

  #settle(reply: PrefetchReply): void {
    const waiting = this.#waiting.get(reply.id)
    if (!waiting) return
    this.#waiting.delete(reply.id)
    if (--waiting.member.pending === 0) waiting.member.worker.unref()
    if ('value' in reply) {
      waiting.resolve(reply.value)
      return
    }
    const { code, message, details, stack } = reply.error
    waiting.reject(
      isStrataErrorCode(code)
        ? new StrataError(code, message, { details })
        : new StrataError('NATIVE_ERROR', `a batch source failed in a prefetch worker: ${message}`, {
            details: { stack },
          }),
    )
  }

  /** The first failure counts: what follows from it (a worker's exit) says less. */
  #fail(error: StrataError): void {
    this.#failure ??= error
    for (const waiting of this.#waiting.values()) waiting.reject(this.#failure)
    this.#waiting.clear()
  }
}
