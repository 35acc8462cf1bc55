/**
 * CoordInv: do two coordinated main clauses stand in their order (O), or were they exchanged (I)? Conneau et al. 2018: sentences with one
 * coordinating conjunction, which joins two top clauses; both classes hold as many sentences whose first clause is longer, shorter and
 * as long. A clause here has a subject of its own. Ours: no quotes and brackets, whose partners might be parted; the exchanged text is
 * written as a sentence again (capital, comma, full stop).
 */
import type { ProbeBuilder, ProbeContext } from './builder.js'
import { Draws } from './draws.js'
import { childrenOf, isPunctuation, type ProbeSentence, type ProbeTree, spell } from './sentence.js'
import { SentencePools } from './sentence-pools.js'
import type { ProbeSet } from './types.js'
import type { WordCounts } from './word-counts.js'

const CLASSES = ['O', 'I']
const SUBJECTS = ['nsubj', 'nsubjpass', 'csubj', 'csubjpass', 'expl']
const PAIRED = /["“”„«»()[\]{}]|``|''/u
const ENDINGS = ['.', '!', '?']

/** Places of the parts: [0, firstEnd) [comma?] conjunction [secondStart, end) ending. */
interface Coordination {
  /** End of the first clause, before a comma. */
  firstEnd: number
  conjunction: number
  /** End of the second clause: the place of the full stop. */
  end: number
}

export class CoordinationInversion implements ProbeBuilder {
  readonly #context: ProbeContext
  readonly #draws: Draws
  readonly #pools: SentencePools

  constructor(context: ProbeContext) {
    const { seed, sizes, source } = context
    this.#context = context
    this.#draws = new Draws(seed, 'CoordInv')
    this.#pools = new SentencePools({
      task: 'CoordInv',
      draws: this.#draws,
      sizes,
      classes: CLASSES,
      strata: 3,
      source,
    })
  }

  offer(sentence: ProbeSentence): void {
    const found = coordinatedClauses(sentence)
    if (!found) return
    const { priority, first } = this.#draws.of(sentence.hash)
    const label = first < 0.5 ? 0 : 1
    const difference = found.firstEnd - (found.end - found.conjunction - 1)
    // By the order in which the clauses are shown.
    const stratum = 1 + Math.sign(label === 0 ? difference : -difference)
    if (!this.#pools.wants(label, priority, stratum)) return
    const text = label === 0 ? sentence.text : inverted(sentence, found, this.#context.counts)
    this.#pools.offer(label, priority, sentence.key, text, stratum)
  }

  finish(): ProbeSet {
    return { name: 'CoordInv', kind: 'sentence', source: this.#context.source, ...this.#pools.finish() }
  }
}

export function coordinatedClauses(sentence: ProbeSentence): Coordination | undefined {
  const tree = sentence.tree!
  const { heads, relations, root } = tree
  const end = heads.length - 1
  if (PAIRED.test(sentence.text) || !ENDINGS.includes(sentence.words[end])) return undefined
  const conjunctions = [...heads.keys()].filter((word) => isConjunction(tree, word))
  if (conjunctions.length !== 1) return undefined
  const [conjunction] = conjunctions
  const children = childrenOf(tree)
  const conjuncts = children[root].filter((child) => relations[child] === 'conj')
  if (conjuncts.length !== 1 || !(root < conjunction && conjunction < conjuncts[0])) return undefined
  const [second] = conjuncts
  if (heads[conjunction] !== root && heads[conjunction] !== second) return undefined
  if (!hasSubject(tree, children[root]) || !hasSubject(tree, children[second])) return undefined
  // The second clause is all that follows, and nothing of it stands before.
  const inside = membersOf(second, children)
  for (let word = 0; word < end; word++) {
    if (word === conjunction || isPunctuation(sentence, word)) continue
    if (inside.has(word) !== word > conjunction) return undefined
  }
  const firstEnd = sentence.words[conjunction - 1] === ',' ? conjunction - 1 : conjunction
  if (isPunctuation(sentence, firstEnd - 1) || isPunctuation(sentence, conjunction + 1)) return undefined
  if (isPunctuation(sentence, end - 1)) return undefined
  return { firstEnd, conjunction, end }
}

function isConjunction({ upos, xpos, relations }: ProbeTree, word: number): boolean {
  return upos[word] === 'CCONJ' || xpos[word] === 'CC' || relations[word] === 'cc'
}

function hasSubject({ relations }: ProbeTree, children: readonly number[]): boolean {
  return children.some((child) => SUBJECTS.includes(relations[child]))
}

function membersOf(top: number, children: readonly (readonly number[])[]): Set<number> {
  const members = new Set([top])
  for (const member of members) for (const child of children[member]) members.add(child)
  return members
}

function inverted(sentence: ProbeSentence, { firstEnd, conjunction, end }: Coordination, counts: WordCounts): string {
  const { words, spaceAfter } = sentence
  const first = words.slice(0, firstEnd)
  first[0] = withoutCapital(sentence, counts)
  const second = words.slice(conjunction + 1, end)
  second[0] = second[0].charAt(0).toUpperCase() + second[0].slice(1)
  const comma = firstEnd < conjunction ? [words[firstEnd]] : []
  const spaces = [
    ...spaceAfter.slice(conjunction + 1, end - 1),
    comma.length === 0,
    ...comma.map(() => true),
    true,
    ...spaceAfter.slice(0, firstEnd - 1),
    false,
    true,
  ]
  return spell([...second, ...comma, words[conjunction], ...first, words[end]], spaces)
}

/** The sentence's first word as it is written inside a sentence. */
function withoutCapital({ words, lower, tree }: ProbeSentence, counts: WordCounts): string {
  const [form] = words
  const keeps = tree!.upos[0] === 'PROPN' || form === 'I' || /^\p{Lu}.*\p{Lu}/u.test(form) || counts.isName(lower[0])
  return keeps ? form : form.charAt(0).toLowerCase() + form.slice(1)
}
