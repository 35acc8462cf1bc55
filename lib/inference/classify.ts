/** Classes and numbers of texts, or of pairs of texts. */
import { targetDivisorOf } from '../model/index.js'
import type { EncodedText, EncodeInput } from '../text/index.js'
import { inputList, positive, tokenLimit } from './check-arguments.js'
import { type FoundTask, findTask } from './find-task.js'
import { type HeadRow, headQuestion } from './head-question.js'
import { softmaxRow } from './head-scores.js'
import type { CallOptions, HeadOf, Session } from './loaded-parts.js'
import type { OptionKinds } from './own-arguments.js'
import { charactersOf } from './serving/encode-texts.js'

export interface AskOptions extends CallOptions {
  /** Name of the task (or of its head); default: the only one that can be asked. */
  task?: string
  /** Longest input in tokens, special tokens included; default: the task's own. */
  maxTokens?: number
}

/** See {@link AskOptions}. */
export const ASK_OPTIONS: OptionKinds<AskOptions> = { signal: 'signal', task: 'any', maxTokens: 'any' }

export interface ClassifyOptions extends AskOptions {
  /** How many classes are listed, most probable first; default all. */
  topK?: number
}

/** See {@link ClassifyOptions}. */
export const CLASSIFY_OPTIONS: OptionKinds<ClassifyOptions> = { ...ASK_OPTIONS, topK: 'any' }

export interface LabelScore {
  label: string
  /** Probability. */
  score: number
}

/** What a head says of one text or pair. */
export interface Classification {
  /** The most probable class; missing for a regression or ranking, which has a number alone. */
  label?: string
  /** Probability of that class; that number. */
  score: number
  /** Classes, most probable first; empty without classes. */
  labels: LabelScore[]
  /** True when the text was cut at the longest input. */
  truncated: boolean
}

export interface TextScore {
  /** Regression: in the units of the training labels. Ranking: higher is better among the candidates of one question. */
  score: number
  truncated: boolean
}

export async function classify(
  session: Session,
  texts: unknown,
  options: ClassifyOptions = {},
): Promise<Classification[]> {
  const { topK } = options
  if (topK !== undefined) positive('topK', topK)
  const task = findTask(session.parts, ['classifier', 'san', 'regressor', 'ranker'], options.task, 'classify')
  return (await scoreRows(session, task, texts, options)).map((row) => classificationOf(task, row, topK))
}

export async function score(session: Session, texts: unknown, options: AskOptions = {}): Promise<TextScore[]> {
  const task = findTask(session.parts, ['regressor', 'ranker'], options.task, 'score')
  return (await scoreRows(session, task, texts, options)).map(({ values, truncated }) => ({
    score: values[0] * unitOf(task),
    truncated,
  }))
}

/** What the head's scores of one sequence say. */
export function classificationOf(task: FoundTask<ScoringHead>, row: ScoredText, topK?: number): Classification {
  const { values, truncated } = row
  if (task.head.kind === 'regressor' || task.head.kind === 'ranker')
    return { score: values[0] * unitOf(task), labels: [], truncated }
  const names = labelNames(task, task.head.classes)
  const labels = softmaxRow(values, 0, names.length)
    .map((score, label) => ({ label: names[label], score }))
    .sort((a, b) => b.score - a.score)
  return { ...labels[0], labels: labels.slice(0, topK), truncated }
}

export type ScoringHead = HeadOf<'classifier' | 'san' | 'regressor' | 'ranker'>

interface ScoredText {
  /** The head's scores of the text. */
  values: HeadRow
  truncated: boolean
}

/** Scores of every text, in input order. */
async function scoreRows(
  session: Session,
  task: FoundTask<ScoringHead>,
  texts: unknown,
  options: AskOptions,
): Promise<ScoredText[]> {
  const question = headQuestion(session.parts.model, task.head, task.saved?.adapter)
  const maxTokens = tokenLimit(
    options.maxTokens ?? task.sequenceTokens,
    session.parts.model.config.encoder.maxPositions,
  )
  const blocks = await session.inBlocks(layoutOf(task, texts), charactersOf, async (block, inputs) => {
    const encoded: EncodedText[] = await block.encode(inputs, { maxTokens })
    const [rows] = await block.compute([question], encoded)
    return encoded.map(({ truncated }, index) => ({ values: rows[index], truncated }))
  })
  return blocks.length === 1 ? blocks[0] : blocks.flat()
}

/** Texts or pairs as the task was trained. Throws BAD_ARGUMENT naming the place of what it does not read. */
export function layoutOf({ head, name, saved }: FoundTask, texts: unknown): EncodeInput[] {
  // An answer module reads both texts; a ranking has a question and a candidate.
  const pair = head.kind === 'san' || saved?.kind === 'ranking' ? true : saved?.pair
  const inputs = inputList(texts, pair, name)
  return saved?.hypothesisFirst ? inputs.map(secondFirst) : inputs
}

function secondFirst(input: EncodeInput): EncodeInput {
  return typeof input === 'string' ? input : [input[1], input[0]]
}

/** A regression may have been trained on its labels divided by a number. */
function unitOf({ saved }: FoundTask): number {
  return saved?.kind === 'regression' ? targetDivisorOf(saved) : 1
}

/** Names of a head's classes; by number where the folder has none. */
export function labelNames({ saved }: FoundTask, classes: number): string[] {
  return saved?.labels ?? Array.from({ length: classes }, (_, label) => `LABEL_${label}`)
}
