/**
 * Two tasks of ours on the shape of the dependency tree, where Conneau et al. 2018 have TreeDepth and TopConst on constituents. Their
 * figures do not compare with SentEval's.
 *
 * DepDepth: arcs from the root to the deepest word. As many sentences of each length stratum in every class, so that length tells nothing
 * (SentEval decorrelates depth from length by sampling).
 * TopDeps: the relations of the root's children from left to right with the root's place among them; the 19 most frequent sequences and
 * all others. The full stop is left out; sentences with other punctuation at the top, with quotes or without a full stop are not taken.
 */
import { type ProbeBuilder, type ProbeContext, tooLittle } from './builder.js'
import { droppedNote, fillableClasses } from './class-choice.js'
import { Draws } from './draws.js'
import { childrenOf, hasDoubleQuotes, type ProbeSentence, type ProbeTree } from './sentence.js'
import { LONGEST_SENTENCE, SHORTEST_SENTENCE } from './sentence-length.js'
import { SentencePools } from './sentence-pools.js'
import { totalOf } from './sizes.js'
import type { ProbeSet } from './types.js'

const STRATUM_WORDS = 2
const STRATA = Math.ceil((LONGEST_SENTENCE - SHORTEST_SENTENCE + 1) / STRATUM_WORDS)
/** SentEval's TreeDepth has eight classes. */
const MOST_DEPTHS = 8
const FEWEST_DEPTHS = 4
const TOP_SEQUENCES = 19
const OTHER = 'OTHER'
/** Longer sequences are rare: they are among the others uncounted, which bounds memory. */
const LONGEST_SEQUENCE = 8

const stratumOf = (words: number): number => Math.floor((words - SHORTEST_SENTENCE) / STRATUM_WORDS)

export class DependencyDepth implements ProbeBuilder {
  readonly #context: ProbeContext
  readonly #draws: Draws
  /** By depth, then stratum. */
  readonly #counts: number[][] = Array.from({ length: LONGEST_SENTENCE + 1 }, () => new Array(STRATA).fill(0))
  #first = 0
  #classes = 0
  #pools: SentencePools | undefined

  constructor(context: ProbeContext) {
    this.#context = context
    this.#draws = new Draws(context.seed, 'DepDepth')
  }

  count({ words, tree }: ProbeSentence): void {
    this.#counts[depthOf(tree!)][stratumOf(words.length)]++
  }

  /** The most neighbouring depths that fill the sizes; else those that give most examples. */
  settle(): void {
    const { sizes, source } = this.#context
    let most = 0
    for (let classes = MOST_DEPTHS; classes >= FEWEST_DEPTHS; classes--) {
      for (let first = 1; first + classes <= this.#counts.length; first++) {
        const window = this.#counts.slice(first, first + classes)
        let examples = 0
        for (let stratum = 0; stratum < STRATA; stratum++) {
          examples += classes * Math.min(...window.map((strata) => strata[stratum]))
        }
        if (examples <= most) continue
        most = examples
        this.#first = first
        this.#classes = classes
      }
      if (most >= 1.1 * totalOf(sizes)) break
    }
    if (most === 0) throw tooLittle('DepDepth', source, 'no sentences of equal length have four different depths')
    this.#pools = new SentencePools({
      task: 'DepDepth',
      draws: this.#draws,
      sizes,
      classes: Array.from({ length: this.#classes }, (_, label) => String(this.#first + label)),
      strata: STRATA,
      source,
    })
  }

  offer({ words, tree, hash, key, text }: ProbeSentence): void {
    const label = depthOf(tree!) - this.#first
    if (label < 0 || label >= this.#classes) return
    this.#pools!.offer(label, this.#draws.of(hash).priority, key, text, stratumOf(words.length))
  }

  finish(): ProbeSet {
    return { name: 'DepDepth', kind: 'sentence', source: this.#context.source, ...this.#pools!.finish() }
  }
}

function depthOf({ heads, root }: ProbeTree): number {
  let deepest = 0
  for (let word = 0; word < heads.length; word++) {
    let depth = 0
    for (let at = word; at !== root && at >= 0; at = heads[at]) depth++
    deepest = Math.max(deepest, depth)
  }
  return deepest
}

export class TopDependencies implements ProbeBuilder {
  readonly #context: ProbeContext
  readonly #draws: Draws
  readonly #counts = new Map<string, number>()
  #others = 0
  #classes: string[] = []
  #dropped: [string, number][] = []
  #pools: SentencePools | undefined

  constructor(context: ProbeContext) {
    this.#context = context
    this.#draws = new Draws(context.seed, 'TopDeps')
  }

  count(sentence: ProbeSentence): void {
    const sequence = topSequence(sentence)
    if (sequence === undefined) return
    if (sequence === OTHER) this.#others++
    else this.#counts.set(sequence, (this.#counts.get(sequence) ?? 0) + 1)
  }

  settle(): void {
    const { sizes, source } = this.#context
    const ordered = [...this.#counts].sort((left, right) => right[1] - left[1] || (left[0] < right[0] ? -1 : 1))
    const counts = new Map(ordered.slice(0, TOP_SEQUENCES))
    const others = [...this.#counts.values()].reduce((sum, count) => sum + count, this.#others)
    counts.set(OTHER, others - [...counts.values()].reduce((sum, count) => sum + count, 0))
    const chosen = fillableClasses(counts, totalOf(sizes))
    this.#classes = chosen.kept
    this.#dropped = chosen.dropped
    if (this.#classes.length < 2)
      throw tooLittle('TopDeps', source, 'fewer than two sequences of relations fill a class')
    this.#pools = new SentencePools({ task: 'TopDeps', draws: this.#draws, sizes, classes: this.#classes, source })
  }

  offer(sentence: ProbeSentence): void {
    const sequence = topSequence(sentence)
    if (sequence === undefined) return
    const own = this.#classes.indexOf(sequence)
    const label = own >= 0 ? own : this.#dropped.some(([name]) => name === sequence) ? -1 : this.#classes.indexOf(OTHER)
    if (label < 0) return
    this.#pools!.offer(label, this.#draws.of(sentence.hash).priority, sentence.key, sentence.text)
  }

  finish(): ProbeSet {
    const finished = this.#pools!.finish()
    const notes = [...droppedNote(this.#dropped), ...finished.notes]
    return { name: 'TopDeps', kind: 'sentence', source: this.#context.source, ...finished, notes }
  }
}

/** `nsubj_ROOT_obj`; undefined for a sentence that is not taken. */
function topSequence(sentence: ProbeSentence): string | undefined {
  const tree = sentence.tree!
  const last = sentence.words.length - 1
  if (sentence.words[last] !== '.' || tree.heads[last] !== tree.root || hasDoubleQuotes(sentence)) return undefined
  const children = childrenOf(tree)[tree.root].filter((child) => child !== last)
  if (children.some((child) => tree.relations[child] === 'punct')) return undefined
  if (children.length >= LONGEST_SEQUENCE) return OTHER
  const places = [...children, tree.root].sort((left, right) => left - right)
  return places.map((place) => (place === tree.root ? 'ROOT' : tree.relations[place])).join('_')
}
