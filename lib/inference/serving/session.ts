import { StrataError } from '../../errors.js'
import type { EncodedText, EncodeInput, EncodeOptions } from '../../text/index.js'
import type { LoadedParts, Session } from '../loaded-parts.js'
import { charactersOf, encodeTexts, estimateTokens } from './encode-texts.js'
import type { MicroBatcher } from './micro-batcher.js'
import type { Lease } from './model-slot.js'
import type { QuestionsOf, RowsOf, Sequence } from './question.js'
import type { Flow, WaitingCall } from './waiting-call.js'

/** Most of a call that is tokenised and queued together; more comes block by block, two of them at a time. */
const BLOCK_TEXTS = 1024
const BLOCK_CHARACTERS = 1 << 18
/** Of the queue, that a block after the first fills at most: two of them fit into what bulk callers may have. */
const BLOCK_QUEUE_SHARE = 1 / 4

/** One call, or one block of a long one: its way through admission, tokenizer and queue. */
export class CallSession implements Session {
  readonly parts: LoadedParts
  readonly #blocks = new Set<CallSession>()
  readonly #calls = new Set<WaitingCall>()
  #reserved = 0
  /** Of a patient one: its first tokens have room. */
  #admitted?: Promise<boolean>
  #closed = false

  constructor(
    readonly batcher: MicroBatcher,
    readonly lease: Lease,
    readonly flow: Flow,
    /** Waits for room in the queue where others are refused. */
    readonly patient: boolean,
    /** Told when its first tokens have room. */
    readonly onAdmitted?: () => void,
  ) {
    this.parts = lease.slot.parts
  }

  async announce(tokens: number): Promise<void> {
    const { batcher, flow } = this
    if (!this.patient) batcher.reserve(tokens, flow, this.#reserved)
    else if (!this.#admitted) {
      this.#admitted = batcher.reserveWhenFree(tokens, flow, () => !this.#closed)
      if (!(await this.#admitted)) return
    } else {
      // Admitted once, it takes what else it needs: it would wait for room that it holds itself.
      if (!(await this.#admitted)) return
      batcher.take(tokens, flow)
    }
    if (this.#closed) return batcher.release(tokens, flow)
    this.#reserved += tokens
    this.onAdmitted?.()
  }

  async encode(inputs: readonly EncodeInput[], options: EncodeOptions = {}): Promise<EncodedText[]> {
    if (inputs.length === 0) return []
    await this.announce(estimateTokens(inputs.map(charactersOf), options.maxTokens))
    if (this.#closed) throw endedError()
    return encodeTexts(this.parts.tokenizer, inputs, options)
  }

  compute<Rows extends unknown[]>(questions: QuestionsOf<Rows>, sequences: readonly Sequence[]): Promise<RowsOf<Rows>> {
    if (this.#closed) throw endedError()
    const reserved = this.#reserved
    this.#reserved = 0
    const { lease, flow } = this
    try {
      const place = { lease, flow, onQueued: (call: WaitingCall) => this.#calls.add(call) }
      return this.batcher.compute(questions, sequences, place) as Promise<RowsOf<Rows>>
    } finally {
      this.batcher.release(reserved, flow)
    }
  }

  async inBlocks<Input, Output>(
    inputs: readonly Input[],
    charactersOf: (input: Input) => number,
    run: (session: Session, block: readonly Input[], first: number) => Promise<Output>,
  ): Promise<Output[]> {
    const borders = blockBorders(inputs, charactersOf, BLOCK_QUEUE_SHARE * this.batcher.maxQueueTokens)
    if (borders.length <= 2) return [await run(this, inputs, 0)]
    const flow: Flow = this.flow.bulk ? this.flow : { tag: this.flow.tag, bulk: true }
    const results = new Array<Output>(borders.length - 1)
    let next = 0
    let admit = (): void => {}
    const admitted = new Promise<void>((resolve) => {
      admit = resolve
    })
    const work = async (): Promise<void> => {
      while (next < results.length && !this.#closed) {
        const block = next++
        const [first, end] = [borders[block], borders[block + 1]]
        // The first block is admitted or refused as the call; the others wait for room.
        const session = new CallSession(this.batcher, this.lease, flow, this.patient || block > 0, admit)
        this.#blocks.add(session)
        try {
          results[block] = await run(session, inputs.slice(first, end), first)
        } finally {
          this.#blocks.delete(session)
          session.close()
        }
      }
    }
    // The second follows when the first block has been admitted: of a call that is refused nothing is tokenised.
    const first = work()
    await Promise.all([first, Promise.race([admitted, first]).then(work)])
    return results
  }

  /** Ends the call: what waits of it leaves the queue. */
  close(): void {
    this.#closed = true
    this.batcher.release(this.#reserved, this.flow)
    this.#reserved = 0
    for (const call of this.#calls) this.batcher.cancel(call)
    for (const block of this.#blocks) block.close()
  }
}

function endedError(): StrataError {
  return new StrataError('ABORTED', 'the call has ended')
}

/**
 * Where blocks begin, and the end; one block when all fits into it. The first is admitted or refused as the call, so it is as large as a call
 * of one block may be; `laterTokens`: about what the others may have.
 */
function blockBorders<Input>(
  inputs: readonly Input[],
  charactersOf: (input: Input) => number,
  laterTokens: number,
): number[] {
  const borders = [0]
  let characters = 0
  let tokens = 0
  inputs.forEach((input, index) => {
    const length = charactersOf(input)
    const ownTokens = estimateTokens([length])
    const count = index - borders[borders.length - 1]
    const full =
      count >= BLOCK_TEXTS ||
      characters + length > BLOCK_CHARACTERS ||
      (borders.length > 1 && tokens + ownTokens > laterTokens)
    if (full && count > 0) {
      borders.push(index)
      characters = 0
      tokens = 0
    }
    characters += length
    tokens += ownTokens
  })
  borders.push(inputs.length)
  return borders
}
