import { createHash } from 'node:crypto'

/** A set of texts by 64 bits of their SHA-256, some 11 to 22 bytes each: among 25 million texts two that differ share them with a chance of 2 in 100,000. */
export class TextSet {
  #table = new Uint32Array(2 * 1024)
  #count = 0

  /** Adds a text; false when it was there. */
  add(text: string): boolean {
    const digest = createHash('sha256').update(text).digest()
    // A first half of 0 stands for an empty place.
    const low = digest.readUInt32LE(0) || 1
    const high = digest.readUInt32LE(4)
    if (8 * (this.#count + 1) > 3 * this.#table.length) this.#grow()
    const isNew = place(this.#table, low, high)
    if (isNew) this.#count++
    return isNew
  }

  #grow(): void {
    const larger = new Uint32Array(2 * this.#table.length)
    for (let i = 0; i < this.#table.length; i += 2) {
      if (this.#table[i] !== 0) place(larger, this.#table[i], this.#table[i + 1])
    }
    this.#table = larger
  }
}

/** Linear probing; false when the pair is there. */
function place(table: Uint32Array, low: number, high: number): boolean {
  const places = table.length / 2
  for (let i = high % places; ; i = (i + 1) % places) {
    if (table[2 * i] === 0) {
      table[2 * i] = low
      table[2 * i + 1] = high
      return true
    }
    if (table[2 * i] === low && table[2 * i + 1] === high) return false
  }
}
