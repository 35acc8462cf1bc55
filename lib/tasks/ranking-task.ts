/** Relevance ranking: which of a question's candidates is the right one? (Liu et al. 2019, arXiv 1901.11504 §3.1, eq. 8 and 9) */
import { type ColumnChoice, RowTally, readSquad, readTable, type TableFormat, tableFormatOf } from '../data/index.js'
import type { HeadLabels } from '../data/packed-batch.js'
import { StrataError } from '../errors.js'
import { drawShare, splitBySeed } from './data-share.js'
import { type CandidateQuestion, sentencePairs } from './question-candidates.js'
import { SequencePacker, SequenceSet, type SequenceSetOptions } from './sequence-set.js'
import { isPredictionSplit, resolveTaskFiles } from './task-files.js'
import type { ExamplePlace, OpenedTask, OpenTaskOptions, TaskDefinition } from './types.js'

export interface RankingTaskDefinition extends TaskDefinition {
  kind: 'ranking'
  /** Columns of a table of pairs, one row a candidate. SQuAD files (.json) need none: questions are paired with sentences. */
  question?: ColumnChoice
  candidate?: ColumnChoice
  label?: ColumnChoice
  /** What the rows of a question have in common; default: the question's text. */
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
  readonly #notes: string[] = []

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
    const endings = definition.question ? ['tsv', 'csv', 'jsonl', 'ndjson', 'parquet'] : ['json']
    const { splits, single } = resolveTaskFiles(this.#name, data, endings, definition.files)
    const isWanted = (split: string): boolean => !wanted || wanted.includes(split)
    const task: OpenedTask = {
      name: this.#name,
      kind: 'ranking',
      head: this.#options.head ?? this.#name,
      metrics: definition.metrics,
      definition,
      evaluation: {},
      prediction: {},
      notes: this.#notes,
    }
    for (const [split, files] of splits) {
      if (!isWanted(split) && !(single && isWanted('dev'))) continue
      const unlabelled = isPredictionSplit(split)
      const questions: Read[] = []
      for (const file of files) {
        const read = definition.question
          ? await this.#readTable(split, file, unlabelled)
          : await this.#readSquad(split, file)
        for (const question of read) questions.push({ ...question, file })
      }
      if (single) {
        // Questions of one paragraph share their candidates: they stay on one side.
        const source = ({ context, line }: Read): number => context ?? line
        const sources = [...new Set(questions.map(source))]
        const parts = splitBySeed(
          sources.length,
          devShare,
          seed,
          `task ${this.#name} (${this.#options.data}): questions or contexts`,
        )
        const held = new Set(pick(sources, parts.dev))
        const dev = questions.filter((question) => held.has(source(question)))
        this.#notes.push(`dev: ${dev.length} of ${questions.length} questions of the one file, drawn by seed ${seed}`)
        if (isWanted('train'))
          task.train = await this.#train(questions.filter((question) => !held.has(source(question))))
        if (isWanted('dev')) task.evaluation.dev = await this.#open('dev', dev)
      } else if (split === 'train') task.train = await this.#train(questions)
      else if (questions.some(({ right }) => right < 0)) task.prediction[split] = await this.#open(split, questions)
      else if (unlabelled) task.prediction[split] = await this.#open(split, questions)
      else task.evaluation[split] = await this.#open(split, questions)
    }
    return task
  }

  async #readSquad(split: string, file: string): Promise<CandidateQuestion[]> {
    const set = await readSquad(file, { maxBadShare: this.#options.maxBadShare })
    if (set.bad > 0) {
      this.#notes.push(
        `${split}: ${set.bad} of ${set.entries} questions of ${file} cannot be used:\n  ${set.problems.join('\n  ')}`,
      )
    }
    const { questions, leftOut } = sentencePairs(set)
    const causes = [
      [leftOut.crossing, 'whose answer crosses the border of two sentences'],
      [leftOut.single, 'whose paragraph has one sentence only'],
      [leftOut.withoutAnswer, 'without an answer'],
    ] as const
    for (const [count, cause] of causes) {
      if (count > 0) this.#notes.push(`${split}: ${count} of ${set.questions.length} questions ${cause} are left out`)
    }
    return questions
  }

