import type { Lease } from './model-slot.js'
import type { Question, Sequence } from './question.js'

/** Who is served: the calls of one flow (a stream's texts, a long list's blocks) count as one caller. */
export interface Flow {
  /** Virtual time at which its last slice ends. */
  tag: number
  /** A stream or a long list: what it has in the queue leaves room for others. */
  readonly bulk?: boolean
}

/** Sequences of one call in one batch. */
export interface Slice {
  call: WaitingCall
  /** Places in the call's list. */
  indices: readonly number[]
  tokens: number
}

let calls = 0

/** Sequences of one call that wait for the model, some of them perhaps computed already. */
export class WaitingCall {
  /** Calls due at the same time go in the order in which they came. */
  readonly number = ++calls
  /** One a sequence, by question. */
  readonly rows: unknown[][]
  /** Tokens that no batch has taken yet. */
  waitingTokens: number
  /** Sequences whose rows are still to come. */
  missing: number
  /** Virtual time at which the next slice ends. */
  tag = 0
  /** Answered, failed or aborted: what the queue still holds of it is skipped. */
  closed = false
  /** Longest first: neighbours in a batch are of like length. */
  readonly #order: number[]
  #next = 0

  constructor(
    /** Asked of every sequence; all through the same adapter. */
    readonly questions: readonly Question<unknown>[],
    readonly sequences: readonly Sequence[],
    /** The model that answers; a hot swap moves calls that have not begun. */
    readonly lease: Lease,
    readonly flow: Flow,
    /** Told of rows, or of what went wrong; each call is told once. */
    readonly settle: { resolve(rows: unknown[][]): void; reject(error: unknown): void },
  ) {
    this.rows = questions.map(() => new Array(sequences.length))
    this.missing = sequences.length
    this.waitingTokens = sequences.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0)
    this.#order = sequences.map((_, index) => index)
    if (sequences.length > 1)
      this.#order.sort((a, b) => sequences[b].tokenIds.length - sequences[a].tokenIds.length || a - b)
  }

  get waits(): boolean {
    return !this.closed && this.#next < this.#order.length
  }

  /** Tokens of the next slice of at most `limit` tokens; a longer sequence makes a slice of its own. */
  sliceTokens(limit: number): number {
    let tokens = 0
    for (let place = this.#next; place < this.#order.length; place++) {
      const length = this.sequences[this.#order[place]].tokenIds.length
      if (tokens > 0 && tokens + length > limit) break
      tokens += length
    }
    return tokens
  }

  /** Takes the next slice out. */
  take(limit: number): Slice {
    const first = this.#next
    let tokens = 0
    while (this.#next < this.#order.length) {
      const length = this.sequences[this.#order[this.#next]].tokenIds.length
      if (tokens > 0 && tokens + length > limit) break
      tokens += length
      this.#next++
    }
    this.lease.started = true
    this.waitingTokens -= tokens
    return { call: this, indices: this.#order.slice(first, this.#next), tokens }
  }
}
