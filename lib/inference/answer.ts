/** The part of a context that answers a question (extractive question answering, Devlin et al. 2018, section 4.2). */
import { StrataError } from '../errors.js'
import type { SavedTask } from '../model/index.js'
import { shownValue } from '../shown-value.js'
import { type SpanCandidate, SpanSearch, type SpanWindow } from '../tasks/span-decoding.js'
import type { SpanTaskDefinition } from '../tasks/span-task.js'
import { type WindowSizes, windowsOf } from '../tasks/span-windows.js'
import type { EncodedText, TokenOffsets } from '../text/index.js'
import { checkText, positive, tokenLimit } from './check-arguments.js'
import { type FoundTask, findTask } from './find-task.js'
import { type HeadRow, headQuestion } from './head-question.js'
import type { CallOptions, Session } from './loaded-parts.js'
import { type OptionKinds, ownList } from './own-arguments.js'
import { mapInTurns, Turns } from './pause.js'
import { estimateTokens } from './serving/encode-texts.js'

export interface AnswerOptions extends CallOptions {
  /** Name of the task (or of its head); default: the only one that answers questions. */
  task?: string
  /** How many candidates are listed, best first; default 5. */
  topK?: number
  /** True: "there is no answer" is possible; default: as the task was trained. */
  noAnswer?: boolean
  /** How much better than the best answer "no answer" must score to be given; default: the task's own, else 0. */
  noAnswerThreshold?: number
  /** Widen answers to whole words, as transformers' pipeline does ("ha" of "hat" becomes "hat"); default true. Scores of a test set are taken without. */
  wholeWords?: boolean
  /** Longest answer in tokens; default: the task's own, else 30. */
  maxAnswerTokens?: number
  /** Longest window in tokens, question and special tokens included; default: the task's own. */
  maxTokens?: number
  /** How many context tokens further each window begins; default: the task's own, else 128. */
  stride?: number
}

/** See {@link AnswerOptions}. */
export const ANSWER_OPTIONS: OptionKinds<AnswerOptions> = {
  signal: 'signal',
  task: 'any',
  topK: 'any',
  noAnswer: 'flag',
  noAnswerThreshold: 'number',
  wholeWords: 'flag',
  maxAnswerTokens: 'any',
  maxTokens: 'any',
  stride: 'any',
}

/** A question and the text that may hold its answer. */
export interface AskedContext {
  question: string
  context: string
}

export interface AnswerSpan {
  /** Cut out of the context; "" when there is no answer. */
  text: string
  /** Probability among the candidates. */
  score: number
  /** Place in the context in UTF-16 units; both 0 when there is no answer. */
  start: number
  end: number
}

export interface Answer extends AnswerSpan {
  /** Best first. */
  candidates: AnswerSpan[]
  /** How much better "no answer" scores than the best answer; where no answer is possible. */
  noAnswerScore?: number
  /** Windows that the context was read in. */
  windows: number
}

/** The answer to each question. */
export async function answer(session: Session, asked: unknown, options: AnswerOptions = {}): Promise<Answer[]> {
  const { parts } = session
  const { topK = 5, wholeWords = true } = options
  const list = askedList(asked)
  positive('topK', topK)
  const task = findTask(parts, ['span'], options.task, 'answer')
  const trained = trainedWith(task)
  const { maxAnswerTokens = trained.maxAnswerTokens ?? 30 } = options
  positive('maxAnswerTokens', maxAnswerTokens)
  const { nBest = 20 } = trained
  positive('nBest', nBest)
  const search = { maxAnswerTokens, topK, nBest: Math.max(nBest, topK) }
  const sizes = sizesOf(task, options, parts.model.config.encoder.maxPositions)
  const headAsked = headQuestion(parts.model, task.head, task.saved?.adapter)
  const listed = Array.isArray(asked)
  const blocks = await session.inBlocks(list, charactersOf, async (block, some, first) => {
    const read = await readInWindows(block, some, sizes, listed ? first : undefined)
    const [rows] = await block.compute(
      [headAsked],
      read.flatMap(({ sequences }) => sequences),
    )
    const turns = new Turns()
    const answers: Answer[] = []
    let next = 0
    for (const one of read) {
      const own = rows.slice(next, next + one.windows.length)
      next += own.length
      const wordStarts = wholeWords ? parts.tokenizer.wordStarts(one.read.tokenIds) : undefined
      answers.push(await bestAnswer(one, own, task, { ...options, ...search, wordStarts }, turns))
    }
    return answers
  })
  return blocks.flat()
}

function charactersOf({ question, context }: AskedContext): number {
  return question.length + context.length
}

/** A copy of what was asked. Throws BAD_ARGUMENT that names the place of what is no question with its context. */
function askedList(asked: unknown): AskedContext[] {
  if (!Array.isArray(asked)) return [askedContext(asked)]
  return ownList('asked', asked, 'a list of { question, context }', (one, index) => {
    if (typeof one === 'object' && one !== null) return askedContext(one, index)
    const message = `asked[${index}] came as ${shownValue(one)}, expected { question, context }`
    throw new StrataError('BAD_ARGUMENT', message, { details: { index } })
  })
}

function askedContext(asked: unknown, index?: number): AskedContext {
  const { question, context } = asked as AskedContext
  const place = index === undefined ? '' : `asked[${index}].`
  checkText(`${place}question`, question, index)
  checkText(`${place}context`, context, index)
  return { question, context }
}

/** A question's context, cut into windows of which each holds the question. */
interface ReadContext {
  context: string
  /** Of the context: ids and places of its tokens. */
  read: TokenOffsets
  windows: SpanWindow[]
  sequences: EncodedText[]
}

