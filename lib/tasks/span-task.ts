/** Extractive question answering: SQuAD 1.1 and 2.0, and a user's own data in their layout. */
import { readSquad, type SquadQuestion, type SquadSet } from '../data/index.js'
import type { HeadLabels } from '../data/packed-batch.js'
import { StrataError } from '../errors.js'
import type { Tokenizer, TokenOffsets } from '../text/index.js'
import { splitBySeed, trainingShare } from './data-share.js'
import { SequencePacker, SequenceSet, type SequenceSetOptions } from './sequence-set.js'
import type { SpanWindow } from './span-decoding.js'
import { tokensOfSpan, type WindowSizes, windowSizes, windowsOf } from './span-windows.js'
import { isPredictionSplit, resolveTaskFiles } from './task-files.js'
import { TaskNotes } from './task-notes.js'
import type { ExamplePlace, OpenedTask, OpenTaskOptions, TaskDefinition } from './types.js'

export interface SpanTaskDefinition extends TaskDefinition, WindowSizes {
  kind: 'span'
  /** A context may have no answer (SQuAD 2.0). Default false. */
  noAnswer?: boolean
  /** Longest answer in tokens; default 30. */
  maxAnswerTokens?: number
  /** Length of the list of candidates; default 20. */
  nBest?: number
  /** "" is answered when [CLS] scores higher than the best span by more than this; default 0. */
  noAnswerThreshold?: number
  /** Files of an official folder: names without ending by split. */
  files?: Readonly<Record<string, readonly string[]>>
}

/** Endings of the files, in the order in which a folder is searched. */
export const SQUAD_ENDINGS = ['json', 'jsonl', 'ndjson', 'parquet']

/** Every question has an answer. The main metric is F1. */
export const SQUAD_11: SpanTaskDefinition = {
  name: 'SQuAD-1.1',
  kind: 'span',
  metrics: ['f1', 'exactMatch'],
  sequenceTokens: 384,
  files: { train: ['train-v1.1', 'train'], dev: ['dev-v1.1', 'dev', 'validation'], test: ['test-v1.1', 'test'] },
}

/** A third of the training questions has no answer in its context. */
export const SQUAD_20: SpanTaskDefinition = {
  name: 'SQuAD-2.0',
  kind: 'span',
  metrics: ['f1', 'exactMatch'],
  sequenceTokens: 384,
  noAnswer: true,
  files: { train: ['train-v2.0', 'train'], dev: ['dev-v2.0', 'dev', 'validation'], test: ['test-v2.0', 'test'] },
}

/** A question as the scorer needs it. */
export interface SpanQuestion {
  id: string
  context: string
  /** Texts of the right answers; empty when there is none. */
  answers: readonly { text: string }[]
  /** Characters of the context's tokens, in UTF-16 units, shape (T). */
  starts: Int32Array
  ends: Int32Array
  /** First of its sequences in the set, and how many there are. */
  firstSequence: number
  windows: readonly SpanWindow[]
}

/** A split: an example is a question, a sequence is one window of its context. */
export class SpanSet extends SequenceSet {
  readonly questions: readonly SpanQuestion[]

  /** @internal */
  constructor(options: SequenceSetOptions, questions: readonly SpanQuestion[]) {
    super(options)
    this.questions = questions
  }
}

type Options = OpenTaskOptions<SpanTaskDefinition>

/**
 * Opens a span task. `sequenceTokens` of the options (else of the definition, else 384) is a window's length. A training window
 * without the whole answer points at [CLS]. One file is split by its contexts, so that no context stands on both sides.
 *
 * Training questions whose answer stands elsewhere than the file says, gives no token or fits into no window are bad questions: counted,
 * shown, refused beyond `maxBadShare` as BAD_DATA. Of held-out ones the text alone counts, as in the official scripts: they are scored.
 * Throws also what `readSquad` throws, and BAD_RECIPE on sizes that leave no room.
 */
export async function openSpanTask(options: Options): Promise<OpenedTask> {
  return new Opening(options).open()
}

class Opening {
  readonly #options: Options
  readonly #name: string
  readonly #sizes: Required<WindowSizes>
  readonly #notes = new TaskNotes()

  constructor(options: Options) {
    this.#options = options
    const { definition } = options
    this.#name = options.name ?? definition.name
    for (const metric of definition.metrics) {
      if (metric === 'f1' || metric === 'exactMatch') continue
      throw new StrataError(
        'BAD_RECIPE',
        `task ${this.#name}: metric ${metric} does not fit spans; f1, exactMatch were expected`,
      )
    }
    const { sequenceTokens = definition.sequenceTokens } = options
    this.#sizes = windowSizes(this.#name, { ...definition, sequenceTokens })
  }

