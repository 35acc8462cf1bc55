/** SentLen: how many words has the sentence? Six bins (Conneau et al. 2018, arXiv 1805.01070; the ranges of SentEval's files). */
import type { ProbeBuilder, ProbeContext } from './builder.js'
import { Draws } from './draws.js'
import type { ProbeSentence } from './sentence.js'
import { SentencePools } from './sentence-pools.js'
import type { ProbeSet } from './types.js'

/** Longest length of each bin; the first begins at {@link SHORTEST_SENTENCE}. */
const BIN_ENDS = [8, 12, 16, 20, 25, 28]
/** SentEval's corpus holds sentences of 5 to 28 words; so do all sentences taken here. */
export const SHORTEST_SENTENCE = 5
export const LONGEST_SENTENCE = 28

export class SentenceLength implements ProbeBuilder {
  readonly #draws: Draws
  readonly #pools: SentencePools
  readonly #source: string

  constructor({ seed, sizes, source }: ProbeContext) {
    this.#draws = new Draws(seed, 'SentLen')
    this.#source = source
    const classes = BIN_ENDS.map((end, bin) => `${bin === 0 ? SHORTEST_SENTENCE : BIN_ENDS[bin - 1] + 1}-${end}`)
    this.#pools = new SentencePools({ task: 'SentLen', draws: this.#draws, sizes, classes, source })
  }

  offer({ words, hash, key, text }: ProbeSentence): void {
    const label = BIN_ENDS.findIndex((end) => words.length <= end)
    this.#pools.offer(label, this.#draws.of(hash).priority, key, text)
  }

  finish(): ProbeSet {
    return { name: 'SentLen', kind: 'sentence', source: this.#source, ...this.#pools.finish() }
  }
}
