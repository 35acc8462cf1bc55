/** What the first pass over a text learns about its words. */
import type { ProbeSentence } from './sentence.js'

/** Counters a row of the bigram sketch; two rows of 32 bits are 32 MiB. */
const SKETCH = 1 << 22

/**
 * Frequencies of lower-cased words and of bigrams. Memory grows with the vocabulary; bigrams are counted in a sketch of fixed size
 * (count-min, Cormode & Muthukrishnan 2005): a count may be too high where two bigrams share both counters, never too low.
 */
export class WordCounts {
  readonly #ids = new Map<string, number>()
  readonly #counts: number[] = []
  /** How often the word stood inside a sentence with a capital. */
  readonly #capitals: number[] = []
  /** Words altogether. */
  total = 0
  readonly #rows: readonly [Uint32Array, Uint32Array] | undefined

  constructor(options: { bigrams?: boolean } = {}) {
    if (options.bigrams) this.#rows = [new Uint32Array(SKETCH), new Uint32Array(SKETCH)]
  }

  add(sentence: ProbeSentence): void {
    let before = -1
    this.total += sentence.lower.length
    sentence.lower.forEach((word, place) => {
      let id = this.#ids.get(word)
      if (id === undefined) {
        id = this.#counts.length
        this.#ids.set(word, id)
        this.#counts.push(0)
        this.#capitals.push(0)
      }
      this.#counts[id]++
      if (place > 0 && sentence.words[place] !== word) this.#capitals[id]++
      if (this.#rows && before >= 0) {
        const [first, second] = places(before, id)
        this.#rows[0][first]++
        this.#rows[1][second]++
      }
      before = id
    })
  }

  /** How often the lower-cased word occurs. */
  count(word: string): number {
    const id = this.#ids.get(word)
    return id === undefined ? 0 : this.#counts[id]
  }

  /** Is the word mostly written with a capital, where it does not begin the sentence? */
  isName(word: string): boolean {
    const id = this.#ids.get(word)
    return id !== undefined && 2 * this.#capitals[id] > this.#counts[id]
  }

  /** The word's number for {@link bigram}; -1 for a word that was not seen. */
  id(word: string): number {
    return this.#ids.get(word) ?? -1
  }

  /** How often the second word follows the first. */
  bigram(first: number, second: number): number {
    if (!this.#rows || first < 0 || second < 0) return 0
    const [left, right] = places(first, second)
    return Math.min(this.#rows[0][left], this.#rows[1][right])
  }

  /** The vocabulary from the most frequent word on; ties in the order of the alphabet. */
  byRank(): string[] {
    return [...this.#ids.keys()].sort((left, right) => this.count(right) - this.count(left) || (left < right ? -1 : 1))
  }
}

function places(first: number, second: number): [number, number] {
  let left = Math.imul(first + 1, 0x9e3779b1) ^ Math.imul(second + 1, 0x85ebca6b)
  left = Math.imul(left ^ (left >>> 15), 0x2c1b3c6d)
  let right = Math.imul(first + 1, 0xc2b2ae35) ^ Math.imul(second + 1, 0x27d4eb2f)
  right = Math.imul(right ^ (right >>> 13), 0x297a2d39)
  return [(left ^ (left >>> 16)) & (SKETCH - 1), (right ^ (right >>> 15)) & (SKETCH - 1)]
}
