/**
 * The life of calls: accepted, queued, computed with others, answered; aborted, refused; and of the models that answer them: replaced,
 * disposed. See docs/serving.md.
 */
import { isDeepStrictEqual } from 'node:util'
import { StrataError } from '../../errors.js'
import { counters } from '../../model/index.js'
import { warn } from '../../warn.js'
import type { LoadedParts, Session } from '../loaded-parts.js'
import { LatencyHistogram } from './latency-histogram.js'
import { type BatcherOptions, MicroBatcher } from './micro-batcher.js'
import { Lease, ModelSlot } from './model-slot.js'
import type { EncoderStats } from './serving-stats.js'
import { CallSession } from './session.js'
import { inOrder } from './stream.js'
import type { Flow } from './waiting-call.js'
import { watchSignal } from './watch-signal.js'

interface OpenCall {
  lease: Lease
  /** Ends the call at once with an error. */
  end(error: StrataError): void
}

export class ServingEngine {
  readonly #batcher: MicroBatcher
  readonly #open = new Set<OpenCall>()
  /** Wakes streams that wait for their sources or for what is on its way. */
  readonly #waitingStreams = new Set<() => void>()
  readonly #latency = new LatencyHistogram()
  readonly #counts = { completed: 0, failed: 0, rejected: 0, aborted: 0, replaced: 0 }
  /** Models that still owe answers, the current one included. */
  readonly #slots = new Set<ModelSlot>()
  #current: ModelSlot
  #disposed?: Promise<void>

  constructor(parts: LoadedParts, options: BatcherOptions) {
    this.#batcher = new MicroBatcher(options)
    this.#current = new ModelSlot(parts)
    this.#slots.add(this.#current)
  }

  /** What answers new calls. */
  get parts(): LoadedParts {
    return this.#current.parts
  }

  get disposed(): boolean {
    return this.#disposed !== undefined
  }

  /** Takes a call on. Rejects with DISPOSED, ABORTED, OVERLOADED, or what `run` throws. */
  serve<Result>(
    run: (session: Session) => Promise<Result>,
    signal: AbortSignal | undefined,
    { flow, patient }: { flow: Flow; patient: boolean } = { flow: { tag: 0 }, patient: false },
  ): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (this.#disposed) return reject(disposedError())
      if (signal?.aborted) {
        this.#counts.aborted++
        return reject(abortedError(signal))
      }
      const begun = performance.now()
      const lease = new Lease(this.#current)
      const session = new CallSession(this.#batcher, lease, flow, patient)
      const close = (): boolean => {
        if (!this.#open.delete(call)) return false
        unwatch?.()
        session.close()
        lease.end()
        return true
      }
      const end = (error: unknown): void => {
        if (!close()) return
        this.#countFailure(error)
        reject(error)
      }
      const call: OpenCall = { lease, end }
      this.#open.add(call)
      const unwatch = signal && watchSignal(signal, () => end(abortedError(signal)))
      run(session).then((result) => {
        if (!close()) return
        this.#counts.completed++
        this.#latency.add(performance.now() - begun)
        resolve(result)
      }, end)
    })
  }

  /** As {@link serve}, for each input of a stream, in order; the stream is one caller and waits where others are refused. */
  stream<Input, Result>(
    source: AsyncIterable<Input>,
    run: (session: Session, input: Input, index: number) => Promise<Result>,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Result, void, undefined> {
    const place = { flow: { tag: 0, bulk: true }, patient: true }
    // Not AbortSignal.any: a signal that lives as long as the server would gather one dependent a stream.
    const left = new AbortController()
    const unwatch = signal && watchSignal(signal, () => left.abort(signal.reason))
    if (signal?.aborted) left.abort(signal.reason)
    return inOrder(source, (input, index) => this.serve((session) => run(session, input, index), left.signal, place), {
      aborted: () => (left.signal.aborted ? abortedError(left.signal) : undefined),
      refused: () => (this.#disposed ? disposedError() : undefined),
      watch: (changed) => {
        this.#waitingStreams.add(changed)
        const unwatchLeft = watchSignal(left.signal, changed)
        return () => {
          this.#waitingStreams.delete(changed)
          unwatchLeft()
        }
      },
      leave: () => {
        unwatch?.()
        left.abort()
      },
    })
  }

  /** New calls, and those waiting that it answers alike, go to another model; the one before ends with its last call. */
  replace(parts: LoadedParts): void {
    const before = this.#current
    this.#current = new ModelSlot(parts)
    this.#slots.add(this.#current)
    this.#counts.replaced++
    if (answersAlike(before.parts, parts)) this.#batcher.move(before, this.#current)
    // A device in trouble may refuse to take its memory back; the models that go on have no part in that.
    this.#retire(before).catch((error: Error) =>
      warn([`the replaced model could not be given back whole: ${error.message}`]),
    )
  }

  /** Refuses new calls, waits for the accepted ones (`abort`: ends those of which nothing is computed) and gives the memory back. */
  dispose(options: { abort?: boolean } = {}): Promise<void> {
    this.#disposed ??= Promise.resolve().then(async () => {
      await Promise.all([...this.#slots].map((slot) => this.#retire(slot)))
    })
    if (options.abort) for (const call of [...this.#open]) if (!call.lease.started) call.end(disposedError())
    for (const changed of [...this.#waitingStreams]) changed()
    return this.#disposed
  }

  stats(): EncoderStats {
    const { runningCalls, ...figures } = this.#batcher.figures()
    const [p50, p90, p99] = this.#latency.percentiles([0.5, 0.9, 0.99])
    return {
      queuedCalls: Math.max(0, this.#open.size - runningCalls),
      runningCalls,
      ...this.#counts,
      ...figures,
      meanBatchTokens: figures.batches > 0 ? figures.tokens / figures.batches : 0,
      latencyMs: { p50, p90, p99 },
      nativeBytes: counters().nativeBytes,
    }
  }

  async #retire(slot: ModelSlot): Promise<void> {
    await slot.retire()
    this.#slots.delete(slot)
  }

  #countFailure(error: unknown): void {
    const code = error instanceof StrataError ? error.code : undefined
    if (code === 'OVERLOADED') this.#counts.rejected++
    else if (code === 'ABORTED' || code === 'DISPOSED') this.#counts.aborted++
    else this.#counts.failed++
  }
}

/** Same words, layers, heads and tasks: a call prepared for one is right for the other. */
function answersAlike(a: LoadedParts, b: LoadedParts): boolean {
  return (
    a.tokenizer.fingerprint === b.tokenizer.fingerprint &&
    isDeepStrictEqual(a.model.config, b.model.config) &&
    isDeepStrictEqual(a.tasks, b.tasks)
  )
}

function abortedError(signal: AbortSignal): StrataError {
  return new StrataError('ABORTED', 'the call was aborted by its signal', { cause: signal.reason })
}

export function disposedError(): StrataError {
  return new StrataError('DISPOSED', 'the encoder has been disposed; load another one')
}
