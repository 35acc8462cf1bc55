/**
 * Dependency chunks: a chunk is a run of neighbouring words around a syntactic head, and every word is in exactly one. The method's
 * paper (DACBERT, arXiv 2311.04799) does not say how its chunks are made; these rules are our choice, for Universal Dependencies and
 * for ClearNLP labels (told apart word by word: the two sets agree where they share a label).
 *
 * - nominal: a noun, proper noun or pronoun (or a number, symbol or foreign word, or an adjective with a determiner) with its left
 *   det, det:predet/predet, amod, compound, nummod, quantmod, nmod:poss/poss with its case mark, nmod:desc and flat, its right flat,
 *   and goeswith on either side; an amod, nummod or the like brings its own left adverb.
 * - verbal: a verb or auxiliary with its aux, aux:pass/auxpass, cop, neg, prt/compound:prt, and adverbs standing between those. Before
 *   a predicate that is no verb the copula leads the auxiliaries ("has been").
 * - other: an adjective, adverb or interjection outside of these, with its own left adverb.
 * - marker: case, mark, cc, prep, agent, fixed, punctuation, and other adpositions, conjunctions and particles: each its own chunk.
 *
 * A member that is cut off by a word in between makes a chunk of its own kind.
 */
import { StrataError } from '../errors.js'
import { findCycle } from './conllu.js'

export const CHUNK_KINDS = ['nominal', 'verbal', 'other', 'marker'] as const
export type ChunkKind = (typeof CHUNK_KINDS)[number]

/** What chunks are made of: (W) each. A {@link ConlluSentence} gives them by {@link parsedWords}. */
export interface ParsedWords {
  upos: readonly string[]
  deprels: readonly string[]
  /** Word numbers from 1, 0 for a root; a negative number has no head and makes chunks as a root does. */
  heads: ArrayLike<number>
}

export interface Chunk {
  kind: ChunkKind
  /** Index of the head word, from 0. */
  head: number
  /** Words [start, end), indices from 0. */
  start: number
  end: number
}

export interface Chunks {
  /** In the order of the text. */
  chunks: Chunk[]
  /** (W): index of each word's chunk. */
  chunkOfWord: Int32Array
}

const set = (labels: string): ReadonlySet<string> => new Set(labels.trim().split(/\s+/))

const MARKER_RELATIONS = set('case mark cc cc:preconj preconj prep agent punct fixed complm')
const MARKER_UPOS = set('ADP CCONJ SCONJ PART PUNCT')
const NOMINAL_UPOS = set('NOUN PROPN PRON NUM SYM X')
/** Relations of a nominal chunk's members, left of their head. */
const LEFT_OF_NOUN = set('det det:predet predet amod compound nn nummod quantmod nmod:poss poss nmod:desc flat')
const BOTH_SIDES_OF_NOUN = set('flat goeswith')
/** Makes an adjective or determiner the head of a nominal chunk ("the poor", "my own"). */
const DETERMINERS = set('det det:predet predet nmod:poss poss')
const WITH_VERB = set('aux aux:pass auxpass cop neg prt compound:prt')

/** The chunks of a sentence of W words. Throws BAD_ARGUMENT for lists of unequal length, heads that are no words and heads in a cycle. */
export function chunkWords(words: ParsedWords, options: { unit?: 'chunk' | 'word' } = {}): Chunks {
  checkWords(words)
  const sentence = new SentenceShape(words)
  const count = words.upos.length
  if (options.unit === 'word') {
    const chunks = Array.from({ length: count }, (_, word) => sentence.chunk(word, word, word + 1))
    return { chunks, chunkOfWord: Int32Array.from({ length: count }, (_, word) => word) }
  }
  return cutIntoRuns(sentence, membersOf(sentence))
}

/** What the chunker needs of a CoNLL-U sentence. */
export function parsedWords(sentence: {
  words: readonly { upos: string; deprel: string }[]
  heads: ArrayLike<number>
}): ParsedWords {
  const upos = sentence.words.map((word) => word.upos)
  return { upos, deprels: sentence.words.map(({ deprel }) => deprel), heads: sentence.heads }
}

/** Is the word a marker: one that a relation looks through? */
export function isMarker(words: ParsedWords, word: number): boolean {
  const relation = words.deprels[word]
  if (MARKER_RELATIONS.has(relation)) return true
  if (!MARKER_UPOS.has(words.upos[word])) return false
  return !WITH_VERB.has(relation) || relation === 'neg'
}

