/** Random draws of a probing task: each is a function of seed, task and sentence alone, whatever the order of the text. */
import { philox4x32, type RandomStream, stream } from '../../data/random.js'
import type { TextHash } from './sentence.js'
import { PROBE_SPLITS, type ProbeSplit } from './types.js'

const TWO_32 = 2 ** 32

export class Draws {
  readonly #seed: number
  readonly #task: string
  readonly #key: Uint32Array

  constructor(seed: number, task: string) {
    this.#seed = seed
    this.#task = task
    const key = stream(seed, 'probing', task)
    this.#key = Uint32Array.of(key.uint32(), key.uint32())
  }

  /**
   * What is drawn for a sentence, or for place `place` in it. `priority` is uniform over 53 bits: the sentences of the lowest priority
   * are a random choice; `first` and `second` are uniform in [0, 1).
   */
  of([low, high]: TextHash, place = 0): { priority: number; first: number; second: number } {
    const words = philox4x32(Uint32Array.of(low, high, place, 0), this.#key)
    return {
      priority: words[0] * 2097152 + (words[1] >>> 11),
      first: words[2] / TWO_32,
      second: words[3] / TWO_32,
    }
  }

  /** For choices that need more numbers. */
  stream(...keys: (number | string)[]): RandomStream {
    return stream(this.#seed, 'probing', this.#task, ...keys)
  }
}

/** The split that a number from [0, 1) falls into, by the splits' shares. */
export function splitAt(draw: number, sizes: Readonly<Record<ProbeSplit, number>>): ProbeSplit {
  const total = sizes.train + sizes.dev + sizes.test
  let from = 0
  for (const split of PROBE_SPLITS) {
    from += sizes[split] / total
    if (draw < from) return split
  }
  return 'train'
}