/** `first`: place of the first question in the caller's list; undefined for a question of its own. */
async function readInWindows(
  session: Session,
  asked: readonly AskedContext[],
  sizes: Required<WindowSizes>,
  first: number | undefined,
): Promise<ReadContext[]> {
  const { tokenizer } = session.parts
  const texts = asked.flatMap(({ question, context }) => [question, context])
  const announced = estimateTokens(texts.map(({ length }) => length))
  await session.announce(announced)
  const encoded = await tokenizer.encodeWithOffsets(texts)
  const { clsId, sepId } = tokenizer.specialTokens
  const planned = asked.map(({ context }, index) => {
    const [words, read] = encoded.slice(2 * index, 2 * index + 2)
    const place = first === undefined ? undefined : first + index
    if (words.tokenIds.length === 0) throw withoutToken('question', 'some words', place)
    if (read.tokenIds.length === 0) throw withoutToken('context', 'some text', place)
    const questionIds = words.tokenIds.subarray(0, sizes.questionTokens)
    return { context, read, questionIds, windows: windowsOf(read.tokenIds.length, questionIds.length, sizes) }
  })
  // Windows overlap and repeat the question: room for what that adds, before it is written out.
  const inWindows = planned.reduce(
    (sum, { questionIds, windows }) =>
      windows.reduce((tokens, window) => tokens + questionIds.length + window.tokens + 3, sum),
    0,
  )
  if (inWindows > announced) await session.announce(inWindows - announced)
  const contexts: ReadContext[] = []
  for (const { context, read, questionIds, windows } of planned) {
    const sequences = await mapInTurns(windows, ({ firstToken, tokens }): EncodedText => {
      const tokenIds = new Int32Array(questionIds.length + tokens + 3)
      tokenIds[0] = clsId
      tokenIds.set(questionIds, 1)
      tokenIds[questionIds.length + 1] = sepId
      tokenIds.set(read.tokenIds.subarray(firstToken, firstToken + tokens), questionIds.length + 2)
      tokenIds[tokenIds.length - 1] = sepId
      return { tokenIds, segmentIds: new Int32Array(tokenIds.length).fill(1, questionIds.length + 2), truncated: false }
    })
    contexts.push({ context, read, windows, sequences })
  }
  return contexts
}

function withoutToken(part: keyof AskedContext, expected: string, index: number | undefined): StrataError {
  const name = index === undefined ? `the ${part}` : `asked[${index}].${part}`
  const details = index === undefined ? {} : { index }
  return new StrataError('BAD_ARGUMENT', `${name} has no token, expected ${expected}`, { details })
}

/** `rows`: the head's scores of each window. */
async function bestAnswer(
  { context, read, windows }: ReadContext,
  rows: readonly HeadRow[],
  task: FoundTask,
  options: AnswerOptions & { topK: number; maxAnswerTokens: number; nBest: number; wordStarts?: Uint8Array },
  turns: Turns,
): Promise<Answer> {
  const { topK, maxAnswerTokens, nBest, wordStarts } = options
  const search = new SpanSearch({
    context,
    starts: read.starts,
    ends: read.ends,
    windows,
    wordStarts,
    maxAnswerTokens,
    nBest,
    noAnswer: options.noAnswer ?? mayHaveNoAnswer(task.saved),
    noAnswerThreshold: options.noAnswerThreshold ?? task.saved?.noAnswerThreshold ?? 0,
  })
  for (const values of rows) {
    await turns.next()
    const startLogits = values.filter((_, place) => place % 2 === 0)
    search.read({ startLogits, endLogits: values.filter((_, place) => place % 2 === 1) })
  }
  const decoded = search.result()
  const { text, start, end, probability, candidates, noAnswerScore } = decoded
  return {
    text,
    score: probability,
    start,
    end,
    candidates: candidates.slice(0, topK).map(spanOf),
    ...(noAnswerScore === undefined ? {} : { noAnswerScore }),
    windows: windows.length,
  }
}

function mayHaveNoAnswer(saved: SavedTask | undefined): boolean {
  return saved?.noAnswerThreshold !== undefined || saved?.definition?.noAnswer === true
}

/** What the task's definition says of windows and answers; a file's word, so whoever takes a number of it checks it. */
function trainedWith({ saved }: FoundTask): Partial<SpanTaskDefinition> {
  return (saved?.definition ?? {}) as Partial<SpanTaskDefinition>
}

function spanOf({ text, start, end, probability }: SpanCandidate): AnswerSpan {
  return { text, score: probability, start, end }
}

/** Windows as in training; a folder that does not say gets those of BERT's program, within its positions. */
function sizesOf(task: FoundTask, options: AnswerOptions, positions: number): Required<WindowSizes> {
  const trained = trainedWith(task)
  const longest = task.saved?.definition ? task.sequenceTokens : Math.min(384, task.sequenceTokens)
  const sequenceTokens = tokenLimit(options.maxTokens ?? longest, positions)
  if (sequenceTokens < 8) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `maxTokens came as ${sequenceTokens}, expected at least 8: a question and a context`,
    )
  }
  const stride = options.stride ?? trained.stride ?? 128
  positive('stride', stride)
  const { questionTokens = 64 } = trained
  positive('questionTokens', questionTokens)
  // Shorter windows than the trained ones, or ones that nothing is known of, are at least half the context's.
  const isTrained = trained.questionTokens !== undefined && sequenceTokens >= task.sequenceTokens
  const most = isTrained ? sequenceTokens - 4 : Math.floor((sequenceTokens - 3) / 2)
  return { sequenceTokens, stride, questionTokens: Math.min(questionTokens, most) }
}
