/** Relevance ranking: which of a question's candidates is the right one? (Liu et al. 2019, arXiv 1901.11504 §3.1, eq. 8 and 9) */
import { type ColumnChoice, RowTally, type TableFormat } from '../data/index.js'
import { StrataError } from '../errors.js'
import { trainingShare } from './data-share.js'
import { EncodingQueue } from './encoding-queue.js'
import { ExampleBuilder } from './example-builder.js'
import type { FileCounts } from './example-folder.js'
import type { CandidateQuestion } from './question-candidates.js'
import {
  rankingEndings,
  readPairRows,
  readRankingQuestions,
  splitQuestions,
  usableQuestions,
} from './ranking-questions.js'
import { candidateTarget, type RankingSet, rankingSet, type StoredQuestions, storedQuestions } from './ranking-set.js'
import { isPredictionSplit, resolveTaskFiles } from './task-files.js'
import { TaskNotes } from './task-notes.js'
import { describeTally } from './task-rows.js'
import type { OpenedTask, OpenTaskOptions, TaskDefinition } from './types.js'

export interface RankingTaskDefinition extends TaskDefinition {
  kind: 'ranking'
  /** Columns of a table of pairs, one row a candidate. SQuAD files (.json) need none: questions are paired with sentences. */
  question?: ColumnChoice
  candidate?: ColumnChoice
  label?: ColumnChoice
  /** What the rows of a question have in common; a blank one makes a bad row. Default: the question's text. */
  group?: ColumnChoice
  /** What the label of the right candidate is; default `1`. */
  positive?: readonly string[]
  /** What the label of another candidate is; default `0`. Any other label makes a bad row. */
  negative?: readonly string[]
  /** Labels that mean "none", in sets for predictions. */
  noLabel?: readonly string[]
  /** Default: by each file's name. */
  format?: TableFormat
  delimiter?: string
  /** Of TSV and CSV: whether the first row names the columns. Default: yes when a column is given by name. */
  header?: boolean
  /** Files of an official folder: names without ending by split. */
  files?: Readonly<Record<string, readonly string[]>>
}

/** SQuAD's questions, each with the sentences of its paragraph. */
export const SQUAD_RANKING: RankingTaskDefinition = {
  name: 'SQuAD-ranking',
  kind: 'ranking',
  metrics: ['accuracyAt1', 'meanReciprocalRank'],
  files: {
    train: ['train-v1.1', 'train-v2.0', 'train'],
    dev: ['dev-v1.1', 'dev-v2.0', 'dev', 'validation'],
  },
}

/** QNLI's rows by question. Version 1 has one right and one wrong sentence a question; most questions of version 2 lack one of them. */
export const QNLI_RANKING: RankingTaskDefinition = {
  name: 'QNLI-ranking',
  kind: 'ranking',
  metrics: ['accuracyAt1', 'meanReciprocalRank'],
  question: { names: ['question', 'sentence1'] },
  candidate: { names: ['sentence', 'sentence2'] },
  label: { names: ['label'] },
  positive: ['entailment', '0'],
  negative: ['not_entailment', '1'],
  noLabel: ['-1', '-'],
}

type Options = OpenTaskOptions<RankingTaskDefinition>

/**
 * Opens a ranking task. A candidate is [CLS] question [SEP] candidate [SEP]; all candidates of a question stand in one batch, which holds
 * at most `sequences` candidates unless one question has more. Tables are tokenised row by row and kept in memory or, from `memoryBytes`
 * on, in files (see ExampleStore). Questions without exactly one right and one wrong candidate are counted in the notes and left out.
 *
 * Throws what `readSquad` and `readTable` throw, and BAD_DATA when no question is left.
 */
export async function openRankingTask(options: Options): Promise<OpenedTask> {
  return new Opening(options).open()
}

class Opening {
  readonly #options: Options
  readonly #name: string
  readonly #notes = new TaskNotes()

