/**
 * Which waiting calls the next batch computes: weighted fair queueing (Demers, Keshav & Shenker 1989) with the self-clocked virtual
 * time of Golestani 1994, in tokens. A slice of a call is due at the virtual time at which it would end if all callers
 * were served side by side, token by token; the slice due first goes first. So a short call overtakes the backlog of a bulk
 * load, a bulk load goes on beside any number of short ones, and no call is overtaken for ever.
 */
import { Heap } from './heap.js'
import type { ModelSlot } from './model-slot.js'
import type { Flow, Slice, WaitingCall } from './waiting-call.js'

export interface BatchLimits {
  /** Most tokens of a batch; a longer sequence gets one of its own. */
  maxBatchTokens: number
  /** Tokens that a caller may be held up by much longer slices of others in its batch. */
  patienceTokens: number
}

/** Slices of one lane. */
export interface QueuedBatch {
  slot: ModelSlot
  slices: Slice[]
  tokens: number
}

/** A slice that is more times longer than the shortest caller's of its batch counts as long beside it. */
const LONG_RATIO = 4
/** A batch of a bulk caller is made of this many slices. */
const SLICES_PER_BATCH = 4
/** For so many batches after a call came beside a bulk caller's, the latter's own are one slice long: the next call waits less. */
const WARY_BATCHES = 16
/** Closed calls that a heap may hold before it is swept. */
const SWEEP_AT = 64

/** Calls that can share a batch. */
interface Lane {
  name: string
  calls: Heap<WaitingCall>
  /** How many of them were closed while they waited. */
  closed: number
}

export class FairQueue {
  readonly #lanes = new Map<string, Lane>()
  readonly #sliceTokens: number
  #virtualTime = 0
  #wary = 0

  constructor(maxBatchTokens: number) {
    this.#sliceTokens = Math.max(1, Math.ceil(maxBatchTokens / SLICES_PER_BATCH))
  }

  add(call: WaitingCall): void {
    for (const lane of this.#lanes.values()) {
      const waiting = this.#head(lane)
      if (waiting && waiting.flow !== call.flow) this.#wary = WARY_BATCHES
    }
    call.tag = this.#due(call)
    this.#push(call)
  }

  /** To be told of a call that was closed while it waited. */
  closed(call: WaitingCall): void {
    const lane = this.#lanes.get(laneOf(call))
    if (!lane) return
    lane.closed++
    if (lane.closed < SWEEP_AT || 2 * lane.closed < lane.calls.size) return
    lane.calls.filter(({ waits }) => waits)
    lane.closed = 0
    if (lane.calls.size === 0) this.#lanes.delete(lane.name)
  }

  /** Hands calls that have not begun over to another model, which must answer them alike. */
  move(from: ModelSlot, to: ModelSlot): void {
    const moved: WaitingCall[] = []
    for (const lane of [...this.#lanes.values()]) {
      moved.push(...lane.calls.filter(({ lease, waits }) => !waits || lease.slot !== from || lease.started))
      if (lane.calls.size === 0) this.#lanes.delete(lane.name)
    }
    for (const { lease } of moved) if (lease.slot === from) lease.move(to)
    for (const call of moved) this.#push(call)
  }

  /** Takes out the next batch: slices of one lane in the order in which they are due. */
  take({ maxBatchTokens, patienceTokens }: BatchLimits): QueuedBatch | undefined {
    const lane = this.#dueLane()
    if (!lane) return undefined
    const batch: QueuedBatch = { slot: this.#head(lane)!.lease.slot, slices: [], tokens: 0 }
    /** Tokens of each caller in the batch. */
    const shares = new Map<Flow, number>()
    let shortest = Number.POSITIVE_INFINITY
    let longTokens = 0
    for (let call = this.#head(lane); call && batch.tokens < maxBatchTokens; call = this.#head(lane)) {
      const room = maxBatchTokens - batch.tokens
      const limit = Math.min(this.#sliceTokens, room)
      const tokens = call.sliceTokens(limit)
      const share = (shares.get(call.flow) ?? 0) + tokens
      if (batch.slices.length > 0) {
        if (tokens > room) break
        const alone = shares.size === 1 && shares.has(call.flow)
        if (alone && this.#wary > 0 && share > this.#sliceTokens) break
        if (!alone && share > LONG_RATIO * shortest) longTokens += tokens
        if (longTokens > patienceTokens) break
      }
      lane.calls.pop()
      this.#virtualTime = Math.max(this.#virtualTime, call.tag)
      batch.slices.push(call.take(limit))
      batch.tokens += tokens
      shares.set(call.flow, share)
      shortest = Math.min(shortest, share)
      if (!call.waits) continue
      call.tag = this.#due(call)
      lane.calls.push(call)
    }
    if (!this.#head(lane)) this.#lanes.delete(lane.name)
    this.#wary = Math.max(0, this.#wary - 1)
    return batch
  }

  /** The lane whose first slice is due first. */
  #dueLane(): Lane | undefined {
    let due: Lane | undefined
    let tag = Number.POSITIVE_INFINITY
    for (const lane of this.#lanes.values()) {
      const call = this.#head(lane)
      if (!call) this.#lanes.delete(lane.name)
      else if (call.tag < tag) [due, tag] = [lane, call.tag]
    }
    return due
  }

  /** The waiting call of a lane that is due first; closed ones are dropped. */
  #head(lane: Lane): WaitingCall | undefined {
    for (;;) {
      const call = lane.calls.peek()
      if (!call || call.waits) return call
      lane.calls.pop()
      lane.closed = Math.max(0, lane.closed - 1)
    }
  }

  /** When the call's next slice ends in virtual time; the slices of a flow follow each other. */
  #due(call: WaitingCall): number {
    call.flow.tag = Math.max(this.#virtualTime, call.flow.tag) + call.sliceTokens(this.#sliceTokens)
    return call.flow.tag
  }

  #push(call: WaitingCall): void {
    const name = laneOf(call)
    let lane = this.#lanes.get(name)
    if (!lane) {
      lane = { name, calls: new Heap((a, b) => a.tag < b.tag || (a.tag === b.tag && a.number < b.number)), closed: 0 }
      this.#lanes.set(name, lane)
    }
    lane.calls.push(call)
  }
}

/** Whatever is asked: one pass through the same layers of a model and the same adapter answers it. */
function laneOf({ lease, questions }: WaitingCall): string {
  const depth = Math.max(...questions.map((question) => question.depth))
  return `${lease.slot.id} ${depth} ${questions[0].adapter ?? ''}`
}
