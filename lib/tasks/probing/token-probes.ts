/**
 * Probes of single words, ours: UPOS (part of speech), DepLabel (relation to the head, without subtype), HeadDistance (how far away and on
 * which side the head stands). Classes are balanced over the targets; a sentence may hold several and belongs to one split.
 */
import { type ProbeBuilder, type ProbeContext, tooLittle } from './builder.js'
import { droppedNote, fillableClasses } from './class-choice.js'
import { Draws, splitAt } from './draws.js'
import { Reservoir } from './reservoir.js'
import { type KeptSentence, keptSentence, type ProbeSentence } from './sentence.js'
import { filledShare, type ProbeSizes, shrinkNote, shrunkSizes, totalOf } from './sizes.js'
import { PROBE_SPLITS, type ProbeSet, type ProbeSplit, type TokenProbeExample } from './types.js'

/** The class of a word; undefined where it is no target. */
export type WordClass = (sentence: ProbeSentence, word: number) => string | undefined

/** More than an even share, in case a class falls out. */
const SPARE = 1.25

interface Target {
  sentence: KeptSentence
  word: number
}

export class TokenProbe implements ProbeBuilder {
  readonly #context: ProbeContext
  readonly #name: string
  readonly #classOf: WordClass
  readonly #order: readonly string[] | undefined
  readonly #draws: Draws
  readonly #counts = new Map<string, number>()
  #dropped: [string, number][] = []
  #labels = new Map<string, number>()
  /** By class. */
  #pools: Record<ProbeSplit, Reservoir<Target>>[] = []

  /** @param order of the classes; default: the order of the alphabet */
  constructor(context: ProbeContext, name: string, classOf: WordClass, order?: readonly string[]) {
    this.#context = context
    this.#name = name
    this.#classOf = classOf
    this.#order = order
    this.#draws = new Draws(context.seed, name)
  }

  count(sentence: ProbeSentence): void {
    for (let word = 0; word < sentence.words.length; word++) {
      const name = this.#classOf(sentence, word)
      if (name !== undefined) this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1)
    }
  }

  settle(): void {
    const { sizes, source } = this.#context
    const { kept, dropped } = fillableClasses(this.#counts, totalOf(sizes))
    if (kept.length < 2) {
      throw tooLittle(
        this.#name,
        source,
        `it has ${kept.length === 1 ? `only one class, ${kept[0]}` : 'no class'}; at least two were expected`,
      )
    }
    const order = this.#order
    kept.sort(order ? (left, right) => order.indexOf(left) - order.indexOf(right) : undefined)
    this.#dropped = dropped
    this.#labels = new Map(kept.map((name, label) => [name, label]))
    this.#pools = kept.map(() => {
      const pool = (split: ProbeSplit) => new Reservoir<Target>(Math.ceil((SPARE * sizes[split]) / kept.length))
      return { train: pool('train'), dev: pool('dev'), test: pool('test') }
    })
  }

  offer(sentence: ProbeSentence): void {
    // One split for the whole sentence, whatever its words are.
    const split = splitAt(this.#draws.of(sentence.hash).first, this.#context.sizes)
    for (let word = 0; word < sentence.words.length; word++) {
      const name = this.#classOf(sentence, word)
      const label = name === undefined ? undefined : this.#labels.get(name)
      if (label === undefined) continue
      const { priority } = this.#draws.of(sentence.hash, word + 1)
      const pool = this.#pools[label][split]
      if (!pool.wants(priority)) continue
      pool.offer(priority, `${word}\t${sentence.key}`, { sentence: keptSentence(sentence), word })
    }
  }

  finish(): ProbeSet {
    const { sizes, source } = this.#context
    this.#dropScarce()
    const classes = [...this.#labels.keys()]
    const available = this.#pools.map(sizesOf)
    const share = filledShare(available, sizes)
    const counts = shrunkSizes(this.#name, share, sizes, classes)
    const splits: Record<ProbeSplit, TokenProbeExample[]> = { train: [], dev: [], test: [] }
    const reached = { train: 0, dev: 0, test: 0 }
    for (const split of PROBE_SPLITS) {
      const bySentence = new Map<string, TokenProbeExample>()
      this.#pools.forEach((pools, label) => {
        const taken = pools[split].sorted().slice(0, counts[split][label])
        if (taken.length === 0)
          throw tooLittle(this.#name, source, `no word of class ${classes[label]} is left for ${split}`)
        reached[split] += taken.length
        for (const { value } of taken) {
          const { words, spaceAfter } = value.sentence
          const key = words.join('\t')
          const example = bySentence.get(key) ?? { words: [...words], spaceAfter: [...spaceAfter], targets: [] }
          bySentence.set(key, example)
          example.targets.push({ word: value.word, label })
        }
      })
      splits[split] = this.#draws.stream('order', split).shuffle([...bySentence.values()])
      for (const { targets } of splits[split]) targets.sort((left, right) => left.word - right.word)
    }
    const notes = droppedNote(this.#dropped)
    const shrunk = shrinkNote(share, sizes, reached, `class ${scarcest(classes, available, sizes)}`)
    if (shrunk) notes.push(shrunk)
    return { name: this.#name, kind: 'token', classes, source, notes, splits }
  }

  /** A rare class may have been counted often enough, but stand in too few sentences of a split. */
  #dropScarce(): void {
    const { sizes, source } = this.#context
    const names = [...this.#labels.keys()]
    const fills = this.#pools.map((pools) =>
      filledShare(
        names.map(() => sizesOf(pools)),
        sizes,
      ),
    )
    const median = [...fills].sort((left, right) => left - right)[Math.floor(fills.length / 2)]
    const kept = names.filter((_, label) => fills[label] > 0 && fills[label] >= median / 2)
    if (kept.length < 2) throw tooLittle(this.#name, source, 'fewer than two classes stand in all splits')
    for (const name of names) if (!kept.includes(name)) this.#dropped.push([name, this.#counts.get(name)!])
    this.#pools = kept.map((name) => this.#pools[this.#labels.get(name)!])
    this.#labels = new Map(kept.map((name, label) => [name, label]))
  }
}

function sizesOf(pools: Record<ProbeSplit, Reservoir<Target>>): ProbeSizes {
  return { train: pools.train.size, dev: pools.dev.size, test: pools.test.size }
}

function scarcest(classes: readonly string[], available: readonly ProbeSizes[], sizes: ProbeSizes): string {
  const shares = available.map((of) => Math.min(...PROBE_SPLITS.map((split) => of[split] / sizes[split])))
  return classes[shares.indexOf(Math.min(...shares))]
}

export const partOfSpeech: WordClass = ({ tree }, word) => (tree!.upos[word] === '_' ? undefined : tree!.upos[word])

export const relationToHead: WordClass = ({ tree }, word) =>
  tree!.relations[word] === '_' ? undefined : tree!.relations[word]

/** Negative: the head stands before the word. */
export const HEAD_DISTANCES = ['≤-7', '-6…-4', '-3', '-2', '-1', '1', '2', '3', '4…6', '≥7']

/** Roots have no head; where punctuation attaches is convention, not knowledge of the sentence. */
export const headDistance: WordClass = ({ tree }, word) => {
  const { heads, relations } = tree!
  if (heads[word] < 0 || relations[word] === 'punct') return undefined
  const distance = heads[word] - word
  const far = Math.abs(distance)
  const bin = far <= 3 ? far - 1 : far <= 6 ? 3 : 4
  return HEAD_DISTANCES[distance < 0 ? 4 - bin : 5 + bin]
}
