/** Remembers what a stream has asked until its answers, which come in the same order, are there. */
export class Asked<Input> {
  readonly #source: AsyncIterable<Input> | Iterable<Input>
  readonly #waiting: Input[] = []

  constructor(source: AsyncIterable<Input> | Iterable<Input>) {
    this.#source = source
  }

  /** The inputs, for the call that answers them. */
  async *all(): AsyncGenerator<Input> {
    for await (const input of this.#source) {
      this.#waiting.push(input)
      yield input
    }
  }

  /** The input of the next answer. */
  next(): Input {
    return this.#waiting.shift() as Input
  }
}
