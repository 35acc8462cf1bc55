/**
 * How far two parsers agree on the relations that Universal Dependencies and ClearNLP draw alike: subjects, direct objects, determiners
 * and attributive adjectives. Neither side is gold. Words are aligned by their characters (word-alignment.ts), so each side may have split
 * the text its own way.
 *
 * One difference is taken out: under a copula UD hangs the subject on the predicate ("tall" in "she is tall"), ClearNLP on the verb; the
 * head of a UD subject is taken to be the copula where its head has one. What else the schemes draw otherwise (relative pronouns, numbers,
 * names, possessives as determiners) stays and costs agreement.
 */
import type { ConlluSentence } from '../text/conllu.js'
import type { LabelScheme } from '../text/dependency-labels.js'
import { checkSameText, type TreebankWord, treebankOf } from './aligned-treebank.js'
import { alignWords } from './word-alignment.js'

/** Labels by scheme, subtypes written out. */
const RELATIONS = {
  subject: { ud: ['nsubj', 'nsubj:pass', 'nsubj:outer'], clearnlp: ['nsubj', 'nsubjpass'] },
  object: { ud: ['obj'], clearnlp: ['dobj'] },
  determiner: { ud: ['det'], clearnlp: ['det'] },
  adjective: { ud: ['amod'], clearnlp: ['amod'] },
} as const satisfies Record<string, Record<LabelScheme, readonly string[]>>
export type SharedRelation = keyof typeof RELATIONS
const SHARED_RELATIONS = Object.keys(RELATIONS) as SharedRelation[]

/** Of one relation, or of all four together. */
export interface RelationFigures {
  /** Words that stand in the relation: by the reference, by the other parse. */
  reference: number
  parse: number
  /** Words that both put into the relation under the same head. */
  agreed: number
  /** 2 · agreed ÷ (reference + parse): words that are not aligned count against it. */
  f1: number
  /** Of the reference's words in the relation that the other parse has as well: the share under the same head, with whatever relation. */
  unlabelled: number
  /** The share in the same relation, under whatever head. */
  label: number
  /** The share in the same relation under the same head. */
  labelled: number
}

export interface AgreementReport {
  words: { reference: number; parse: number; aligned: number }
  sentences: { reference: number; parse: number }
  relations: Record<SharedRelation | 'all', RelationFigures>
}

interface Counts {
  reference: number
  parse: number
  aligned: number
  sameHead: number
  sameRelation: number
  agreed: number
}

const none = (): Counts => ({ reference: 0, parse: 0, aligned: 0, sameHead: 0, sameRelation: 0, agreed: 0 })

/** Gathers texts (documents, say) one after the other. */
export class RelationAgreement {
  readonly #schemes: { reference: LabelScheme; parse: LabelScheme }
  readonly #counts = Object.fromEntries(SHARED_RELATIONS.map((name) => [name, none()])) as Record<
    SharedRelation,
    Counts
  >
  readonly #words = { reference: 0, parse: 0, aligned: 0 }
  readonly #sentences = { reference: 0, parse: 0 }

  /** The label scheme of each side. */
  constructor(schemes: { reference: LabelScheme; parse: LabelScheme }) {
    this.#schemes = schemes
  }

  /** Adds a text as both sides parse it. Throws BAD_DATA when they spell different texts, or a sentence has no whole tree. */
  add(reference: Iterable<ConlluSentence>, parse: Iterable<ConlluSentence>): void {
    const [one, other] = [treebankOf(reference), treebankOf(parse)]
    checkSameText(one.characters, other.characters)
    const pairs = alignWords(one.words, other.words)
    const partner = new Map(pairs.map(([mine, theirs]) => [theirs, mine]))
    const { reference: from, parse: to } = this.#schemes
    for (const word of one.words) this.#count(word, from, 'reference')
    for (const word of other.words) this.#count(word, to, 'parse')
    for (const [mine, theirs] of pairs) {
      const relation = relationOf(mine, from)
      if (relation === undefined) continue
      const counts = this.#counts[relation]
      const head = headOf(theirs, relation, to)
      const sameHead = head !== null && partner.get(head) === headOf(mine, relation, from)
      const sameRelation = relationOf(theirs, to) === relation
      counts.aligned++
      if (sameHead) counts.sameHead++
      if (sameRelation) counts.sameRelation++
      if (sameHead && sameRelation) counts.agreed++
    }
    this.#words.reference += one.words.length
    this.#words.parse += other.words.length
    this.#words.aligned += pairs.length
    this.#sentences.reference += one.sentences.length
    this.#sentences.parse += other.sentences.length
  }

  finish(): AgreementReport {
    const all = none()
    for (const counts of Object.values(this.#counts))
      for (const key of Object.keys(all) as (keyof Counts)[]) all[key] += counts[key]
    const relations = Object.fromEntries(
      Object.entries({ ...this.#counts, all }).map(([name, counts]) => [name, figures(counts)]),
    ) as AgreementReport['relations']
    return { words: { ...this.#words }, sentences: { ...this.#sentences }, relations }
  }

  #count(word: TreebankWord, scheme: LabelScheme, side: 'reference' | 'parse'): void {
    const relation = relationOf(word, scheme)
    if (relation !== undefined) this.#counts[relation][side]++
  }
}

function relationOf({ row }: TreebankWord, scheme: LabelScheme): SharedRelation | undefined {
  return SHARED_RELATIONS.find((name) => (RELATIONS[name][scheme] as readonly string[]).includes(row.deprel))
}

/** The head as ClearNLP draws it; null for a root. */
function headOf({ parent }: TreebankWord, relation: SharedRelation, scheme: LabelScheme): TreebankWord | null {
  if (scheme === 'clearnlp' || relation !== 'subject' || parent === null) return parent
  return parent.functionalChildren.find(({ deprel }) => deprel === 'cop') ?? parent
}

function figures({ reference, parse, aligned, sameHead, sameRelation, agreed }: Counts): RelationFigures {
  const share = (count: number): number => (aligned === 0 ? 0 : count / aligned)
  return {
    reference,
    parse,
    agreed,
    f1: reference + parse === 0 ? 0 : (2 * agreed) / (reference + parse),
    unlabelled: share(sameHead),
    label: share(sameRelation),
    labelled: share(agreed),
  }
}