  async #readTable(split: string, file: string, unlabelled: boolean): Promise<CandidateQuestion[]> {
    const { maxBadShare, signal, definition } = this.#options
    const {
      question,
      candidate,
      label,
      group,
      positive = ['1'],
      negative = ['0'],
      noLabel = [],
      delimiter,
    } = definition
    const columns = [question!, candidate!, { ...label!, optional: unlabelled || label!.optional }]
    if (group) columns.push(group)
    const tally = new RowTally(file)
    const groups = new Map<
      string,
      { question: string; candidates: string[]; rights: number[]; line: number; labels: number }
    >()
    const format = definition.format ?? tableFormatOf(file)
    for await (const block of readTable({ source: file, format, delimiter, columns, maxBadShare, tally, signal })) {
      for (const { line, cells } of block) {
        const [text, answer, cell] = cells
        const mark = cell === undefined || noLabel.includes(cell.trim()) ? undefined : cell.trim()
        const problem =
          !text?.trim() || !answer?.trim()
            ? 'the question or the candidate is blank'
            : mark === undefined && !unlabelled
              ? 'no label'
              : mark !== undefined && !positive.includes(mark) && !negative.includes(mark)
                ? `label "${mark.slice(0, 60)}"; ${[...positive, ...negative].join(', ')} were expected`
                : undefined
        if (problem !== undefined || !text || !answer) {
          tally.reject(line, problem!)
          continue
        }
        const key = group ? (cells[3] ?? '') : text
        let entry = groups.get(key)
        if (!entry) {
          entry = { question: text, candidates: [], rights: [], line, labels: 0 }
          groups.set(key, entry)
        }
        if (mark !== undefined) entry.labels++
        if (mark !== undefined && positive.includes(mark)) entry.rights.push(entry.candidates.length)
        entry.candidates.push(answer)
      }
    }
    tally.check(maxBadShare ?? 0.05)
    if (tally.bad > 0) {
      this.#notes.push(
        `${split}: ${tally.bad} of ${tally.rows} rows cannot be used and are left out:\n  ${tally.shown()}`,
      )
    }
    const all = [...groups.values()]
    const plain = (entry: (typeof all)[number], right: number): CandidateQuestion => ({
      question: entry.question,
      candidates: entry.candidates,
      right,
      line: entry.line,
    })
    if (unlabelled && all.every(({ labels }) => labels === 0)) return all.map((entry) => plain(entry, -1))
    const usable = all.filter(({ candidates, rights }) => rights.length === 1 && candidates.length > 1)
    if (usable.length < all.length) {
      const none = all.filter(({ rights }) => rights.length === 0).length
      const several = all.filter(({ rights }) => rights.length > 1).length
      this.#notes.push(
        `${split}: ${all.length - usable.length} of ${all.length} questions are left out: ${none} without a right candidate, ${several} with several, ${all.length - usable.length - none - several} without a wrong one`,
      )
    }
    return usable.map((entry) => plain(entry, entry.rights[0]))
  }

  async #train(all: Read[]): Promise<RankingSet> {
    const { fraction = 1, seed, drawSeed = seed } = this.#options
    if (fraction === 1) return this.#open('train', all, true)
    const drawn = drawShare(all.length, fraction, drawSeed)
    this.#notes.push(
      `train: ${drawn.length} of ${all.length} questions (fraction ${fraction}, drawn by seed ${drawSeed})`,
    )
    return this.#open('train', pick(all, drawn), true)
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
    this.#notes.push(`${split}: ${questions.length} questions with ${packer.length} candidates`)
    if (cut > 0) {
      this.#notes.push(
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

function pick<T>(all: readonly T[], chosen: Uint32Array): T[] {
  return Array.from(chosen, (index) => all[index])
}
