/** A split of a ranking out of tokenised candidates, which lie in memory or, where they are many, in mapped files. */
import type { HeadLabels } from '../data/packed-batch.js'
import { type ExampleStore, exampleId, exampleText } from './example-store.js'
import type { CandidateMark, QuestionCounts } from './ranking-questions.js'
import { SequenceSet, type SequenceSetOptions } from './sequence-set.js'
import type { ExamplePlace } from './types.js'

const MARKS: readonly CandidateMark[] = ['wrong', 'right', 'none']

/** A candidate's target in the store: its question's number and what is said of it. */
export function candidateTarget(question: number, mark: CandidateMark): number {
  return MARKS.length * question + MARKS.indexOf(mark)
}

/** The questions of a store by their numbers. Legend: Q questions, N candidates. */
export interface StoredQuestions {
  store: ExampleStore
  /** The store's rows by question, in the order of the files, shape (N). */
  rows: Uint32Array
  /** Where each question's begin in `rows`, and the end, shape (Q + 1). */
  starts: Uint32Array
  /** Index of the (first) right candidate among the question's, -1 = none; shape (Q). */
  rights: Int32Array
  counts: QuestionCounts[]
  /** The question of a row; the number of questions behind the last one. */
  questionOf: (row: number) => number
}

/** Gathers the candidates of each question, wherever in their file they stand. */
export function storedQuestions(store: ExampleStore): StoredQuestions {
  const total = store.targets.length
  const counts: QuestionCounts[] = []
  const questionOf = (row: number): number =>
    row < total ? Math.floor(store.targets[row] / MARKS.length) : counts.length
  const right: number[] = []
  for (let row = 0; row < total; row++) {
    const question = questionOf(row)
    counts[question] ??= { candidates: 0, rights: 0, labels: 0 }
    const own = counts[question]
    const mark = MARKS[store.targets[row] % MARKS.length]
    if (mark !== 'none') own.labels++
    right[question] ??= -1
    if (mark === 'right' && own.rights++ === 0) right[question] = own.candidates
    own.candidates++
  }
  const starts = new Uint32Array(counts.length + 1)
  counts.forEach(({ candidates }, question) => {
    starts[question + 1] = starts[question] + candidates
  })
  const rows = new Uint32Array(total)
  const next = starts.slice()
  for (let row = 0; row < total; row++) rows[next[questionOf(row)]++] = row
  return { store, rows, starts, rights: Int32Array.from(right), counts, questionOf }
}

/** A question as the scorer needs it. */
export interface RankedQuestion {
  candidates: string[]
  /** Index of the right candidate; -1 in a set without labels. */
  right: number
}

/** A split: an example is a question, a sequence is one of its candidates. */
export class RankingSet extends SequenceSet {
  readonly #question: (example: number) => RankedQuestion
  /** Folder of the files that hold the candidates; undefined when memory does. */
  readonly directory: string | undefined

  /** @internal */
  constructor(options: SequenceSetOptions, question: (example: number) => RankedQuestion, directory?: string) {
    super(options)
    this.#question = question
    this.directory = directory
  }

  /** Question 0 ≤ `example` < {@link examples}. */
  question(example: number): RankedQuestion {
    return this.#question(example)
  }

  /** All of them, read anew. */
  get questions(): readonly RankedQuestion[] {
    return Array.from({ length: this.examples }, (_, example) => this.#question(example))
  }
}

type RankingSetOptions = Pick<
  SequenceSetOptions,
  'task' | 'split' | 'head' | 'adapter' | 'sequences' | 'seed' | 'shuffle'
>

/** The set of some questions of a store, in their order; how many candidates they have, and how many of these were cut. */
export function rankingSet(
  stored: StoredQuestions,
  chosen: Uint32Array,
  options: RankingSetOptions,
): { set: RankingSet; candidates: number; cut: number } {
  const { store, starts } = stored
  const units = new Uint32Array(chosen.length + 1)
  chosen.forEach((question, example) => {
    units[example + 1] = units[example] + starts[question + 1] - starts[question]
  })
  const rows = new Uint32Array(units[chosen.length])
  const examples = new Uint32Array(rows.length)
  let cut = 0
  let truncated = 0
  chosen.forEach((question, example) => {
    const own = stored.rows.subarray(starts[question], starts[question + 1])
    rows.set(own, units[example])
    examples.fill(example, units[example], units[example + 1])
    const ownCut = own.reduce((sum, row) => sum + store.truncated[row], 0)
    cut += ownCut
    if (ownCut > 0) truncated++
  })
  const right = (example: number): number => stored.rights[chosen[example]]
  const labels = (members: Uint32Array): HeadLabels => ({
    labels: Int32Array.from(members, (sequence) => {
      const example = examples[sequence]
      return sequence - units[example] === right(example) ? 1 : 0
    }),
    groups: Int32Array.from(members, (sequence) => examples[sequence]),
  })
  const placeOf = (example: number): ExamplePlace | undefined => {
    const row = rows[units[example]]
    if (row === undefined) return undefined
    const { file } = store.files.findLast(({ firstExample }) => firstExample <= row)!
    const id = exampleId(store, row)
    return { file, line: store.lines[row], ...(id !== undefined && { id }) }
  }
  const question = (example: number): RankedQuestion => ({
    candidates: Array.from(rows.subarray(units[example], units[example + 1]), (row) => exampleText(store, row)),
    right: right(example),
  })
  const { tokenIds, offsets, secondStarts } = store
  const packed = { tokenIds, offsets, segmentBorders: secondStarts, rows, examples }
  const places = { length: chosen.length, at: placeOf }
  const labelled = chosen.every((number) => stored.rights[number] >= 0)
  const set = new RankingSet(
    { ...options, packed, units, places, labels, labelled, truncated },
    question,
    store.directory,
  )
  return { set, candidates: rows.length, cut }
}