  async open(): Promise<OpenedTask> {
    const { definition, data, splits: wanted, seed, devShare = 0.1 } = this.#options
    const { splits, single } = resolveTaskFiles(this.#name, data, SQUAD_ENDINGS, definition.files)
    const isWanted = (split: string): boolean => !wanted || wanted.includes(split)
    const task: OpenedTask = {
      name: this.#name,
      kind: 'span',
      head: this.#options.head ?? this.#name,
      metrics: definition.metrics,
      // Whoever answers with the trained model needs the windows that it was trained on.
      definition: { ...definition, ...this.#sizes } as SpanTaskDefinition,
      evaluation: {},
      prediction: {},
      ...this.#notes,
    }
    for (const [split, files] of splits) {
      if (!isWanted(split) && !(single && isWanted('dev'))) continue
      const forPredictions = isPredictionSplit(split)
      const { questions: data, labelled } = await this.#read(split, files, forPredictions, split !== 'train' || single)
      if (single) {
        const contexts = [...new Set(data.map(({ context }) => context))]
        const parts = splitBySeed(
          contexts.length,
          devShare,
          seed,
          `task ${this.#name} (${this.#options.data}): contexts`,
        )
        const held = new Set([...parts.dev].map((index) => contexts[index]))
        const dev = data.filter(({ context }) => held.has(context))
        this.#notes.tell(
          `dev: ${dev.length} of ${data.length} questions of the one file, all those of ${held.size} contexts drawn by seed ${seed}`,
        )
        if (isWanted('train')) task.train = await this.#train(data.filter(({ context }) => !held.has(context)))
        if (isWanted('dev')) task.evaluation.dev = await this.#open('dev', dev, {})
      } else if (split === 'train') task.train = await this.#train(data)
      else if (forPredictions) task.prediction[split] = await this.#open(split, data, { unlabelled: !labelled })
      else task.evaluation[split] = await this.#open(split, data, {})
    }
    return task
  }

  async #read(
    split: string,
    files: readonly string[],
    unlabelled: boolean,
    scoring: boolean,
  ): Promise<{ questions: Read[]; labelled: boolean }> {
    const { maxBadShare, definition, signal } = this.#options
    const questions: Read[] = []
    let labelled = true
    for (const file of files) {
      if (signal?.aborted) throw new StrataError('ABORTED', `opening task ${this.#name} was stopped`)
      const set = await readSquad(file, { maxBadShare, unlabelled, scoring, noAnswer: definition.noAnswer ?? false })
      if (set.bad > 0) this.#notes.warn(badNote(split, set))
      for (const question of set.questions) {
        questions.push({ question, context: set.contexts[question.context].text, file })
      }
      labelled &&= set.labelled
    }
    return { questions, labelled }
  }

