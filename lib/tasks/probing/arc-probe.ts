/**
 * Arc, a pair probe of ours: is the second word the head of the first? Half of the pairs are arcs; each has a pair without arc beside it,
 * from the same sentence and with the same signed distance, so that neither tells the class. Punctuation and roots take no part.
 */
import { type ProbeBuilder, type ProbeContext, tooLittle } from './builder.js'
import { Draws, splitAt } from './draws.js'
import { Reservoir } from './reservoir.js'
import { type KeptSentence, keptSentence, type ProbeSentence } from './sentence.js'
import { filledShare, shrinkNote, shrunkSizes } from './sizes.js'
import { type PairProbeExample, PROBE_SPLITS, type ProbeSet, type ProbeSplit } from './types.js'

const CLASSES = ['no arc', 'arc']

interface Arc {
  sentence: KeptSentence
  dependent: number
  /** First word of the pair without arc. */
  other: number
  /** From the first word to the second, of both pairs. */
  distance: number
}

export class ArcProbe implements ProbeBuilder {
  readonly #context: ProbeContext
  readonly #draws: Draws
  readonly #pools: Record<ProbeSplit, Reservoir<Arc>>

  constructor(context: ProbeContext) {
    const { sizes } = context
    this.#context = context
    this.#draws = new Draws(context.seed, 'Arc')
    const pool = (split: ProbeSplit) => new Reservoir<Arc>(Math.ceil(sizes[split] / 2))
    this.#pools = { train: pool('train'), dev: pool('dev'), test: pool('test') }
  }

  offer(sentence: ProbeSentence): void {
    const pool = this.#pools[splitAt(this.#draws.of(sentence.hash).first, this.#context.sizes)]
    const wanted = [...sentence.words.keys()].filter((word) =>
      pool.wants(this.#draws.of(sentence.hash, word + 1).priority),
    )
    if (wanted.length === 0) return
    for (const { dependent, other, distance } of this.#matched(sentence)) {
      const { priority } = this.#draws.of(sentence.hash, dependent + 1)
      if (!pool.wants(priority)) continue
      const arc = { sentence: keptSentence(sentence), dependent, other, distance }
      pool.offer(priority, `${dependent}\t${sentence.key}`, arc)
    }
  }

  /** Each arc with a pair without arc at its distance; no pair serves twice. */
  #matched(sentence: ProbeSentence): Omit<Arc, 'sentence'>[] {
    const { heads, relations } = sentence.tree!
    const takesPart = (word: number): boolean => word >= 0 && word < heads.length && relations[word] !== 'punct'
    const byDistance = new Map<number, number[]>()
    for (let word = 0; word < heads.length; word++) {
      if (heads[word] < 0 || !takesPart(word) || !takesPart(heads[word])) continue
      const distance = heads[word] - word
      byDistance.set(distance, [...(byDistance.get(distance) ?? []), word])
    }
    const matched: Omit<Arc, 'sentence'>[] = []
    for (const [distance, dependents] of byDistance) {
      const others = [...heads.keys()].filter(
        (word) => takesPart(word) && takesPart(word + distance) && heads[word] !== word + distance,
      )
      const random = this.#draws.stream('pairs', distance, ...sentence.hash)
      random.shuffle(others)
      random.shuffle(dependents)
      for (const [index, other] of others.slice(0, dependents.length).entries()) {
        matched.push({ dependent: dependents[index], other, distance })
      }
    }
    return matched
  }

  finish(): ProbeSet {
    const { sizes, source } = this.#context
    const { train, dev, test } = this.#pools
    const available = { train: train.size, dev: dev.size, test: test.size }
    const share = filledShare([available, available], sizes)
    const counts = shrunkSizes('Arc', share, sizes, CLASSES)
    const splits: Record<ProbeSplit, PairProbeExample[]> = { train: [], dev: [], test: [] }
    const reached = { train: 0, dev: 0, test: 0 }
    for (const split of PROBE_SPLITS) {
      const bySentence = new Map<string, PairProbeExample>()
      const taken = this.#pools[split].sorted().slice(0, Math.min(...counts[split]))
      if (taken.length === 0) throw tooLittle('Arc', source, `no arc is left for ${split}`)
      reached[split] = 2 * taken.length
      for (const { value } of taken) {
        const { sentence, dependent, other, distance } = value
        const { words, spaceAfter } = sentence
        const key = words.join('\t')
        const example = bySentence.get(key) ?? { words: [...words], spaceAfter: [...spaceAfter], pairs: [] }
        bySentence.set(key, example)
        example.pairs.push({ first: dependent, second: dependent + distance, label: 1 })
        example.pairs.push({ first: other, second: other + distance, label: 0 })
      }
      splits[split] = this.#draws.stream('order', split).shuffle([...bySentence.values()])
      for (const { pairs } of splits[split])
        pairs.sort((left, right) => left.first - right.first || left.second - right.second)
    }
    const shrunk = shrinkNote(share, sizes, reached, 'arcs')
    return { name: 'Arc', kind: 'pair', classes: [...CLASSES], source, notes: shrunk ? [shrunk] : [], splits }
  }
}
