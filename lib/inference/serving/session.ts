import { StrataError } from '../../errors.js'
import type { EncodedText, EncodeInput, EncodeOptions } from '../../text/index.js'
import type { LoadedParts, Session } from '../loaded-parts.js'
import { charactersOf, encodeTexts, estimateTokens } from './encode-texts.js'
import type { MicroBatcher } from './micro-batcher.js'
import type { Lease } from './model-slot.js'
import type { QuestionsOf, RowsOf, Sequence } from './question.js'
import type { Flow, WaitingCall } from './waiting-call.js'

/** Longest texts of a call that are tokenised and queued together; more come block by block, two of them at a time. */
const BLOCK_TEXTS = 1024
const BLOCK_CHARACTERS = 1 << 18

/** One call, or one block of a long one: its way through admission, tokenizer and queue. */
export class CallSession implements Session {
  readonly parts: LoadedParts
  readonly #blocks = new Set<CallSession>()
  readonly #calls = new Set<WaitingCall>()
  #reserved = 0
  /** Of a patient one: its first tokens have room. */
  #admitted?: Promise<void>
  #closed = false

  constructor(
    readonly batcher: MicroBatcher,
    readonly lease: Lease,
    readonly flow: Flow,
    /** Waits for room in the queue where others are refused. */
    readonly patient: boolean,
  ) {
    this.parts = lease.slot.parts
  }

  async announce(tokens: number): Promise<void> {
    if (!this.patient) this.batcher.reserve(tokens, this.#reserved)
    else if (!this.#admitted) {
      this.#admitted = this.batcher.reserveWhenFree(tokens)
      await this.#admitted
    } else {
      // Admitted once, it takes what else it needs: it would wait for room that it holds itself.
      await this.#admitted
      this.batcher.take(tokens)
    }
    if (this.#closed) this.batcher.release(tokens)
    else this.#reserved += tokens
  }

  async encode(inputs: readonly EncodeInput[], options: EncodeOptions = {}): Promise<EncodedText[]> {
    if (inputs.length === 0) return []
    await this.announce(estimateTokens(inputs.map(charactersOf), options.maxTokens))
    return encodeTexts(this.parts.tokenizer, inputs, options)
  }

  compute<Rows extends unknown[]>(questions: QuestionsOf<Rows>, sequences: readonly Sequence[]): Promise<RowsOf<Rows>> {
    if (this.#closed) throw new StrataError('ABORTED', 'the call has ended')
    const reserved = this.#reserved
    this.#reserved = 0
    const { lease, flow } = this
    try {
      const place = { lease, flow, onQueued: (call: WaitingCall) => this.#calls.add(call) }
      return this.batcher.compute(questions, sequences, place) as Promise<RowsOf<Rows>>
    } finally {
      this.batcher.release(reserved)
    }
  }

  async inBlocks<Input, Output>(
    inputs: readonly Input[],
    charactersOf: (input: Input) => number,
    run: (session: Session, block: readonly Input[], first: number) => Promise<Output>,
  ): Promise<Output[]> {
    const borders = blockBorders(inputs, charactersOf)
    if (borders.length <= 2) return [await run(this, inputs, 0)]
    const results = new Array<Output>(borders.length - 1)
    let next = 0
    const work = async (): Promise<void> => {
      while (next < results.length && !this.#closed) {
        const block = next++
        const [first, end] = [borders[block], borders[block + 1]]
        // The first block is admitted or refused as the call; the others wait for room.
        const session = new CallSession(this.batcher, this.lease, this.flow, this.patient || block > 0)
        this.#blocks.add(session)
        try {
          results[block] = await run(session, inputs.slice(first, end), first)
        } finally {
          this.#blocks.delete(session)
          session.close()
        }
      }
    }
    // The second follows when the first block has been admitted.
    await Promise.all([work(), Promise.resolve().then(work)])
    return results
  }

  /** Ends the call: what waits of it leaves the queue. */
  close(): void {
    this.#closed = true
    this.batcher.release(this.#reserved)
    this.#reserved = 0
    for (const call of this.#calls) this.batcher.cancel(call)
    for (const block of this.#blocks) block.close()
  }
}

/** Where blocks begin, and the end; one block when all fits into it. */
function blockBorders<Input>(inputs: readonly Input[], charactersOf: (input: Input) => number): number[] {
  const borders = [0]
  let characters = 0
  inputs.forEach((input, index) => {
    const length = charactersOf(input)
    const full = index - borders[borders.length - 1] >= BLOCK_TEXTS || characters + length > BLOCK_CHARACTERS
    if (full && index > borders[borders.length - 1]) {
      borders.push(index)
      characters = 0
    }
    characters += length
  })
  borders.push(inputs.length)
  return borders
}
