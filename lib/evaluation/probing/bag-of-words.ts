/**
 * The control that knows the words and nothing of an encoder: counts of a sentence's words, lower-cased. Of a token or pair probe also
 * which words are asked about, apart from the rest of the sentence.
 */
import type { SparseProbeData, SparseSplitData } from '../../model/index.js'
import type { ProbeSet, ProbeSplit } from '../../tasks/index.js'

/** Weights of the classifier, features times classes: bounds its memory. */
const MOST_WEIGHTS = 4_000_000
const MOST_WORDS = 20_000

/** Words and single marks of punctuation. */
const WORD = /[\p{L}\p{M}\p{N}]+|[^\s\p{L}\p{M}\p{N}]/gu

type Bag = Map<string, number>

/** Counts of the training words that are most frequent: at most 20,000, fewer where there are many classes. */
export function bagOfWords(set: ProbeSet): SparseProbeData {
  const bags = { train: bagsOf(set, 'train'), dev: bagsOf(set, 'dev'), test: bagsOf(set, 'test') }
  const counts = new Map<string, number>()
  for (const { bag } of bags.train) for (const word of bag.keys()) counts.set(word, (counts.get(word) ?? 0) + 1)
  const size = Math.max(1, Math.min(MOST_WORDS, Math.floor(MOST_WEIGHTS / set.classes.length)))
  const words = [...counts]
    .sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))
    .slice(0, size)
    .map(([word]) => word)
  const number = new Map(words.map((word, index) => [word, index]))
  const split = (name: ProbeSplit) => sparse(bags[name], number)
  return { train: split('train'), dev: split('dev'), test: split('test'), width: Math.max(1, words.length) }
}

function sparse(bags: { bag: Bag; label: number }[], number: ReadonlyMap<string, number>): SparseSplitData {
  const offsets = new Int32Array(bags.length + 1)
  const features: number[] = []
  const values: number[] = []
  bags.forEach(({ bag }, index) => {
    for (const [word, count] of bag) {
      const feature = number.get(word)
      if (feature === undefined) continue
      features.push(feature)
      values.push(count)
    }
    offsets[index + 1] = features.length
  })
  return {
    offsets,
    features: Int32Array.from(features),
    values: Float32Array.from(values),
    labels: Int32Array.from(bags, ({ label }) => label),
  }
}

function bagsOf(set: ProbeSet, split: ProbeSplit): { bag: Bag; label: number }[] {
  if (set.kind === 'sentence')
    return set.splits[split].map(({ text, label }) => ({ bag: counted(text.toLowerCase().match(WORD) ?? []), label }))
  const role = (name: string, word: string): [string, number] => [`${name}\t${word.toLowerCase()}`, 1]
  if (set.kind === 'token') {
    return set.splits[split].flatMap(({ words, targets }) => {
      const bag = counted(words.map((word) => word.toLowerCase()))
      return targets.map(({ word, label }) => ({ bag: new Map([...bag, role('word', words[word])]), label }))
    })
  }
  return set.splits[split].flatMap(({ words, pairs }) => {
    const bag = counted(words.map((word) => word.toLowerCase()))
    return pairs.map(({ first, second, label }) => ({
      bag: new Map([...bag, role('first', words[first]), role('second', words[second])]),
      label,
    }))
  })
}

function counted(words: readonly string[]): Bag {
  const bag: Bag = new Map()
  for (const word of words) bag.set(word, (bag.get(word) ?? 0) + 1)
  return bag
}
