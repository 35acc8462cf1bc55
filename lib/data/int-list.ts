/** A growing list of 32-bit integers in one typed array: the memory of plans and labels stays countable. */
export class IntList {
  #values: Int32Array
  length = 0

  constructor(capacity = 64) {
    this.#values = new Int32Array(capacity)
  }

  push(value: number): void {
    if (this.length === this.#values.length) {
      const larger = new Int32Array(Math.max(64, 2 * this.#values.length))
      larger.set(this.#values)
      this.#values = larger
    }
    this.#values[this.length++] = value
  }

  at(index: number): number {
    return this.#values[index]
  }

  set(index: number, value: number): void {
    this.#values[index] = value
  }

  clear(): void {
    this.length = 0
  }

  /** The values without a copy; valid until the next push. */
  view(): Int32Array {
    return this.#values.subarray(0, this.length)
  }

  /** A copy of the values in a buffer of its own. */
  toArray(): Int32Array {
    return this.#values.slice(0, this.length)
  }
}
