/**
 * Concurrent calls as few packed batches. While a batch is computed calls gather; an idle model starts with what the current turn of
 * the event loop brought. Nothing is held back to wait for more.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { StrataError } from '../../errors.js'
import { answerQuestions } from './answer-questions.js'
import { FairQueue, type QueuedBatch } from './fair-queue.js'
import type { Lease, ModelSlot } from './model-slot.js'
import type { Question, Sequence } from './question.js'
import { type Flow, type Slice, WaitingCall } from './waiting-call.js'

export interface BatcherOptions {
  maxBatchTokens: number
  maxQueueTokens: number
  maxWaitMs: number
  /** Full batches handed to the model before the running one ends: keeps an accelerator busy while rows are handed out. */
  batchesAhead: number
}

export interface BatcherFigures {
  queuedTokens: number
  runningCalls: number
  batches: number
  mixedBatches: number
  tokens: number
  tokensPerSecond: number
}

/** Share that the past keeps in the measured speed with every batch. */
const SPEED_MEMORY = 0.9
/** A handler that writes a vector as JSON takes about a tenth of a millisecond. */
const ANSWERS_PER_TURN = 8

export class MicroBatcher {
  readonly #options: BatcherOptions
  readonly #queue: FairQueue
  /** Calls with slices in running batches, and how many. */
  readonly #running = new Map<Lease, number>()
  /** Bulk callers that wait for room, in the order in which they came: small ones do not keep a large one out for ever. */
  readonly #waiters: Waiter[] = []
  #batchesRunning = 0
  #scheduled = false
  /** Tokens that wait or are announced. */
  #heldTokens = 0
  /** Those of them that are of bulk callers. */
  #bulkTokens = 0
  #batches = 0
  #mixedBatches = 0
  #tokens = 0
  #speed = { tokens: 0, ms: 0, lastEnd: 0 }

  constructor(options: BatcherOptions) {
    this.#options = options
    this.#queue = new FairQueue(options.maxBatchTokens)
  }

  get maxQueueTokens(): number {
    return this.#options.maxQueueTokens
  }

  /**
   * Takes room for tokens that are on their way. An empty queue takes any number, so that a text longer than the queue is served.
   * `own`: what the same call holds already. Throws OVERLOADED when there is no room.
   */
  reserve(tokens: number, flow: Flow, own = 0): void {
    const { maxQueueTokens } = this.#options
    if (this.#heldTokens > own && this.#heldTokens + tokens > maxQueueTokens) {
      throw new StrataError(
        'OVERLOADED',
        `the queue holds ${this.#heldTokens} of ${maxQueueTokens} tokens and about ${tokens} more came; try again later, send fewer at once, or raise maxQueueTokens`,
        { details: { queuedTokens: this.#heldTokens, maxQueueTokens, tokens } },
      )
    }
    this.take(tokens, flow)
  }

  /** As {@link reserve} for a bulk caller, which waits for its turn and for room. False, and nothing taken, when it is no longer `wanted` by then. */
  async reserveWhenFree(tokens: number, flow: Flow, wanted: () => boolean): Promise<boolean> {
    if (this.#waiters.length === 0 && this.#hasBulkRoom(tokens)) {
      this.take(tokens, flow)
      return true
    }
    return new Promise((tell) => {
      this.#waiters.push({ tokens, flow, wanted, tell })
    })
  }

  /** Takes room whether there is some or not. */
  take(tokens: number, { bulk }: Flow): void {
    this.#heldTokens += tokens
    if (bulk) this.#bulkTokens += tokens
  }

  /** Gives room back. */
  release(tokens: number, flow: Flow): void {
    this.#giveBack(tokens, flow)
    this.#wake()
  }

  /** Puts sequences into the queue; the promise brings a row for each, by question. `onQueued` gets the call, for {@link cancel}. */
  compute(
    questions: readonly Question<unknown>[],
    sequences: readonly Sequence[],
    place: { lease: Lease; flow: Flow; onQueued(call: WaitingCall): void },
  ): Promise<unknown[][]> {
    if (sequences.length === 0) return Promise.resolve(questions.map(() => []))
    return new Promise((resolve, reject) => {
      const call = new WaitingCall(questions, sequences, place.lease, place.flow, { resolve, reject })
      this.take(call.waitingTokens, call.flow)
      this.#queue.add(call)
      place.onQueued(call)
      this.#schedule()
    })
  }

  /** Takes a call out; what is being computed of it is dropped. Its promise stays open: the caller has told its own end. */
  cancel(call: WaitingCall): void {
    if (call.closed) return
    const waited = call.waits
    call.closed = true
    this.#giveBack(call.waitingTokens, call.flow)
    call.waitingTokens = 0
    if (waited) this.#queue.closed(call)
    this.#wake()
  }

  /** Calls that have not begun are answered by another model, which must answer them alike. */
  move(from: ModelSlot, to: ModelSlot): void {
    this.#queue.move(from, to)
  }

  figures(): BatcherFigures {
    const { tokens, ms } = this.#speed
    return {
      queuedTokens: this.#heldTokens,
      runningCalls: [...this.#running.keys()].filter(({ ended }) => !ended).length,
      batches: this.#batches,
      mixedBatches: this.#mixedBatches,
      tokens: this.#tokens,
      tokensPerSecond: ms > 0 ? (1000 * tokens) / ms : 0,
    }
  }

  /** Everything that this turn of the event loop brings goes into one batch. */
  #schedule(): void {
    if (this.#batchesRunning > 0) {
      this.#pump()
      return
    }
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#pump()
    })
  }