  #train(all: Read[]): Promise<SpanSet> {
    return this.#open('train', trainingShare(all, this.#options, 'questions', this.#notes.notes), { training: true })
  }

  async #open(split: string, data: Read[], how: { training?: boolean; unlabelled?: boolean }): Promise<SpanSet> {
    const { tokenizer, sequences = 32, seed, adapter, maxBadShare = 0.05, head = this.#name } = this.#options
    const contexts = await encodeOnce(tokenizer, data, ({ context }) => context)
    const asked = await encodeOnce(tokenizer, data, ({ question }) => question.question)
    const { clsId, sepId } = tokenizer.specialTokens
    const packer = new SequencePacker()
    const questions: SpanQuestion[] = []
    const places: ExamplePlace[] = []
    const spans: { start: number; end: number }[] = []
    const problems: string[] = []
    const flaws: string[] = []
    let truncated = 0
    let withoutAnswer = 0
    for (const { question, context, file } of data) {
      const { tokenIds: contextIds, starts, ends } = contexts.get(context)!
      const questionIds = asked.get(question.question)!.tokenIds
      const windows = windowsOf(contextIds.length, questionIds.length, this.#sizes)
      const [answer] = question.answers
      const isPlaced = answer !== undefined && answer.start >= 0
      const place = isPlaced ? tokensOfSpan(starts, ends, answer.start, answer.start + answer.text.length) : undefined
      const labels = windows.map((window) => placeInWindow(window, place))
      if (question.flaw !== undefined) {
        const flaw = `${file}: question ${question.id}: ${question.flaw}`
        if (how.training) {
          problems.push(flaw)
          continue
        }
        flaws.push(flaw)
      }
      if (how.training && answer && labels.every(({ start }) => start === 0)) {
        const what = place
          ? `has ${place.last - place.first + 1} tokens and fits into no window of ${this.#sizes.sequenceTokens} (sequenceTokens, stride)`
          : 'gives no token'
        problems.push(
          `${file}: question ${question.id}: the answer ${JSON.stringify(answer.text.slice(0, 60))} ${what}`,
        )
        continue
      }
      if (questionIds.length > this.#sizes.questionTokens) truncated++
      if (!answer) withoutAnswer++
      const firstSequence = packer.length
      for (const { firstToken, tokens, contextPlace } of windows) {
        const ids = new Int32Array(contextPlace + tokens + 1)
        ids[0] = clsId
        ids.set(questionIds.subarray(0, contextPlace - 2), 1)
        ids[contextPlace - 1] = sepId
        ids.set(contextIds.subarray(firstToken, firstToken + tokens), contextPlace)
        ids[ids.length - 1] = sepId
        packer.add(questions.length, ids, contextPlace)
      }
      spans.push(...labels)
      questions.push({ id: question.id, context, answers: question.answers, starts, ends, firstSequence, windows })
      places.push({ file, line: question.number, id: question.id })
    }
    this.#checkProblems(split, problems, data.length, maxBadShare)
    if (flaws.length > 0) {
      this.#notes.warn(
        `${split}: ${flaws.length} of ${data.length} questions have flaws and are scored by their texts, as the official script does:\n  ${shown(flaws)}`,
      )
    }
    const { sequenceTokens, stride, questionTokens } = this.#sizes
    this.#notes.tell(
      `${split}: ${questions.length} questions${this.#options.definition.noAnswer && !how.unlabelled ? ` (${withoutAnswer} without an answer)` : ''} in ${packer.length} windows of at most ${sequenceTokens} tokens, stride ${stride}`,
    )
    if (truncated > 0) {
      this.#notes.tell(`${split}: ${truncated} questions are longer than ${questionTokens} tokens and were cut`)
    }
    const labels = (members: Uint32Array, offsets: Int32Array): HeadLabels => ({
      labels: new Int32Array(members.length),
      spanStarts: Int32Array.from(members, (sequence, i) => offsets[i] + spans[sequence].start),
      spanEnds: Int32Array.from(members, (sequence, i) => offsets[i] + spans[sequence].end),
    })
    return new SpanSet(
      {
        task: this.#name,
        split,
        head,
        adapter,
        sequences,
        seed,
        shuffle: how.training === true,
        labelled: how.unlabelled !== true,
        truncated,
        packed: packer.finish(),
        places,
        labels,
      },
      questions,
    )
  }

  #checkProblems(split: string, problems: readonly string[], count: number, maxBadShare: number): void {
    if (problems.length === 0) return
    const list = shown(problems)
    if (problems.length > maxBadShare * count) {
      throw new StrataError(
        'BAD_DATA',
        `task ${this.#name}, ${split}: ${problems.length} of ${count} questions cannot be used, at most ${100 * maxBadShare} % may be (maxBadShare):\n  ${list}`,
        { details: { task: this.#name, split, bad: problems.length, rows: count } },
      )
    }
    this.#notes.warn(`${split}: ${problems.length} of ${count} questions cannot be used and are left out:\n  ${list}`)
  }
}

/** The first of them, and how many more there are. */
function shown(problems: readonly string[]): string {
  const more = problems.length > 5 ? [`and ${problems.length - 5} more`] : []
  return [...problems.slice(0, 5), ...more].join('\n  ')
}

interface Read {
  question: SquadQuestion
  context: string
  file: string
}

/** Place of the answer in a window, exclusive end; [CLS] when the window lacks a part of it. */
function placeInWindow(
  window: SpanWindow,
  place: { first: number; last: number } | undefined,
): { start: number; end: number } {
  const { firstToken, tokens, contextPlace } = window
  if (!place || place.first < firstToken || place.last >= firstToken + tokens) return { start: 0, end: 1 }
  return { start: contextPlace + place.first - firstToken, end: contextPlace + place.last - firstToken + 1 }
}

/** Each text once, however many questions have it. */
async function encodeOnce(
  tokenizer: Tokenizer,
  data: readonly Read[],
  textOf: (read: Read) => string,
): Promise<Map<string, TokenOffsets>> {
  const texts = [...new Set(data.map(textOf))]
  const encoded = await tokenizer.encodeWithOffsets(texts)
  return new Map(texts.map((text, index) => [text, encoded[index]]))
}

function badNote(split: string, set: SquadSet): string {
  const more = set.bad > set.problems.length ? [`and ${set.bad - set.problems.length} more`] : []
  return `${split}: ${set.bad} of ${set.entries} questions of ${set.file} cannot be used and are left out:\n  ${[...set.problems, ...more].join('\n  ')}`
}
