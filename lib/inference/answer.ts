/** The part of a context that answers a question (extractive question answering, Devlin et al. 2018, section 4.2). */
import { StrataError } from '../errors.js'
import type { SavedTask } from '../model/index.js'
import { decodeSpans, type SpanCandidate } from '../tasks/span-decoding.js'
import { type WindowSizes, windowsOf } from '../tasks/span-windows.js'
import type { EncodedText } from '../text/index.js'
import { checkText, positive, tokenLimit } from './check-arguments.js'
import { type FoundTask, findTask } from './find-task.js'
import { headQuestion } from './head-question.js'
import type { CallOptions, Session } from './loaded-parts.js'
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
  /** Longest answer in tokens; default 30. */
  maxAnswerTokens?: number
  /** Longest window in tokens, question and special tokens included; default: the task's own. */
  maxTokens?: number
  /** How many context tokens further each window begins; default: the task's own, else 128. */
  stride?: number
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

export async function answer(
  session: Session,
  question: string,
  context: string,
  options: AnswerOptions = {},
): Promise<Answer> {
  const { parts } = session
  const { model, tokenizer } = parts
  const { topK = 5, maxAnswerTokens = 30 } = options
  checkText('question', question)
  checkText('context', context)
  positive('topK', topK)
  positive('maxAnswerTokens', maxAnswerTokens)
  const task = findTask(parts, ['span'], options.task, 'answer')
  const sizes = sizesOf(task, options, model.config.encoder.maxPositions)
  const announced = estimateTokens([question.length, context.length])
  await session.announce(announced)
  const [asked, read] = await tokenizer.encodeWithOffsets([question, context])
  if (asked.tokenIds.length === 0)
    throw new StrataError('BAD_ARGUMENT', 'the question has no token, expected some words')
  if (read.tokenIds.length === 0) throw new StrataError('BAD_ARGUMENT', 'the context has no token, expected some text')
  const questionIds = asked.tokenIds.subarray(0, sizes.questionTokens)
  const windows = windowsOf(read.tokenIds.length, questionIds.length, sizes)
  // Windows overlap and repeat the question: room for what that adds, before it is written out.
  const inWindows = windows.reduce((sum, { tokens }) => sum + questionIds.length + tokens + 3, 0)
  if (inWindows > announced) await session.announce(inWindows - announced)
  const { clsId, sepId } = tokenizer.specialTokens
  const sequences = windows.map(({ firstToken, tokens }): EncodedText => {
    const part = read.tokenIds.subarray(firstToken, firstToken + tokens)
    const tokenIds = Int32Array.from([clsId, ...questionIds, sepId, ...part, sepId])
    return { tokenIds, segmentIds: new Int32Array(tokenIds.length).fill(1, questionIds.length + 2), truncated: false }
  })
  const [rows] = await session.compute([headQuestion(model, task.head, task.saved?.adapter)], sequences)
  const scored = rows.map((values, index) => {
    const places = Array.from({ length: values.length / 2 }, (_, place) => 2 * place)
    const startLogits = places.map((place) => values[place])
    const endLogits = places.map((place) => values[place + 1])
    return { window: windows[index], startLogits, endLogits }
  })
  const noAnswerThreshold = options.noAnswerThreshold ?? task.saved?.noAnswerThreshold ?? 0
  const decoded = decodeSpans({
    context,
    starts: read.starts,
    ends: read.ends,
    windows: scored,
    maxAnswerTokens,
    nBest: Math.max(20, topK),
    noAnswer: options.noAnswer ?? mayHaveNoAnswer(task.saved),
    noAnswerThreshold,
  })
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

function spanOf({ text, start, end, probability }: SpanCandidate): AnswerSpan {
  return { text, score: probability, start, end }
}

/** Windows as in training; a folder that does not say gets those of BERT's program, within its positions. */
function sizesOf(task: FoundTask, options: AnswerOptions, positions: number): Required<WindowSizes> {
  const trained = (task.saved?.definition ?? {}) as WindowSizes
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
  // At least half of a window is the context's.
  const questionTokens = Math.min(trained.questionTokens ?? 64, Math.floor((sequenceTokens - 3) / 2))
  return { sequenceTokens, stride, questionTokens }
}
