/**
 * Parses against a gold treebank, as the CoNLL 2018 shared task scores them (Zeman et al. 2018; the task's `conll18_ud_eval.py` 1.2): words
 * are aligned by their characters, so raw text that was split otherwise is scored fairly. Subtypes of relations do not count,
 * punctuation does; CLAS, MLAS and BLEX look at content words alone.
 */
import type { ConlluSentence } from '../text/conllu.js'
import { checkSameText, type Span, type TreebankWord, treebankOf } from './aligned-treebank.js'
import { alignWords } from './word-alignment.js'

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
  const aligned = (word: TreebankWord | null): TreebankWord | null | undefined =>
    word === null ? null : goldOf.get(word)
  const total = { gold: goldBank.words.length, system: systemBank.words.length }

  const score = (same: (gold: TreebankWord, system: TreebankWord) => boolean, content = false): DependencyFigure => {
    const counted = (words: readonly TreebankWord[]): number => words.filter(({ isContent }) => isContent).length
    const judged = content ? pairs.filter(([goldWord]) => goldWord.isContent) : pairs
    const correct = judged.filter(([goldWord, systemWord]) => same(goldWord, systemWord)).length
    const of = content ? { gold: counted(goldBank.words), system: counted(systemBank.words) } : total
    const alignedAccuracy = judged.length === 0 ? 0 : correct / judged.length
    return { ...figure(correct, of.gold, of.system), aligned: judged.length, alignedAccuracy }
  }
  const upos = (g: TreebankWord, s: TreebankWord): boolean => g.row.upos === s.row.upos
  const xpos = (g: TreebankWord, s: TreebankWord): boolean => g.row.xpos === s.row.xpos
  const feats = (g: TreebankWord, s: TreebankWord): boolean => g.feats === s.feats
  const lemma = (g: TreebankWord, s: TreebankWord): boolean => g.row.lemma === '_' || g.row.lemma === s.row.lemma
  const head = (g: TreebankWord, s: TreebankWord): boolean => g.parent === aligned(s.parent)
  const relation = (g: TreebankWord, s: TreebankWord): boolean => head(g, s) && g.deprel === s.deprel
  const functionWords = (g: TreebankWord, s: TreebankWord): boolean =>
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
