import type { LoadedParts } from '../loaded-parts.js'

let slots = 0

/** A loaded model and the calls that it owes an answer: replaced or disposed, it ends with the last of them. */
export class ModelSlot {
  readonly id = ++slots
  #calls = 0
  #retired?: { done: Promise<void>; resolve(): void }

  constructor(readonly parts: LoadedParts) {}

  enter(): void {
    this.#calls++
  }

  leave(): void {
    this.#calls--
    if (this.#calls === 0) this.#retired?.resolve()
  }

  /** No new calls come; resolves when the last one is answered and the model's memory is given back. */
  retire(): Promise<void> {
    if (!this.#retired) {
      let resolve = (): void => {}
      const idle = new Promise<void>((done) => {
        resolve = done
      })
      this.#retired = { resolve, done: idle.then(() => this.parts.model.dispose()) }
      if (this.#calls === 0) resolve()
    }
    return this.#retired.done
  }
}

/** One call's hold on a model: all that the call computes is computed by one model. */
export class Lease {
  /** Something of the call has been handed to the model. */
  started = false
  /** The call has been answered, has failed or was aborted, whatever is still being computed of it. */
  ended = false
  #slot: ModelSlot

  constructor(slot: ModelSlot) {
    this.#slot = slot
    slot.enter()
  }

  get slot(): ModelSlot {
    return this.#slot
  }

  /** To a model that answers alike, before anything is computed. */
  move(slot: ModelSlot): void {
    slot.enter()
    this.#slot.leave()
    this.#slot = slot
  }

  end(): void {
    this.ended = true
    this.#slot.leave()
  }
}