/** A sentence with its children at hand. */
class SentenceShape {
  readonly upos: readonly string[]
  readonly deprels: readonly string[]
  /** Index of each word's head, -1 for a root. */
  readonly heads: Int32Array
  readonly #words: ParsedWords
  readonly #hasDeterminer: Uint8Array
  /** The copula of a word, -1 without one. */
  readonly copulas: Int32Array

  constructor(words: ParsedWords) {
    this.#words = words
    this.upos = words.upos
    this.deprels = words.deprels
    this.heads = Int32Array.from(words.heads, (head) => Math.max(head, 0) - 1)
    this.#hasDeterminer = new Uint8Array(words.upos.length)
    this.copulas = new Int32Array(words.upos.length).fill(-1)
    this.heads.forEach((head, word) => {
      if (head < 0) return
      if (word < head && DETERMINERS.has(this.deprels[word])) this.#hasDeterminer[head] = 1
      if (this.deprels[word] === 'cop') this.copulas[head] = word
    })
  }

  isVerbal(word: number): boolean {
    return this.upos[word] === 'VERB' || this.upos[word] === 'AUX'
  }

  isNominal(word: number): boolean {
    const upos = this.upos[word]
    if (NOMINAL_UPOS.has(upos)) return true
    return (upos === 'ADJ' || upos === 'DET' || upos === 'ADV') && this.#hasDeterminer[word] === 1
  }

  isMarker(word: number): boolean {
    return isMarker(this.#words, word)
  }

  kind(word: number): ChunkKind {
    if (this.isMarker(word)) return 'marker'
    if (this.isVerbal(word)) return 'verbal'
    return this.isNominal(word) ? 'nominal' : 'other'
  }

  chunk(head: number, start: number, end: number): Chunk {
    return { kind: this.kind(head), head, start, end }
  }
}

/** (W): the word whose chunk each word joins, -1 for the words that lead a chunk. */
function membersOf(sentence: SentenceShape): Int32Array {
  const count = sentence.upos.length
  const joins = new Int32Array(count).fill(-1)
  /** By verb: first and last of it and its verbal members. */
  const first = Int32Array.from({ length: count }, (_, word) => word)
  const last = first.slice()
  for (let word = 0; word < count; word++) {
    const head = sentence.heads[word]
    if (head < 0 || sentence.isMarker(head)) continue
    if (joinsNoun(sentence, word, head)) joins[word] = head
    else if (WITH_VERB.has(sentence.deprels[word])) {
      const verb = sentence.isVerbal(head) ? head : sentence.copulas[head]
      if (verb < 0 || verb === word || sentence.isMarker(verb)) continue
      joins[word] = verb
      first[verb] = Math.min(first[verb], word)
      last[verb] = Math.max(last[verb], word)
    }
  }
  for (let word = 0; word < count; word++) {
    const head = sentence.heads[word]
    if (head < 0 || joins[word] >= 0 || sentence.deprels[word] !== 'advmod' || sentence.isMarker(head)) continue
    const upos = sentence.upos[word]
    const verb = sentence.isVerbal(head) ? head : sentence.copulas[head]
    // "not" is a particle: between auxiliary and verb it is one of the adverbs.
    if (verb >= 0 && verb !== word && (upos === 'ADV' || upos === 'PART')) {
      if (word > first[verb] && word < last[verb]) joins[word] = verb
    }
    // An adverb before the adjective, adverb, number or participle that it modifies.
    const modified = sentence.upos[head]
    const qualifies = modified === 'ADJ' || modified === 'ADV' || modified === 'NUM' || modified === 'DET'
    const attributive = LEFT_OF_NOUN.has(sentence.deprels[head])
    if (joins[word] < 0 && upos === 'ADV' && word < head && (qualifies || attributive)) joins[word] = head
  }
  return joins
}

function joinsNoun(sentence: SentenceShape, word: number, head: number): boolean {
  const relation = sentence.deprels[word]
  if (BOTH_SIDES_OF_NOUN.has(relation)) return true
  // The case mark of a possessor: the 's of "the man's car".
  if (relation === 'case' && word > head && /^(?:nmod:)?poss$/.test(sentence.deprels[head])) return true
  return (
    LEFT_OF_NOUN.has(relation) && word < head && (sentence.isNominal(head) || LEFT_OF_NOUN.has(sentence.deprels[head]))
  )
}

/**
 * Cuts the groups of joined words into runs: the run around a group's head becomes a chunk, and a word outside of it that joins one of
 * the run's leads its own group.
 */
function cutIntoRuns(sentence: SentenceShape, joins: Int32Array): Chunks {
  const forest = new JoinForest(joins)
  const chunks: Chunk[] = []
  const leaders = [...forest.roots()]
  // Grows while it is gone through.
  for (const head of leaders) {
    const { start, end } = forest.run(head)
    chunks.push(sentence.chunk(head, start, end))
    for (let word = start; word < end; word++) {
      for (const member of forest.members(word)) if (member < start || member >= end) leaders.push(member)
    }
  }
  chunks.sort((a, b) => a.start - b.start)
  const chunkOfWord = new Int32Array(joins.length)
  chunks.forEach(({ start, end }, index) => {
    chunkOfWord.fill(index, start, end)
  })
  return { chunks, chunkOfWord }
}

/** Words and those that join them, as trees. */
class JoinForest {
  readonly #joins: Int32Array
  /** (W): the first word that joins each, and the next that joins the same; -1 for none. */
  readonly #first: Int32Array
  readonly #next: Int32Array
  /** (W): place in an order in which a word's group, itself in front, stands in one piece, and the group's size. */
  readonly #place: Int32Array
  readonly #size: Int32Array

