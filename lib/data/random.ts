/**
 * Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3",
 * SC 2011). A stream is named by its keys, not by what was drawn before, so batch k is the same whoever builds it.
 */
import { StrataError } from '../errors.js'

/** A part of a stream's name: a safe integer or a text. */
export type StreamKey = number | string

const MULTIPLIER_0 = 0xd2511f53
const MULTIPLIER_1 = 0xcd9e8d57
const WEYL_0 = 0x9e3779b9
const WEYL_1 = 0xbb67ae85
const ROUNDS = 10
const TWO_32 = 2 ** 32

/** Upper 32 bits of a 32 × 32 bit product, in halves because a double holds 53 bits only. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff
  const aHigh = a >>> 16
  const bLow = b & 0xffff
  const bHigh = b >>> 16
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16)
  const cross = aLow * bHigh + (middle & 0xffff)
  return (aHigh * bHigh + Math.floor(middle / 65536) + Math.floor(cross / 65536)) | 0
}

/** One Philox4x32-10 block: counter words 0…3 and key words 0…1 to four output words, written to `output` (may be `counter`). */
function philoxInto(
  output: Uint32Array,
  c0: number,
  c1: number,
  c2: number,
  c3: number,
  key0: number,
  key1: number,
): void {
  let k0 = key0 | 0
  let k1 = key1 | 0
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0)
    const low0 = Math.imul(MULTIPLIER_0, c0)
    const high1 = multiplyHigh(MULTIPLIER_1, c2)
    const low1 = Math.imul(MULTIPLIER_1, c2)
    c0 = high1 ^ c1 ^ k0
    c1 = low1
    c2 = high0 ^ c3 ^ k1
    c3 = low0
    k0 = (k0 + WEYL_0) | 0
    k1 = (k1 + WEYL_1) | 0
  }
  output[0] = c0
  output[1] = c1
  output[2] = c2
  output[3] = c3
}

/** Philox4x32-10 itself: `counter` (4) and `key` (2) to four words. */
export function philox4x32(counter: Uint32Array, key: Uint32Array): Uint32Array {
  const output = new Uint32Array(4)
  philoxInto(output, counter[0], counter[1], counter[2], counter[3], key[0], key[1])
  return output
}

/** Chains one word pair into a stream's 128-bit name; `kind` keeps numbers, texts and lengths apart. */
function absorb(name: Uint32Array, low: number, high: number, kind: number): void {
  // The old name enters as key and as half of the counter: no part of it is lost.
  philoxInto(name, low ^ name[2], high ^ name[3], kind, 0x73747261, name[0], name[1])
}

function absorbKey(name: Uint32Array, key: StreamKey): void {
  if (typeof key === 'string') {
    absorb(name, key.length, 0, 2)
    for (let i = 0; i < key.length; i += 2) absorb(name, key.charCodeAt(i), key.charCodeAt(i + 1) | 0, 3)
    return
  }
  if (!Number.isSafeInteger(key)) {
    throw new StrataError('BAD_ARGUMENT', `random stream key ${key}: a text or an integer within ±2^53 was expected`)
  }
  absorb(name, key | 0, Math.floor(key / TWO_32) | 0, 1)
}

/** A sequence of numbers that is a pure function of the stream's keys. Made by {@link stream}. */
export class RandomStream {
  readonly #name: Uint32Array
  readonly #block = new Uint32Array(4)
  #blockIndex = 0
  #used = 4
  #spareNormal = Number.NaN

  /** @internal */
  constructor(name: Uint32Array) {
    this.#name = name
  }

  /** The stream named by this one's keys and `keys`; drawing from either leaves the other as it is. */
  child(...keys: StreamKey[]): RandomStream {
    const name = this.#name.slice()
    for (const key of keys) absorbKey(name, key)
    return new RandomStream(name)
  }

  /** The next 32 bits. */
  uint32(): number {
    if (this.#used === 4) {
      const name = this.#name
      const index = this.#blockIndex++
      philoxInto(this.#block, index | 0, Math.floor(index / TWO_32), name[2], name[3], name[0], name[1])
      this.#used = 0
    }
    return this.#block[this.#used++]
  }

  /** Uniform in [0, 1) with 53 random bits. */
  float(): number {
    const high = this.uint32() >>> 5
    const low = this.uint32() >>> 6
    return (high * 67108864 + low) / 9007199254740992
  }

  /** True with the given probability, to a resolution of 2^-32. */
  chance(probability: number): boolean {
    return this.uint32() < probability * TWO_32
  }

  /** Uniform integer in [0, n), without bias; 1 ≤ n ≤ 2^32. */
  below(n: number): number {
    if (!(Number.isInteger(n) && n >= 1 && n <= TWO_32)) {
      throw new StrataError('BAD_ARGUMENT', `below(${n}): an integer from 1 to 2^32 was expected`)
    }
    const limit = TWO_32 - (TWO_32 % n)
    let value = this.uint32()
    while (value >= limit) value = this.uint32()
    return value % n
  }

  /** Standard normal (Box and Muller 1958). */
  normal(): number {
    if (!Number.isNaN(this.#spareNormal)) {
      const spare = this.#spareNormal
      this.#spareNormal = Number.NaN
      return spare
    }
    const radius = Math.sqrt(-2 * Math.log(1 - this.float()))
    const angle = 2 * Math.PI * this.float()
    this.#spareNormal = radius * Math.sin(angle)
    return radius * Math.cos(angle)
  }

  /** Shuffles in place (Fisher and Yates) and returns the array. */
  shuffle<A extends { length: number; [index: number]: unknown }>(array: A): A {
    for (let i = array.length - 1; i > 0; i--) {
      const j = this.below(i + 1)
      const held = array[i]
      array[i] = array[j]
      array[j] = held
    }
    return array
  }
}

/**
 * The random stream that belongs to `seed` and `keys`: the same keys give the same numbers on every machine, thread and run;
 * different keys give independent ones. Throws BAD_ARGUMENT on a key that is neither a text nor a safe integer.
 */
export function stream(seed: number, ...keys: StreamKey[]): RandomStream {
  const name = new Uint32Array(4)
  absorbKey(name, seed)
  for (const key of keys) absorbKey(name, key)
  return new RandomStream(name)
}
