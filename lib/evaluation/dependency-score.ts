/**
 * Parses against a gold treebank, as the CoNLL 2018 shared task scores them (Zeman et al. 2018; the task's `conll18_ud_eval.py` 1.2): words
 * are aligned by their characters, so raw text that was split otherwise is scored fairly. Subtypes of relations do not count,
 * punctuation does; CLAS, MLAS and BLEX look at content words alone.
 */
import { StrataError } from '../errors.js'
import { type ConlluRow, type ConlluSentence, findCycle, rangeOf } from '../text/conllu.js'
import { type AlignableWord, alignWords } from './word-alignment.js'

export const DEPENDENCY_METRICS = [
  'Tokens',
  'Sentences',
  'Words',
  'UPOS',
  'XPOS',
  'UFeats',
  'AllTags',
  'Lemmas',
  'UAS',
  'LAS',
  'CLAS',
  'MLAS',
  'BLEX',
] as const
export type DependencyMetric = (typeof DEPENDENCY_METRICS)[number]

/** Counts, and shares from 0 to 1. */
export interface DependencyFigure {
  correct: number
  gold: number
  system: number
  precision: number
  recall: number
  f1: number
  /** Words that are aligned, and the correct ones among them; absent for Tokens, Sentences and Words. */
  aligned?: number
  alignedAccuracy?: number
}

export type DependencyScores = Record<DependencyMetric, DependencyFigure>

const set = (words: string): ReadonlySet<string> => new Set(words.trim().split(/\s+/))

const CONTENT = set(`
  nsubj obj iobj csubj ccomp xcomp obl vocative expl dislocated advcl advmod discourse nmod appos nummod acl amod conj fixed flat
  compound list parataxis orphan goeswith reparandum root dep`)
const FUNCTIONAL = set('aux cop mark det clf case cc')
const FEATURES = set(`
  PronType NumType Poss Reflex Foreign Abbr Gender Animacy Number Case Definite Degree VerbForm Mood Tense Aspect Voice Evident
  Polarity Person Polite`)

interface Span {
  start: number
  end: number
}

interface Word extends AlignableWord {
  row: ConlluRow
  deprel: string
  feats: string
  isContent: boolean
  parent: Word | null
  functionalChildren: Word[]
}

interface Treebank {
  /** All forms without spaces. */
  characters: string
  tokens: Span[]
  sentences: Span[]
  words: Word[]
}

/**
 * Scores system sentences against gold ones; they may be split into sentences and words otherwise, but must spell the same text.
 *
 * Throws BAD_DATA, with file and line, for a sentence without one whole tree, and for texts that differ.
 */
export function scoreDependencies(gold: Iterable<ConlluSentence>, system: Iterable<ConlluSentence>): DependencyScores {
  const [goldBank, systemBank] = [treebankOf(gold), treebankOf(system)]
  checkSameText(goldBank.characters, systemBank.characters)
  const pairs = alignWords(goldBank.words, systemBank.words)
  const goldOf = new Map(pairs.map(([goldWord, systemWord]) => [systemWord, goldWord]))
  /** The gold word of a system word's head: null for the root, undefined for one that is not aligned. */
  const aligned = (word: Word | null): Word | null | undefined => (word === null ? null : goldOf.get(word))
  const total = { gold: goldBank.words.length, system: systemBank.words.length }

  const score = (same: (gold: Word, system: Word) => boolean, content = false): DependencyFigure => {
    const counted = (words: readonly Word[]): number => words.filter(({ isContent }) => isContent).length
    const judged = content ? pairs.filter(([goldWord]) => goldWord.isContent) : pairs
    const correct = judged.filter(([goldWord, systemWord]) => same(goldWord, systemWord)).length
    const of = content ? { gold: counted(goldBank.words), system: counted(systemBank.words) } : total
    const alignedAccuracy = judged.length === 0 ? 0 : correct / judged.length
    return { ...figure(correct, of.gold, of.system), aligned: judged.length, alignedAccuracy }
  }
  const upos = (g: Word, s: Word): boolean => g.row.upos === s.row.upos
  const xpos = (g: Word, s: Word): boolean => g.row.xpos === s.row.xpos
  const feats = (g: Word, s: Word): boolean => g.feats === s.feats
  const lemma = (g: Word, s: Word): boolean => g.row.lemma === '_' || g.row.lemma === s.row.lemma
  const head = (g: Word, s: Word): boolean => g.parent === aligned(s.parent)
  const relation = (g: Word, s: Word): boolean => head(g, s) && g.deprel === s.deprel
  const functionWords = (g: Word, s: Word): boolean =>
    g.functionalChildren.length === s.functionalChildren.length &&
    g.functionalChildren.every((child, index) => {
      const other = s.functionalChildren[index]
      return child === aligned(other) && child.deprel === other.deprel && upos(child, other) && feats(child, other)
    })

  return {
    Tokens: spanScore(goldBank.tokens, systemBank.tokens),
    Sentences: spanScore(goldBank.sentences, systemBank.sentences),
    Words: figure(pairs.length, total.gold, total.system),
    UPOS: score(upos),
    XPOS: score(xpos),
    UFeats: score(feats),
    AllTags: score((g, s) => upos(g, s) && xpos(g, s) && feats(g, s)),
    Lemmas: score(lemma),
    UAS: score(head),
    LAS: score(relation),
    CLAS: score(relation, true),
    MLAS: score((g, s) => relation(g, s) && upos(g, s) && feats(g, s) && functionWords(g, s), true),
    BLEX: score((g, s) => relation(g, s) && lemma(g, s), true),
  }
}

