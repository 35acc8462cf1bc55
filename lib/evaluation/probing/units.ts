/**
 * What the probes read of a frozen encoder. A *unit* is one vector a layer: a sentence pooled, or one word (the mean over its
 * pieces). Sets that hold the same sentence share its units, so it is encoded once.
 */
import type { ProbeSet, ProbeSplit } from '../../tasks/index.js'

/** A place in a text whose state is read: a word's characters, or the pooled sentence. */
export interface PlannedUnit {
  unit: number
  /** Characters of the word in the text, end exclusive; missing = the whole sentence. */
  characters?: [start: number, end: number]
}

/** Examples of a set as numbers. */
export interface SetExamples {
  /** Units of each example side by side, (N · parts). */
  rows: Int32Array
  labels: Int32Array
  /** Of token probes: the word of each example, in lower case. */
  words?: string[]
}

export interface PlannedSet {
  set: ProbeSet
  parts: 1 | 2
  splits: Record<ProbeSplit, SetExamples>
}

const SPLITS: readonly ProbeSplit[] = ['train', 'dev', 'test']

/** Gives numbers to the units of some sets. */
export class UnitPlan {
  /** By text. */
  readonly texts = new Map<string, PlannedUnit[]>()
  #count = 0

  get count(): number {
    return this.#count
  }

  add(set: ProbeSet): PlannedSet {
    const splits = {} as Record<ProbeSplit, SetExamples>
    for (const split of SPLITS) splits[split] = this.#examples(set, split)
    return { set, parts: set.kind === 'pair' ? 2 : 1, splits }
  }

  #examples(set: ProbeSet, split: ProbeSplit): SetExamples {
    const rows: number[] = []
    const labels: number[] = []
    const words: string[] = []
    if (set.kind === 'sentence') {
      for (const { text, label } of set.splits[split]) {
        rows.push(this.#unit(text))
        labels.push(label)
      }
    } else if (set.kind === 'token') {
      for (const example of set.splits[split]) {
        const { text, starts } = spelled(example)
        for (const { word, label } of example.targets) {
          rows.push(this.#unit(text, [starts[word], starts[word] + example.words[word].length]))
          labels.push(label)
          words.push(example.words[word].toLowerCase())
        }
      }
    } else {
      for (const example of set.splits[split]) {
        const { text, starts } = spelled(example)
        const unit = (word: number) => this.#unit(text, [starts[word], starts[word] + example.words[word].length])
        for (const { first, second, label } of example.pairs) {
          rows.push(unit(first), unit(second))
          labels.push(label)
        }
      }
    }
    return {
      rows: Int32Array.from(rows),
      labels: Int32Array.from(labels),
      words: set.kind === 'token' ? words : undefined,
    }
  }

  #unit(text: string, characters?: [number, number]): number {
    let units = this.texts.get(text)
    if (!units) {
      units = []
      this.texts.set(text, units)
    }
    const known = units.find(
      (unit) => unit.characters?.[0] === characters?.[0] && unit.characters?.[1] === characters?.[1],
    )
    if (known) return known.unit
    const unit = this.#count++
    units.push({ unit, characters })
    return unit
  }
}

/** The text that words and spaces spell, and where each word begins. */
function spelled({ words, spaceAfter }: { words: readonly string[]; spaceAfter: readonly boolean[] }) {
  let text = ''
  const starts = words.map((word, index) => {
    const start = text.length
    text += word + (spaceAfter[index] && index < words.length - 1 ? ' ' : '')
    return start
  })
  return { text, starts }
}
