/** A parsed text as one row of words over its characters, so that two parses of it can be laid beside each other. */
import { StrataError } from '../errors.js'
import { type ConlluRow, type ConlluSentence, findCycle, rangeOf } from '../text/conllu.js'
import type { AlignableWord } from './word-alignment.js'

const set = (words: string): ReadonlySet<string> => new Set(words.trim().split(/\s+/))

const CONTENT = set(`
  nsubj obj iobj csubj ccomp xcomp obl vocative expl dislocated advcl advmod discourse nmod appos nummod acl amod conj fixed flat
  compound list parataxis orphan goeswith reparandum root dep`)
const FUNCTIONAL = set('aux cop mark det clf case cc')
const FEATURES = set(`
  PronType NumType Poss Reflex Foreign Abbr Gender Animacy Number Case Definite Degree VerbForm Mood Tense Aspect Voice Evident
  Polarity Person Polite`)

export interface Span {
  start: number
  end: number
}

export interface TreebankWord extends AlignableWord {
  row: ConlluRow
  deprel: string
  feats: string
  isContent: boolean
  parent: TreebankWord | null
  functionalChildren: TreebankWord[]
}

export interface Treebank {
  /** All forms without spaces. */
  characters: string
  tokens: Span[]
  sentences: Span[]
  words: TreebankWord[]
}

/** Throws BAD_DATA, with file and line, for a sentence without one whole tree. */
export function treebankOf(sentences: Iterable<ConlluSentence>): Treebank {
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

function wordOf(row: ConlluRow, { start, end }: Span, isMultiword: boolean): TreebankWord {
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

/** Throws BAD_DATA with the first place at which two parses spell different texts; spaces do not count. */
export function checkSameText(gold: string, system: string): void {
  if (gold === system) return
  let at = 0
  while (at < gold.length && gold[at] === system[at]) at++
  throw new StrataError(
    'BAD_DATA',
    `the system's text differs from the gold text from character ${at} (spaces left out): ${JSON.stringify(gold.slice(at, at + 20))} in gold, ${JSON.stringify(system.slice(at, at + 20))} in system; the same text was expected`,
  )
}
