/**
 * Tense, SubjNum and ObjNum: properties of the main clause, Conneau et al. 2018. The target forms are of middle frequency and none stands
 * in two splits. The main clause is the root of the dependency tree and its children.
 */
import { type ProbeBuilder, type ProbeContext, tooLittle } from './builder.js'
import { Draws } from './draws.js'
import { type FormSplits, LEAST_FREQUENT, partForms } from './form-splits.js'
import { childrenOf, type ProbeSentence, type ProbeTree } from './sentence.js'
import { SentencePools } from './sentence-pools.js'
import type { ProbeSet } from './types.js'

/** The target word of a sentence and its class; undefined for a sentence that is no candidate. */
export type FindTarget = (tree: ProbeTree) => { word: number; label: number } | undefined

export class MainClauseProbe implements ProbeBuilder {
  readonly #context: ProbeContext
  readonly #name: string
  readonly #classes: readonly string[]
  readonly #find: FindTarget
  readonly #draws: Draws
  readonly #candidates: Map<string, number>[]
  #forms: FormSplits | undefined
  #pools: SentencePools | undefined

  constructor(context: ProbeContext, name: string, classes: readonly string[], find: FindTarget) {
    this.#context = context
    this.#name = name
    this.#classes = classes
    this.#find = find
    this.#draws = new Draws(context.seed, name)
    this.#candidates = classes.map(() => new Map<string, number>())
  }

  count(sentence: ProbeSentence): void {
    const target = this.#find(sentence.tree!)
    if (!target) return
    const form = sentence.lower[target.word]
    const counts = this.#candidates[target.label]
    counts.set(form, (counts.get(form) ?? 0) + 1)
  }

  settle(): void {
    const { sizes, counts, source } = this.#context
    const empty = this.#classes.find((_, label) => this.#candidates[label].size === 0)
    if (empty !== undefined) throw tooLittle(this.#name, source, `no sentence is of class ${empty}`)
    const frequency = (form: string): number => counts.count(form)
    this.#forms = partForms({ candidates: this.#candidates, frequency }, sizes, this.#draws)
    this.#pools = new SentencePools({
      task: this.#name,
      draws: this.#draws,
      sizes,
      classes: this.#classes,
      bySplit: this.#forms.splitOf !== undefined,
      source,
    })
  }

  offer(sentence: ProbeSentence): void {
    const target = this.#find(sentence.tree!)
    if (!target) return
    const { splitOf, rate } = this.#forms!
    const form = sentence.lower[target.word]
    const { priority, first } = this.#draws.of(sentence.hash)
    if (first >= rate(target.label, form)) return
    this.#pools!.offer(target.label, priority, sentence.key, sentence.text, 0, splitOf?.get(form))
  }

  finish(): ProbeSet {
    const { splitOf, leastFrequent, formShare } = this.#forms!
    const finished = this.#pools!.finish()
    const notes: string[] = []
    if (!splitOf) notes.push('the text has too few target forms to keep them apart: training, dev and test share forms')
    else {
      if (leastFrequent < LEAST_FREQUENT) {
        notes.push(`target forms occur at least ${leastFrequent} times in the text (SentEval: 100)`)
      }
      if (formShare === 1) notes.push('one form may make up any part of a class in a split')
      else if (formShare > 0.1) notes.push(`one form makes up ${100 * formShare} % of a class in a split at most`)
    }
    return {
      name: this.#name,
      kind: 'sentence',
      source: this.#context.source,
      ...finished,
      notes: [...notes, ...finished.notes],
    }
  }
}

/** Past (VBD) or present (VBP, VBZ) of the root, where that is the finite verb; features decide where there are no such tags. */
export const mainVerbTense: FindTarget = (tree) => {
  const { root, upos, xpos, feats } = tree
  if (upos[root] !== 'VERB' && upos[root] !== 'AUX') return undefined
  if (xpos[root] === 'VBD') return { word: root, label: 0 }
  if (xpos[root] === 'VBP' || xpos[root] === 'VBZ') return { word: root, label: 1 }
  if (/^[A-Z]{2}/.test(xpos[root])) return undefined
  const features = feats[root].split('|')
  if (!features.includes('VerbForm=Fin')) return undefined
  if (features.includes('Tense=Past')) return { word: root, label: 0 }
  return features.includes('Tense=Pres') ? { word: root, label: 1 } : undefined
}

/** The only subject of the main clause, a common noun without coordination: singular (NN) or plural (NNS). */
export const subjectNumber: FindTarget = (tree) => argumentNumber(tree, ['nsubj', 'nsubjpass', 'csubj', 'csubjpass'])

/** The only direct object of the main clause's verb, likewise. */
export const objectNumber: FindTarget = (tree) =>
  tree.upos[tree.root] === 'VERB' ? argumentNumber(tree, ['obj', 'dobj']) : undefined

function argumentNumber(tree: ProbeTree, relations: readonly string[]): { word: number; label: number } | undefined {
  const children = childrenOf(tree)
  const found = children[tree.root].filter((child) => relations.includes(tree.relations[child]))
  if (found.length !== 1) return undefined
  const [word] = found
  if (tree.relations[word].startsWith('csubj') || children[word].some((child) => tree.relations[child] === 'conj')) {
    return undefined
  }
  const label = nounNumber(tree, word)
  return label === undefined ? undefined : { word, label }
}

function nounNumber({ upos, xpos, feats }: ProbeTree, word: number): number | undefined {
  if (xpos[word] === 'NN') return 0
  if (xpos[word] === 'NNS') return 1
  if (upos[word] !== 'NOUN' || /^[A-Z]{2}/.test(xpos[word])) return undefined
  const features = feats[word].split('|')
  if (features.includes('Number=Sing')) return 0
  return features.includes('Number=Plur') ? 1 : undefined
}