  constructor(options: Options) {
    this.#options = options
    const { definition } = options
    this.#name = options.name ?? definition.name
    for (const metric of definition.metrics) {
      if (metric === 'accuracyAt1' || metric === 'meanReciprocalRank') continue
      throw this.#badRecipe(`metric ${metric} does not fit a ranking; accuracyAt1, meanReciprocalRank were expected`)
    }
    const given = [definition.question, definition.candidate, definition.label].filter((column) => column).length
    if (given !== 0 && given !== 3) {
      throw this.#badRecipe(
        'columns question, candidate and label belong together; name all three, or none for SQuAD files',
      )
    }
  }

  async open(): Promise<OpenedTask> {
    const { definition, data, splits: wanted, seed, devShare = 0.1 } = this.#options
    const { splits, single } = resolveTaskFiles(this.#name, data, rankingEndings(definition), definition.files)
    const isWanted = (split: string): boolean => !wanted || wanted.includes(split)
    const task: OpenedTask = {
      name: this.#name,
      kind: 'ranking',
      head: this.#options.head ?? this.#name,
      metrics: definition.metrics,
      definition,
      evaluation: {},
      prediction: {},
      ...this.#notes,
    }
    for (const [split, files] of splits) {
      if (!isWanted(split) && !(single && isWanted('dev'))) continue
      const unlabelled = isPredictionSplit(split)
      const { stored, usable, contexts } = await this.#read(split, files, unlabelled)
      if (single) {
        const what = `task ${this.#name} (${this.#options.data}): questions or contexts`
        const asked = usable.map((number) => ({ number, line: number, context: contexts?.[number] }))
        const { train, dev } = splitQuestions(asked, devShare, seed, what)
        const numbers = (part: typeof asked): number[] => part.map(({ number }) => number)
        this.#notes.tell(`dev: ${dev.length} of ${usable.length} questions of the one file, drawn by seed ${seed}`)
        if (isWanted('train')) task.train = this.#train(stored, numbers(train))
        if (isWanted('dev')) task.evaluation.dev = this.#set('dev', stored, numbers(dev))
      } else if (split === 'train') task.train = this.#train(stored, usable)
      else {
        const hidden = usable.some((question) => stored.rights[question] < 0)
        const sets = hidden || unlabelled ? task.prediction : task.evaluation
        sets[split] = this.#set(split, stored, usable)
      }
    }
    return task
  }

  /** A split's candidates, tokenised, and which of its questions can be used; of SQuAD files also the context of each. */
  async #read(
    split: string,
    files: readonly string[],
    unlabelled: boolean,
  ): Promise<{ stored: StoredQuestions; usable: number[]; contexts?: (string | undefined)[] }> {
    const { definition, tokenizer, sequenceTokens = 128, maxBadShare, signal } = this.#options
    const { memoryBytes, cacheDirectory } = this.#options
    const { name: _, ...origin } = definition
    const builder = new ExampleBuilder({
      task: this.#name,
      files,
      vocabSize: tokenizer.vocabSize,
      memoryBytes,
      cacheDirectory,
      origin: { definition: origin, tokenizer: tokenizer.fingerprint, sequenceTokens, maxBadShare, unlabelled },
      signal,
    })
    const squad = definition.question ? undefined : await this.#readSquad(split, files)
    const found = await builder.find()
    let store = found?.store
    let counts = found?.counts
    if (!store || !counts) {
      try {
        const queue = new EncodingQueue(builder, tokenizer, sequenceTokens, squad !== undefined)
        counts = await (squad ? addQuestions(squad, builder, queue) : this.#addPairs(files, unlabelled, builder, queue))
        store = await builder.finish({ counts })
      } finally {
        builder.discard()
      }
    }
    const stored = storedQuestions(store)
    const usable: number[] = []
    counts.forEach(({ firstExample, rows, bad, problems }, index) => {
      const told = describeTally(split, Object.assign(new RowTally(files[index]), { rows, bad, problems }))
      if (told) this.#notes.warn(told)
      // Questions are numbered file by file.
      const numberAt = (row: number | undefined): number => stored.questionOf(row ?? store.targets.length)
      const [first, end] = [numberAt(firstExample), numberAt(counts[index + 1]?.firstExample)]
      const own = usableQuestions(stored.counts.slice(first, end), split, unlabelled)
      if (own.note) this.#notes.warn(own.note)
      for (const number of own.usable) usable.push(first + number)
    })
    return { stored, usable, contexts: squad?.flat().map(({ context }) => context) }
  }

  async #readSquad(split: string, files: readonly string[]): Promise<CandidateQuestion[][]> {
    const { definition, maxBadShare, signal } = this.#options
    const byFile: CandidateQuestion[][] = []
    for (const file of files) {
      const notes: string[] = []
      byFile.push(await readRankingQuestions({ definition, file, split, maxBadShare, signal, notes }))
      this.#notes.warn(...notes)
      this.#checkRunning()
    }
    return byFile
  }

  /** Tokenises tables row by row; what memory holds are the different questions. */
  async #addPairs(
    files: readonly string[],
    unlabelled: boolean,
    builder: ExampleBuilder,
    queue: EncodingQueue,
  ): Promise<FileCounts[]> {
    const { definition, maxBadShare, signal } = this.#options
    const counts: FileCounts[] = []
    let count = 0
    for (const file of files) {
      const tally = new RowTally(file)
      const firstExample = builder.count
      const asked = new Map<string, { number: number; question: string }>()
      for await (const block of readPairRows({ definition, file, unlabelled, maxBadShare, signal }, tally)) {
        this.#checkRunning()
        for (const { line, question, candidate, key, mark } of block) {
          let known = asked.get(key)
          if (!known) {
            known = { number: count++, question }
            asked.set(key, known)
          }
          const label = candidateTarget(known.number, mark)
          await queue.add({ line, texts: [known.question, candidate], label, kept: candidate })
        }
      }
      await queue.flush()
      const { rows, bad, problems } = tally
      counts.push({ firstExample, rows, bad, problems, unlabelled: 0 })
    }
    return counts
  }

  #train(stored: StoredQuestions, all: number[]): RankingSet {
    return this.#set('train', stored, trainingShare(all, this.#options, 'questions', this.#notes.notes), true)
  }

  #set(split: string, stored: StoredQuestions, questions: readonly number[], shuffle = false): RankingSet {
    const { sequences = 32, sequenceTokens = 128, seed, adapter, head = this.#name } = this.#options
    if (questions.length === 0) {
      throw new StrataError(
        'BAD_DATA',
        `task ${this.#name}: split ${split} has no question with one right and one wrong candidate; at least one was expected`,
        { details: { task: this.#name, split } },
      )
    }
    const options = { task: this.#name, split, head, adapter, sequences, seed, shuffle }
    const { set, candidates, cut } = rankingSet(stored, Uint32Array.from(questions), options)
    this.#notes.tell(`${split}: ${questions.length} questions with ${candidates} candidates`)
    if (cut > 0) {
      this.#notes.tell(
        `${split}: ${cut} candidates are longer than ${sequenceTokens} tokens with their question and were cut`,
      )
    }
    return set
  }

  #checkRunning(): void {
    if (this.#options.signal?.aborted) throw new StrataError('ABORTED', `opening task ${this.#name} was stopped`)
  }

  #badRecipe(what: string): StrataError {
    return new StrataError('BAD_RECIPE', `task ${this.#name}: ${what}`, { details: { task: this.#name } })
  }
}

/** Tokenises the candidates of questions that were read. */
async function addQuestions(
  byFile: readonly (readonly CandidateQuestion[])[],
  builder: ExampleBuilder,
  queue: EncodingQueue,
): Promise<FileCounts[]> {
  const counts: FileCounts[] = []
  let number = 0
  for (const questions of byFile) {
    counts.push({ firstExample: builder.count, rows: 0, bad: 0, problems: [], unlabelled: 0 })
    for (const { question, candidates, right, line, id } of questions) {
      for (const [index, candidate] of candidates.entries()) {
        const label = candidateTarget(number, index === right ? 'right' : 'wrong')
        await queue.add({ line, id, texts: [question, candidate], label, kept: candidate })
      }
      number++
    }
    await queue.flush()
  }
  return counts
}
