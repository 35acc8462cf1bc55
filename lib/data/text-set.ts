import { createHash } from 'node:crypto'
import { closeSync, openSync, readSync } from 'node:fs'

/** Numbers of a stored set that are read at once; even. */
const FILE_BLOCK = 64 * 1024

/** A set of texts by 64 bits of their SHA-256, some 11 to 22 bytes each: among 25 million texts two that differ share them with a chance of 2 in 100,000. */
export class TextSet {
  #table = new Uint32Array(2 * 1024)
  #count = 0
  #fresh: number[] = []

  /** Adds a text; false when it was there. */
  add(text: string): boolean {
    const digest = createHash('sha256').update(text).digest()
    // A first half of 0 stands for an empty place.
    const low = digest.readUInt32LE(0) || 1
    const high = digest.readUInt32LE(4)
    const isNew = this.#addBits(low, high)
    if (isNew) this.#fresh.push(low, high)
    return isNew
  }

  /** The bits of the texts that were added since the last call, two numbers each. */
  takeFresh(): Uint32Array {
    return Uint32Array.from(this.#fresh.splice(0))
  }

  /** Adds the texts whose bits a file holds, as {@link takeFresh} gave them. */
  restore(path: string): void {
    const block = new Uint32Array(FILE_BLOCK)
    const file = openSync(path, 'r')
    try {
      for (let bytes = readSync(file, block); bytes > 0; bytes = readSync(file, block)) {
        for (let i = 0; i < bytes / 4; i += 2) this.#addBits(block[i], block[i + 1])
      }
    } finally {
      closeSync(file)
    }
  }

  #addBits(low: number, high: number): boolean {
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