  #pump(): void {
    const { maxBatchTokens, maxWaitMs, batchesAhead } = this.#options
    for (;;) {
      const ahead = this.#batchesRunning > 0
      if (ahead && (this.#batchesRunning > batchesAhead || this.#heldTokens < maxBatchTokens)) return
      const { tokens, ms } = this.#speed
      const measured = ms > 0 ? (maxWaitMs * tokens) / ms : Number.POSITIVE_INFINITY
      const patienceTokens = maxWaitMs === 0 ? 0 : measured
      const batch = this.#queue.take({ maxBatchTokens, patienceTokens })
      if (!batch) return
      for (const { call, tokens } of batch.slices) this.#giveBack(tokens, call.flow)
      this.#wake()
      void this.#run(batch)
    }
  }

  async #run(batch: QueuedBatch): Promise<void> {
    this.#batchesRunning++
    for (const { call } of batch.slices) this.#running.set(call.lease, (this.#running.get(call.lease) ?? 0) + 1)
    const begun = performance.now()
    let outcome: { computed: ComputedBatch } | { error: unknown }
    try {
      outcome = { computed: await compute(batch) }
    } catch (error) {
      outcome = { error }
    }
    this.#batchesRunning--
    if ('computed' in outcome) this.#count(batch.tokens, outcome.computed, begun)
    // The model works on the next batch while the rows of this one are handed out.
    this.#pump()
    if ('computed' in outcome) return this.#deliver(outcome.computed)
    if (batch.slices.length > 1) return this.#computeApart(batch)
    this.#left(batch.slices[0])
    this.#fail(batch.slices[0].call, outcome.error)
  }

