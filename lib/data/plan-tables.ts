import { IntList } from './int-list.js'
import { NO_LABEL } from './packed-batch.js'

/** What a plan holds; everything that was left out or cut is counted here. */
export interface PlanStatistics {
  inputs: number
  /** Pairs with label 0: B follows A. */
  followed: number
  /** Pairs with label 1: B is from another document. */
  random: number
  /** Inputs without a next-sentence label. */
  unlabelled: number
  /** Tokens of all inputs, special tokens included. */
  tokens: number
  /** Tokens cut off by the length limit. */
  cutTokens: number
  documents: number
  /** Documents of one sentence: no next-sentence label. */
  singleSentenceDocuments: number
  /** Documents without a token: left out. */
  emptyDocuments: number
  batches: number
  /** Share of the token budget that the batches use. */
  fill: number
}

/** A plan while it grows. */
export class PlanTables {
  readonly statistics: PlanStatistics = {
    inputs: 0,
    followed: 0,
    random: 0,
    unlabelled: 0,
    tokens: 0,
    cutTokens: 0,
    documents: 0,
    singleSentenceDocuments: 0,
    emptyDocuments: 0,
    batches: 0,
    fill: 0,
  }
  readonly #aStart = new IntList()
  readonly #bStart = new IntList()
  /** A's length in the lower 16 bits, B's in the upper. */
  readonly #lengths = new IntList()
  #labels = new Int8Array(64)

  get count(): number {
    return this.#aStart.length
  }

  /** Random pairs minus following ones. */
  get surplus(): number {
    return this.statistics.random - this.statistics.followed
  }

  add(aStart: number, aLength: number, bStart: number, bLength: number, label: number): void {
    if (this.count === this.#labels.length) {
      const larger = new Int8Array(2 * this.#labels.length)
      larger.set(this.#labels)
      this.#labels = larger
    }
    this.#labels[this.count] = label
    this.#count(label, 1)
    this.#aStart.push(aStart)
    this.#bStart.push(bStart)
    this.#lengths.push(aLength | (bLength << 16))
  }

  /** Takes the label from the last few pairs of the more frequent kind, so that both kinds are equally many. */
  settleBalance(): void {
    for (let i = this.count - 1; i >= 0 && this.surplus !== 0; i--) {
      if (this.#labels[i] !== (this.surplus > 0 ? 1 : 0)) continue
      this.#count(this.#labels[i], -1)
      this.#labels[i] = NO_LABEL
      this.#count(NO_LABEL, 1)
    }
  }

  arrays(): {
    aStart: Uint32Array
    bStart: Uint32Array
    aLength: Uint16Array
    bLength: Uint16Array
    labels: Int8Array
  } {
    const count = this.count
    const aLength = new Uint16Array(count)
    const bLength = new Uint16Array(count)
    for (let i = 0; i < count; i++) {
      aLength[i] = this.#lengths.at(i) & 0xffff
      bLength[i] = this.#lengths.at(i) >>> 16
    }
    return {
      aStart: new Uint32Array(this.#aStart.view()),
      bStart: new Uint32Array(this.#bStart.view()),
      aLength,
      bLength,
      labels: this.#labels.slice(0, count),
    }
  }

  #count(label: number, difference: number): void {
    if (label === 0) this.statistics.followed += difference
    else if (label === 1) this.statistics.random += difference
    else this.statistics.unlabelled += difference
  }
}