  constructor(joins: Int32Array) {
    const count = joins.length
    this.#joins = joins
    this.#first = new Int32Array(count).fill(-1)
    this.#next = new Int32Array(count).fill(-1)
    for (let word = count - 1; word >= 0; word--) {
      if (joins[word] < 0) continue
      this.#next[word] = this.#first[joins[word]]
      this.#first[joins[word]] = word
    }
    const downwards = [...this.roots()]
    for (const word of downwards) for (const member of this.members(word)) downwards.push(member)
    this.#size = new Int32Array(count).fill(1)
    for (const word of downwards.toReversed()) if (joins[word] >= 0) this.#size[joins[word]] += this.#size[word]
    this.#place = new Int32Array(count)
    let free = 0
    for (const word of this.roots()) {
      this.#place[word] = free
      free += this.#size[word]
    }
    for (const word of downwards) {
      let place = this.#place[word] + 1
      for (const member of this.members(word)) {
        this.#place[member] = place
        place += this.#size[member]
      }
    }
  }

  /** The words that join none. */
  *roots(): Generator<number> {
    for (let word = 0; word < this.#joins.length; word++) if (this.#joins[word] < 0) yield word
  }

  /** The words that join the word itself. */
  *members(word: number): Generator<number> {
    for (let member = this.#first[word]; member >= 0; member = this.#next[member]) yield member
  }

  /** The longest run around the head whose other words each join a word of the run. Takes time in proportion to the neighbours in its group. */
  run(head: number): { start: number; end: number } {
    let [from, to] = [head, head + 1]
    while (from > 0 && this.#leads(head, from - 1)) from--
    while (to < this.#joins.length && this.#leads(head, to)) to++
    let [start, end] = [from, to]
    const leaveOut = (word: number): void => {
      if (word < head) start = Math.max(start, word + 1)
      else if (word > head) end = Math.min(end, word)
    }
    for (let word = from; word < to; word++) if (this.#joins[word] < from || this.#joins[word] >= to) leaveOut(word)
    // Whoever joins a word that is left out is left out too.
    while (from < start || to > end) {
      for (const member of this.members(from < start ? from++ : --to)) leaveOut(member)
    }
    return { start, end }
  }

  #leads(head: number, word: number): boolean {
    const place = this.#place[word] - this.#place[head]
    return place >= 0 && place < this.#size[head]
  }
}

function checkWords({ upos, deprels, heads }: ParsedWords): void {
  if (upos.length !== deprels.length || upos.length !== heads.length) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `${upos.length} parts of speech, ${deprels.length} relations, ${heads.length} heads; one of each a word was expected`,
    )
  }
  for (let word = 0; word < heads.length; word++) {
    if (Number.isInteger(heads[word]) && heads[word] <= heads.length && heads[word] !== word + 1) continue
    throw new StrataError(
      'BAD_ARGUMENT',
      `word ${word + 1} has head ${heads[word]}; another word's number up to ${heads.length}, or 0, was expected`,
    )
  }
  const cycle = findCycle(heads)
  if (!cycle) return
  throw new StrataError('BAD_ARGUMENT', `the heads of words ${cycle.join(', ')} run in a cycle; a tree was expected`)
}