  /** A batch that failed (memory, most likely) is tried call by call: nobody fails for a neighbour's sake. */
  async #computeApart({ slot, slices }: QueuedBatch): Promise<void> {
    for (const slice of slices) {
      if (slice.call.closed) {
        this.#left(slice)
        continue
      }
      const begun = performance.now()
      try {
        const computed = await compute({ slot, slices: [slice], tokens: slice.tokens })
        this.#count(slice.tokens, computed, begun)
        await this.#deliver(computed)
      } catch (error) {
        this.#left(slice)
        this.#fail(slice.call, error)
      }
    }
  }

  /** Hands rows out, a few calls a turn of the event loop: what callers do with an answer adds up. */
  async #deliver({ slices, answered }: ComputedBatch): Promise<void> {
    const found = new Map<Slice, Map<string, FoundRow[]>>(slices.map((slice) => [slice, new Map()]))
    for (const { question, places, rows } of answered) {
      places.forEach(({ slice, index }, at) => {
        const ofSlice = found.get(slice)!
        const known = ofSlice.get(question.key)
        if (known) known.push({ index, row: rows[at] })
        else ofSlice.set(question.key, [{ index, row: rows[at] }])
      })
    }
    const shared = new Set(answered.filter(hasSeveralCalls).map(({ question }) => question.key))
    let told = 0
    for (const [slice, byQuestion] of found) {
      const { call } = slice
      if (told === ANSWERS_PER_TURN && !call.closed) {
        await nextTurn()
        told = 0
      }
      this.#left(slice)
      if (call.closed) continue
      try {
        for (const [place, { key, own }] of call.questions.entries()) {
          const rows = byQuestion.get(key)!
          const kept = shared.has(key) ? own?.(rows.map(({ row }) => row)) : undefined
          rows.forEach(({ index, row }, at) => {
            call.rows[place][index] = kept ? kept[at] : row
          })
        }
      } catch (error) {
        this.#fail(call, error)
        continue
      }
      call.missing -= slice.indices.length
      if (call.missing > 0) continue
      call.closed = true
      told++
      call.settle.resolve(call.rows)
    }
  }

  /** A slice is no longer in a running batch. */
  #left({ call: { lease } }: Slice): void {
    const others = this.#running.get(lease)! - 1
    if (others > 0) this.#running.set(lease, others)
    else this.#running.delete(lease)
  }

  #fail(call: WaitingCall, error: unknown): void {
    if (call.closed) return
    this.cancel(call)
    call.settle.reject(error)
  }

  #count(tokens: number, { answered }: ComputedBatch, begun: number): void {
    const end = performance.now()
    const speed = this.#speed
    speed.tokens = SPEED_MEMORY * speed.tokens + tokens
    speed.ms = SPEED_MEMORY * speed.ms + (end - Math.max(begun, speed.lastEnd))
    speed.lastEnd = end
    this.#batches++
    if (answered.length > 1) this.#mixedBatches++
    this.#tokens += tokens
  }

  #giveBack(tokens: number, { bulk }: Flow): void {
    this.#heldTokens -= tokens
    if (bulk) this.#bulkTokens -= tokens
  }

  /**
   * Half of the queue is for calls that would be refused. Where those fill it, a bulk load goes on all the same: with a batch, or with as
   * much as comes at once.
   */
  #hasBulkRoom(tokens: number): boolean {
    const half = this.#options.maxQueueTokens / 2
    const bulk = this.#bulkTokens + tokens
    return (
      this.#bulkTokens === 0 ||
      this.#heldTokens + tokens <= half ||
      bulk <= Math.min(half, this.#options.maxBatchTokens)
    )
  }

  #wake(): void {
    for (let first = this.#waiters[0]; first; first = this.#waiters[0]) {
      const { tokens, flow, wanted, tell } = first
      const isWanted = wanted()
      if (isWanted && !this.#hasBulkRoom(tokens)) return
      if (isWanted) this.take(tokens, flow)
      this.#waiters.shift()
      tell(isWanted)
    }
  }
}

/** A bulk caller that waits for room. */
interface Waiter {
  tokens: number
  flow: Flow
  /** False when the call has ended while it waited. */
  wanted(): boolean
  tell(taken: boolean): void
}

interface ComputedBatch {
  slices: readonly Slice[]
  answered: readonly Answered[]
}

/** What the model said to a question of some calls. */
interface Answered {
  question: Question<unknown>
  places: readonly Place[]
  /** One a place. */
  rows: readonly unknown[]
}

interface Place {
  slice: Slice
  /** Place in the call's list. */
  index: number
}

interface FoundRow {
  /** Place in the call's list. */
  index: number
  row: unknown
}

/** Not callers: the texts of a stream are calls of their own, whose rows may be handed over one by one. The blocks of a list are one call. */
function hasSeveralCalls({ places }: Answered): boolean {
  return places.some(({ slice }) => slice.call.lease !== places[0].slice.call.lease)
}

/** One packed batch, longest sequence first, and every question of its calls. */
async function compute({ slot, slices }: QueuedBatch): Promise<ComputedBatch> {
  const places = slices.flatMap((slice) => slice.indices.map((index): Place => ({ slice, index })))
  const sequenceAt = ({ slice, index }: Place): Sequence => slice.call.sequences[index]
  if (slices.length > 1) places.sort((a, b) => sequenceAt(b).tokenIds.length - sequenceAt(a).tokenIds.length)
  const asked = new Map<string, { question: Question<unknown>; places: number[] }>()
  places.forEach(({ slice }, place) => {
    for (const question of slice.call.questions) {
      const known = asked.get(question.key)
      if (!known) asked.set(question.key, { question, places: [place] })
      else if (known.places.at(-1) !== place) known.places.push(place)
    }
  })
  const questions = [...asked.values()]
  const rows = await answerQuestions(slot.parts.model, places.map(sequenceAt), questions)
  const answered = questions.map(({ question, places: own }, at) => ({
    question,
    places: own.map((place) => places[place]),
    rows: rows[at],
  }))
  return { slices, answered }
}
