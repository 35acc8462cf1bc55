/**
 * WC: which of the target words stands in the sentence? Conneau et al. 2018: 1,000 lower-cased words of at least four letters from rank
 * 2,001 on; a sentence holds exactly one target, once. Ours, for less text: at least 20 training sentences a word (so 1,000 words ask for
 * 20,000), the ranks begin earlier and the words become fewer until each fills its class; what was taken stands in the notes.
 */
import { type ProbeBuilder, type ProbeContext, tooLittle } from './builder.js'
import { Draws } from './draws.js'
import type { ProbeSentence } from './sentence.js'
import { SentencePools } from './sentence-pools.js'
import type { ProbeSizes } from './sizes.js'
import type { ProbeSet } from './types.js'

const MOST_WORDS = 1000
const TRAINING_SENTENCES = 20
const FIRST_RANKS = [2000, 1000, 500, 250, 125, 60, 30, 0]
const TARGET = /^\p{Ll}{4,}$/u
/** Texts may occur twice, and the estimate is one. */
const MARGIN = 1.2
/** Words beside the target in a sentence of middle length. */
const OTHER_WORDS = 16
/** More words than needed, for those that do not fill. */
const SPARE_WORDS = 1.1

export class WordContent implements ProbeBuilder {
  readonly #context: ProbeContext
  readonly #draws: Draws
  /** Sentences in which the word stands exactly once. */
  readonly #sentences = new Map<string, number>()
  #labels = new Map<string, number>()
  #pools: SentencePools | undefined
  #firstRank = 0
  #wanted = 0
  #perClass: ProbeSizes = { train: 1, dev: 1, test: 1 }

  constructor(context: ProbeContext) {
    this.#context = context
    this.#draws = new Draws(context.seed, 'WC')
  }

  count({ lower }: ProbeSentence): void {
    for (const word of lower) {
      if (!TARGET.test(word) || lower.indexOf(word) !== lower.lastIndexOf(word)) continue
      this.#sentences.set(word, (this.#sentences.get(word) ?? 0) + 1)
    }
  }

  settle(): void {
    const { sizes, counts, source } = this.#context
    this.#wanted = Math.max(2, Math.min(MOST_WORDS, Math.floor(sizes.train / TRAINING_SENTENCES)))
    const each = (size: number): number => Math.max(1, Math.floor(size / this.#wanted))
    this.#perClass = { train: each(sizes.train), dev: each(sizes.dev), test: each(sizes.test) }
    const needed = this.#perClass.train + this.#perClass.dev + this.#perClass.test
    const ranks = counts.byRank()
    const words = this.#choose(ranks, needed)
    if (words.length < 2) {
      throw tooLittle('WC', source, `no two words of four letters or more stand in ${needed} sentences each`)
    }
    this.#labels = new Map(words.map((word, label) => [word, label]))
    this.#pools = new SentencePools({
      task: 'WC',
      draws: this.#draws,
      sizes,
      perClass: this.#perClass,
      classes: words,
      source,
    })
  }

  /** The largest number of words, at the highest ranks, that each have enough sentences. */
  #choose(ranks: readonly string[], needed: number): string[] {
    const { counts } = this.#context
    for (let wanted = this.#wanted; wanted >= 2; wanted = Math.floor(wanted * 0.8)) {
      for (const first of FIRST_RANKS) {
        const words: string[] = []
        for (let rank = first; rank < ranks.length && words.length < Math.ceil(wanted * SPARE_WORDS); rank++) {
          if (TARGET.test(ranks[rank])) words.push(ranks[rank])
        }
        // A sentence is lost when another target stands in it.
        const share = words.reduce((sum, word) => sum + counts.count(word), 0) / counts.total
        const alone = (1 - share) ** OTHER_WORDS
        const enough = (word: string): boolean => (this.#sentences.get(word) ?? 0) * alone >= MARGIN * needed
        if (words.length < wanted || !words.every(enough)) continue
        this.#firstRank = first + 1
        return words
      }
    }
    return []
  }

  offer({ lower, hash, key, text }: ProbeSentence): void {
    let label: number | undefined
    for (const word of lower) {
      const found = this.#labels.get(word)
      if (found === undefined) continue
      if (label !== undefined) return
      label = found
    }
    if (label !== undefined) this.#pools!.offer(label, this.#draws.of(hash).priority, key, text)
  }

  finish(): ProbeSet {
    const { train, dev, test } = this.#perClass
    const pools = this.#pools!
    const all = [...this.#labels.values()]
    const filled = (share: number): number[] =>
      all.filter((label) => pools.sizeOf(label) >= share * (train + dev + test)).slice(0, this.#wanted)
    let kept = filled(1)
    if (kept.length < all.length / (2 * SPARE_WORDS)) kept = filled(0.5)
    if (kept.length < 2) throw tooLittle('WC', this.#context.source, 'fewer than two words fill their class')
    const finished = pools.finish(kept)
    // Fewer words would each ask for more training sentences, which the text may not have.
    const { sizes } = this.#context
    const exceeded = (['dev', 'test'] as const).filter((split) => kept.length * this.#perClass[split] > sizes[split])
    const notes = [
      `${kept.length} target words from rank ${this.#firstRank.toLocaleString('en-US')} of the vocabulary on, ${train} training sentences each` +
        (kept.length < MOST_WORDS ? `; SentEval has 1,000 from rank 2,001 on with 100 each` : ''),
      ...exceeded.map(
        (split) =>
          `${kept.length} ${split} examples, one of each word: more than the ${sizes[split]} that were asked for`,
      ),
      ...finished.notes,
    ]
    return { name: 'WC', kind: 'sentence', source: this.#context.source, ...finished, notes }
  }
}