function figure(correct: number, gold: number, system: number): DependencyFigure {
  return {
    correct,
    gold,
    system,
    precision: system === 0 ? 0 : correct / system,
    recall: gold === 0 ? 0 : correct / gold,
    f1: gold + system === 0 ? 0 : (2 * correct) / (gold + system),
  }
}

function spanScore(gold: readonly Span[], system: readonly Span[]): DependencyFigure {
  let correct = 0
  let [g, s] = [0, 0]
  while (g < gold.length && s < system.length) {
    if (system[s].start < gold[g].start) s++
    else if (gold[g].start < system[s].start) g++
    else if (gold[g++].end === system[s++].end) correct++
  }
  return figure(correct, gold.length, system.length)
}

function treebankOf(sentences: Iterable<ConlluSentence>): Treebank {
  const forms: string[] = []
  const bank: Treebank = { characters: '', tokens: [], sentences: [], words: [] }
  let index = 0
  for (const sentence of sentences) {
    checkTree(sentence)
    const [start, first] = [index, bank.words.length]
    let token: Span = { start, end: start }
    let rangeEnd = 0
    for (const row of sentence.rows) {
      if (row.kind === 'empty') continue
      const inRange = row.kind === 'word' && Number(row.id) <= rangeEnd
      if (!inRange) {
        const form = withoutSpaces(row)
        if (form === '') throw rowError(sentence, row, 'the form has nothing but spaces')
        forms.push(form)
        token = { start: index, end: index + form.length }
        bank.tokens.push(token)
        index = token.end
      }
      if (row.kind === 'range') rangeEnd = rangeOf(row)[1]
      else bank.words.push(wordOf(row, token, inRange))
    }
    const own = bank.words.slice(first)
    own.forEach((word, place) => {
      const head = sentence.heads[place]
      if (head === 0) return
      word.parent = own[head - 1]
      if (FUNCTIONAL.has(word.deprel)) word.parent.functionalChildren.push(word)
    })
    bank.sentences.push({ start, end: index })
  }
  bank.characters = forms.join('')
  return bank
}

function wordOf(row: ConlluRow, { start, end }: Span, isMultiword: boolean): Word {
  const deprel = row.deprel.split(':', 1)[0]
  const feats = row.feats
    .split('|')
    .filter((feature) => FEATURES.has(feature.split('=', 1)[0]))
    .sort()
    .join('|')
  // The official script takes the spaces out of the forms of single words only.
  const form = (isMultiword ? row.form : withoutSpaces(row)).toLowerCase()
  const isContent = CONTENT.has(deprel)
  return { row, start, end, isMultiword, form, deprel, feats, isContent, parent: null, functionalChildren: [] }
}

function withoutSpaces(row: ConlluRow): string {
  return row.form.replace(/\p{Zs}/gu, '')
}

/** Sentences may come from elsewhere than the reader. */
function checkTree(sentence: ConlluSentence): void {
  const { heads, words } = sentence
  const outside = heads.findIndex((head) => head < 0 || head > words.length)
  if (outside >= 0) throw rowError(sentence, words[outside], `head ${words[outside].head} is no word of the sentence`)
  const cycle = findCycle(heads)
  if (cycle) throw rowError(sentence, words[cycle[0] - 1], 'the heads run in a cycle')
  const second = heads.indexOf(0, heads.indexOf(0) + 1)
  if (second >= 0) throw rowError(sentence, words[second], 'a second root')
}

function rowError({ source, line }: ConlluSentence, row: ConlluRow, problem: string): StrataError {
  const at = row.line || line
  return new StrataError('BAD_DATA', `${source}:${at}: ${problem}; a tree with one root was expected for the scores`, {
    details: { path: source, line: at },
  })
}

function checkSameText(gold: string, system: string): void {
  if (gold === system) return
  let at = 0
  while (at < gold.length && gold[at] === system[at]) at++
  throw new StrataError(
    'BAD_DATA',
    `the system's text differs from the gold text from character ${at} (spaces left out): ${JSON.stringify(gold.slice(at, at + 20))} in gold, ${JSON.stringify(system.slice(at, at + 20))} in system; the same text was expected`,
  )
}
