/** Classes and numbers of texts, or of pairs of texts. */
import { StrataError } from '../errors.js'
import type { EncodedText, EncodeInput } from '../text/index.js'
import { inputList, positive, type TextInput, tokenLimit } from './check-arguments.js'
import { type FoundTask, findTask } from './find-task.js'
import { headScores, softmaxRow } from './head-scores.js'
import type { CallOptions, LoadedParts } from './loaded-parts.js'
import { packTexts } from './packed-texts.js'

export interface AskOptions extends CallOptions {
  /** Name of the task (or of its head); default: the only one that can be asked. */
  task?: string
  /** Longest input in tokens, special tokens included; default: the task's own. */
  maxTokens?: number
}

export interface ClassifyOptions extends AskOptions {
  /** How many classes are listed, most probable first; default all. */
  topK?: number
}

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
  parts: LoadedParts,
  texts: string | readonly TextInput[],
  options: ClassifyOptions = {},
): Promise<Classification[]> {
  const { topK } = options
  if (topK !== undefined) positive('topK', topK)
  const task = findTask(parts, ['classifier', 'san', 'regressor', 'ranker'], options.task, 'classify')
  const { encoded, rows } = await scoreRows(parts, task, texts, options)
  if (task.head.kind === 'regressor' || task.head.kind === 'ranker') {
    return rows.map(({ values, row }, index) => ({
      score: values[row] * unitOf(task),
      labels: [],
      truncated: encoded[index].truncated,
    }))
  }
  const names = labelNames(task, task.head.classes)
  return rows.map(({ values, row }, index) => {
    const labels = softmaxRow(values, row, names.length)
      .map((score, label) => ({ label: names[label], score }))
      .sort((a, b) => b.score - a.score)
    return { ...labels[0], labels: labels.slice(0, topK), truncated: encoded[index].truncated }
  })
}

export async function score(
  parts: LoadedParts,
  texts: string | readonly TextInput[],
  options: AskOptions = {},
): Promise<TextScore[]> {
  const task = findTask(parts, ['regressor', 'ranker'], options.task, 'score')
  const { encoded, rows } = await scoreRows(parts, task, texts, options)
  return rows.map(({ values, row }, index) => ({
    score: values[row] * unitOf(task),
    truncated: encoded[index].truncated,
  }))
}

interface Row {
  /** Scores of the batch that the text was in, and its row there. */
  values: Float32Array | Float64Array
  row: number
}

/** Scores of every text, in input order. */
async function scoreRows(
  parts: LoadedParts,
  task: FoundTask,
  texts: unknown,
  { maxTokens, signal }: AskOptions,
): Promise<{ encoded: EncodedText[]; rows: Row[] }> {
  const { model, tokenizer, maxBatchTokens } = parts
  const { head, saved } = task
  const limit = tokenLimit(maxTokens ?? task.sequenceTokens, model.config.encoder.maxPositions)
  // An answer module reads both texts; a ranking has a question and a candidate.
  const pair = head.kind === 'san' || saved?.kind === 'ranking' ? true : saved?.pair
  let inputs = inputList(texts, pair, task.name)
  if (saved?.hypothesisFirst) inputs = inputs.map(secondFirst)
  const encoded = inputs.length === 0 ? [] : await tokenizer.encodeBatch(inputs, { maxTokens: limit })
  const rows = new Array<Row>(encoded.length)
  for (const { batch, indices } of packTexts(encoded, maxBatchTokens)) {
    if (signal?.aborted) throw new StrataError('ABORTED', 'the classification was aborted by its signal')
    const { values } = await headScores(model, batch, head, { adapter: saved?.adapter })
    indices.forEach((index, row) => {
      rows[index] = { values, row }
    })
  }
  return { encoded, rows }
}

function secondFirst(input: EncodeInput): EncodeInput {
  return typeof input === 'string' ? input : [input[1], input[0]]
}

/** A regression may have been trained on its labels divided by a number. */
function unitOf({ saved }: FoundTask): number {
  const divisor = saved?.kind === 'regression' ? saved.definition?.targetDivisor : undefined
  return typeof divisor === 'number' ? divisor : 1
}

/** Names of a head's classes; by number where the folder has none. */
export function labelNames({ saved }: FoundTask, classes: number): string[] {
  return saved?.labels ?? Array.from({ length: classes }, (_, label) => `LABEL_${label}`)
}
