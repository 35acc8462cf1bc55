/** Relevance ranking: which of a question's candidates is the right one? (Liu et al. 2019, arXiv 1901.11504 §3.1, eq. 8 and 9) */
import type { ColumnChoice, TableFormat } from '../data/index.js'
import type { HeadLabels } from '../data/packed-batch.js'
import { StrataError } from '../errors.js'
import { trainingShare } from './data-share.js'
import type { CandidateQuestion } from './question-candidates.js'
import { rankingEndings, readRankingQuestions, splitQuestions } from './ranking-questions.js'
import { SequencePacker, SequenceSet, type SequenceSetOptions } from './sequence-set.js'
import { isPredictionSplit, resolveTaskFiles } from './task-files.js'
import { TaskNotes } from './task-notes.js'
import type { ExamplePlace, OpenedTask, OpenTaskOptions, TaskDefinition } from './types.js'

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

/** A split: an example is a question, a sequence is one of its candidates. */
export class RankingSet extends SequenceSet {
  readonly questions: readonly CandidateQuestion[]

  /** @internal */
  constructor(options: SequenceSetOptions, questions: readonly CandidateQuestion[]) {
    super(options)
    this.questions = questions
  }
}

type Options = OpenTaskOptions<RankingTaskDefinition>
interface Read extends CandidateQuestion {
  file: string
}

/**
 * Opens a ranking task. A candidate is [CLS] question [SEP] candidate [SEP]; all candidates of a question stand in one batch, which holds
 * at most `sequences` candidates unless one question has more. Questions without exactly one right and one wrong candidate are counted
 * in the notes and left out.
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
      const questions: Read[] = []
      const { maxBadShare, signal } = this.#options
      for (const file of files) {
        const notes: string[] = []
        const request = { definition, file, split, unlabelled, maxBadShare, signal, notes }
        for (const question of await readRankingQuestions(request)) questions.push({ ...question, file })
        this.#notes.warn(...notes)
      }
      if (single) {
        const what = `task ${this.#name} (${this.#options.data}): questions or contexts`
        const { train, dev } = splitQuestions(questions, devShare, seed, what)
        this.#notes.tell(`dev: ${dev.length} of ${questions.length} questions of the one file, drawn by seed ${seed}`)
        if (isWanted('train')) task.train = await this.#train(train)
        if (isWanted('dev')) task.evaluation.dev = await this.#open('dev', dev)
      } else if (split === 'train') task.train = await this.#train(questions)
      else if (questions.some(({ right }) => right < 0)) task.prediction[split] = await this.#open(split, questions)
      else if (unlabelled) task.prediction[split] = await this.#open(split, questions)
      else task.evaluation[split] = await this.#open(split, questions)
    }
    return task
  }

  #train(all: Read[]): Promise<RankingSet> {
    return this.#open('train', trainingShare(all, this.#options, 'questions', this.#notes.notes), true)
  }

  async #open(split: string, questions: Read[], training = false): Promise<RankingSet> {
    const { tokenizer, sequences = 32, sequenceTokens = 128, seed, adapter, head = this.#name, signal } = this.#options
    if (questions.length === 0) {
      throw new StrataError(
        'BAD_DATA',
        `task ${this.#name}: split ${split} has no question with one right and one wrong candidate; at least one was expected`,
        { details: { task: this.#name, split } },
      )
    }
    if (signal?.aborted) throw new StrataError('ABORTED', `opening task ${this.#name} was stopped`)
    const pairs = questions.flatMap(({ question, candidates }) =>
      candidates.map((candidate): readonly [string, string] => [question, candidate]),
    )
    const encoded = await tokenizer.encodeBatch(pairs, { maxTokens: sequenceTokens })
    const packer = new SequencePacker()
    const units = new Uint32Array(questions.length + 1)
    let cut = 0
    let truncated = 0
    questions.forEach(({ candidates }, example) => {
      const before = cut
      for (const _ of candidates) {
        const { tokenIds, segmentIds, truncated: wasCut } = encoded[packer.length]
        if (wasCut) cut++
        packer.add(example, tokenIds, segmentIds.indexOf(1))
      }
      if (cut > before) truncated++
      units[example + 1] = packer.length
    })
    this.#notes.tell(`${split}: ${questions.length} questions with ${packer.length} candidates`)
    if (cut > 0) {
      this.#notes.tell(
        `${split}: ${cut} candidates are longer than ${sequenceTokens} tokens with their question and were cut`,
      )
    }
    const rights = Int32Array.from(questions, ({ right }, example) => (right < 0 ? -1 : units[example] + right))
    const packed = packer.finish()
    const labels = (members: Uint32Array): HeadLabels => ({
      labels: Int32Array.from(members, (sequence) => (rights[packed.examples[sequence]] === sequence ? 1 : 0)),
      groups: Int32Array.from(members, (sequence) => packed.examples[sequence]),
    })
    const places = questions.map(
      ({ file, line, id }): ExamplePlace => (id === undefined ? { file, line } : { file, line, id }),
    )
    const labelled = questions.every(({ right }) => right >= 0)
    const set = { task: this.#name, split, head, adapter, sequences, seed, shuffle: training, labelled, truncated }
    return new RankingSet({ ...set, packed, units, places, labels }, questions)
  }

  #badRecipe(what: string): StrataError {
    return new StrataError('BAD_RECIPE', `task ${this.#name}: ${what}`, { details: { task: this.#name } })
  }
}
