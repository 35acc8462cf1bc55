/**
 * BShift: were two neighbouring words swapped (I) or not (O)? Conneau et al. 2018, with the filters of SentEval's files: the sentence
 * start and punctuation stay, sentences with double quotes are left out. Ours: the two forms differ, and a space stands between them:
 * a word and its clitic ("don't") do not change places. What is grown onto the second word stays where it is ("do they" + "n't").
 */
import type { ProbeBuilder, ProbeContext } from './builder.js'
import { Draws } from './draws.js'
import { hasDoubleQuotes, isPlainWord, type ProbeSentence, spell } from './sentence.js'
import { SentencePools } from './sentence-pools.js'
import type { ProbeSet } from './types.js'

const CLASSES = ['O', 'I']

export class BigramShiftProbe implements ProbeBuilder {
  readonly #draws: Draws
  readonly #pools: SentencePools
  readonly #source: string

  constructor({ seed, sizes, source }: ProbeContext) {
    this.#draws = new Draws(seed, 'BShift')
    this.#source = source
    this.#pools = new SentencePools({ task: 'BShift', draws: this.#draws, sizes, classes: CLASSES, source })
  }

  offer(sentence: ProbeSentence): void {
    const { priority, first, second } = this.#draws.of(sentence.hash)
    const label = first < 0.5 ? 0 : 1
    if (!this.#pools.wants(label, priority)) return
    // Both classes must have a pair, or the sentences themselves would tell the class.
    const pairs = swappablePairs(sentence)
    if (pairs.length === 0) return
    const text = label === 0 ? sentence.text : swapped(sentence, pairs[Math.floor(second * pairs.length)])
    this.#pools.offer(label, priority, sentence.key, text)
  }

  finish(): ProbeSet {
    return { name: 'BShift', kind: 'sentence', source: this.#source, ...this.#pools.finish() }
  }
}

/** Places i whose word may change places with the next one. */
export function swappablePairs(sentence: ProbeSentence): number[] {
  const { lower, spaceAfter } = sentence
  if (hasDoubleQuotes(sentence)) return []
  const pairs: number[] = []
  for (let i = 1; i + 1 < lower.length; i++) {
    if (!spaceAfter[i] || lower[i] === lower[i + 1]) continue
    if (isPlainWord(sentence, i) && isPlainWord(sentence, i + 1)) pairs.push(i)
  }
  return pairs
}

function swapped({ words, spaceAfter }: ProbeSentence, place: number): string {
  const changed = [...words]
  ;[changed[place], changed[place + 1]] = [changed[place + 1], changed[place]]
  return spell(changed, spaceAfter)
}
