/** One sentence as the builders of probing tasks see it, from CoNLL-U or from plain text. */
import { type ConlluSentence, type SplitWord, sentenceText } from '../../text/index.js'

const PUNCTUATION = /^[\p{P}\p{S}]+$/u
const DOUBLE_QUOTES = /["“”„«»]|``|''/u
const WHITE_SPACE = /\s+/g

/** Columns of a parsed sentence, one entry a word. */
export interface ProbeTree {
  upos: readonly string[]
  xpos: readonly string[]
  feats: readonly string[]
  /** Place of the head, from 0; -1 for the root and where there is none. */
  heads: readonly number[]
  /** Relations in lower case without subtype: `nsubj:pass` is `nsubj` here. */
  relations: readonly string[]
  /** As in the file, in lower case. */
  fullRelations: readonly string[]
  root: number
}

/** Two 32-bit words that name a text, for counter-based draws. */
export type TextHash = readonly [number, number]

export interface ProbeSentence {
  words: readonly string[]
  /** The words in lower case. */
  lower: readonly string[]
  spaceAfter: readonly boolean[]
  text: string
  /** The text normalised: what makes two sentences the same one. */
  key: string
  hash: TextHash
  /** Undefined for plain text. */
  tree?: ProbeTree
}

/** What counts as the same sentence: Unicode's compatibility form, lower case, one space between two words. */
export function normalisedText(text: string): string {
  return text.normalize('NFKC').toLowerCase().replace(WHITE_SPACE, ' ').trim()
}

/** The text that words and spaces spell; the last word's space is left out. */
export function spell(words: readonly string[], spaceAfter: readonly boolean[]): string {
  let text = ''
  for (let i = 0; i < words.length; i++) text += i + 1 < words.length && spaceAfter[i] ? `${words[i]} ` : words[i]
  return text
}

/** Punctuation marks and symbols. */
export function isPunctuation(sentence: ProbeSentence, word: number): boolean {
  const upos = sentence.tree?.upos[word]
  return upos === 'PUNCT' || upos === 'SYM' || PUNCTUATION.test(sentence.words[word])
}

/** SentEval leaves sentences with double quotes out of BShift. */
export function hasDoubleQuotes(sentence: ProbeSentence): boolean {
  return DOUBLE_QUOTES.test(sentence.text)
}

/** A word of letters, digits or both; no punctuation. */
export function isPlainWord(sentence: ProbeSentence, word: number): boolean {
  return !isPunctuation(sentence, word) && /[\p{L}\p{N}]/u.test(sentence.words[word])
}

/** What token and pair probes keep of a sentence, made once for all of them. */
export interface KeptSentence {
  words: readonly string[]
  spaceAfter: readonly boolean[]
}

const kept = new WeakMap<ProbeSentence, KeptSentence>()

export function keptSentence(sentence: ProbeSentence): KeptSentence {
  const { words, spaceAfter } = sentence
  const found = kept.get(sentence) ?? { words, spaceAfter }
  kept.set(sentence, found)
  return found
}

/** The heads' children, one list a word. */
export function childrenOf({ heads }: ProbeTree): number[][] {
  const children: number[][] = heads.map(() => [])
  heads.forEach((head, word) => {
    if (head >= 0) children[head].push(word)
  })
  return children
}

/** Undefined where the words do not spell the sentence's text: a multi-word token like "zum" for "zu dem". */
export function sentenceOfTree(sentence: ConlluSentence): ProbeSentence | undefined {
  const { starts, ends } = sentenceText(sentence)
  const rows = sentence.words
  const spaceAfter = new Array<boolean>(rows.length)
  for (let i = 0; i < rows.length; i++) {
    if (i > 0 && starts[i] < ends[i - 1]) return undefined
    spaceAfter[i] = i + 1 === rows.length || starts[i + 1] > ends[i]
  }
  const words = rows.map(({ form }) => detached(/\s/.test(form) ? form.replace(WHITE_SPACE, ' ') : form))
  const fullRelations = rows.map(({ deprel }) => deprel.toLowerCase())
  const heads = Array.from(sentence.heads, (head) => (head > 0 ? head - 1 : -1))
  return withText(words, spaceAfter, {
    upos: rows.map(({ upos }) => upos),
    xpos: rows.map(({ xpos }) => xpos),
    feats: rows.map(({ feats }) => feats),
    heads,
    relations: fullRelations.map((relation) => relation.split(':', 1)[0]),
    fullRelations,
    root: sentence.heads.indexOf(0),
  })
}

export function sentenceOfWords(split: readonly SplitWord[]): ProbeSentence {
  const spaceAfter = split.map(({ end }, i) => i + 1 === split.length || split[i + 1].start > end)
  return withText(
    split.map(({ form }) => detached(form)),
    spaceAfter,
  )
}

function withText(words: readonly string[], spaceAfter: readonly boolean[], tree?: ProbeTree): ProbeSentence {
  const text = spell(words, spaceAfter)
  const key = normalisedText(text)
  return { words, lower: words.map((word) => word.toLowerCase()), spaceAfter, text, key, hash: hashText(key), tree }
}

/** V8 keeps a whole block of the file alive for each longer piece of it: such a word is copied before it may be kept. */
function detached(word: string): string {
  return word.length < 13 ? word : Buffer.from(word, 'utf8').toString('utf8')
}

/** 64 bits of a text, in the manner of MurmurHash3: two lanes over the UTF-16 units and a last mixing of each. */
function hashText(text: string): TextHash {
  let [a, b] = [0x243f6a88, 0x85a308d3]
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    a = Math.imul(a ^ unit, 0x9e3779b1)
    a = (a << 13) | (a >>> 19)
    b = Math.imul(b ^ unit, 0x5f356495)
    b = (b << 17) | (b >>> 15)
  }
  a ^= text.length
  b ^= a
  return [mixed(a), mixed(b)]
}

function mixed(word: number): number {
  let mix = word
  mix = Math.imul(mix ^ (mix >>> 16), 0x85ebca6b)
  mix = Math.imul(mix ^ (mix >>> 13), 0xc2b2ae35)
  return (mix ^ (mix >>> 16)) >>> 0
}
