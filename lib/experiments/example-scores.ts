/** A metric from the predictions that an evaluation kept: of each example, or of any draw of them. */
import {
  f1Score,
  macroF1,
  matthews,
  pearson,
  rankingFigures,
  scoreSquad11,
  scoreSquad20,
  spearman,
  type TaskPrediction,
} from '../evaluation/index.js'

export interface ExampleScores {
  /** The metric over these examples; repeats count. */
  of: (examples: Int32Array) => number
  /** Of a metric that is the mean of a score an example: these. */
  each?: number[]
}

/** What is read of a prediction: a span task's candidates would take far more memory. */
export type KeptPrediction = Pick<
  TaskPrediction,
  'predicted' | 'expected' | 'scores' | 'predictedIndex' | 'expectedIndex'
>

type Found = ExampleScores | { problem: string } | undefined

/**
 * How one run scores under a metric. Undefined when the metric is none of a single class, number, ranking or answer an example; a
 * problem when the predictions lack what it needs.
 */
export function exampleScores(metric: string, predictions: readonly KeptPrediction[]): Found {
  const [first] = predictions
  // Tags and trees are lists, too.
  if (!first || Array.isArray(first.predicted)) return undefined
  if (Array.isArray(first.expected)) return ofAnswers(metric, predictions)
  if (typeof first.expected === 'number') return ofNumbers(metric, predictions)
  return RANKING_SCORES[metric] ? ofRankings(metric, predictions) : ofClasses(metric, predictions)
}

/** Scores to which the order of the classes means nothing: names serve as numbers. */
const CLASS_SCORES: Record<string, ((confusion: Float64Array, classes: number) => number) | undefined> = {
  f1Macro: macroF1,
  matthews,
}

function ofClasses(metric: string, predictions: readonly KeptPrediction[]): Found {
  if (metric === 'accuracy') return meanOf(predictions.map((one) => Number(one.expected === one.predicted)))
  if (metric === 'f1') {
    if (!predictions.every(isNumbered)) return lacking('the numbers of their classes')
    // Of class 1, beside which all others are one.
    const isFirst = (index?: number) => Number(index === 1)
    const pairs = predictions.map((one) => [isFirst(one.expectedIndex), isFirst(one.predictedIndex)] as const)
    return ofConfusion(pairs, 2, f1Score)
  }
  const score = CLASS_SCORES[metric]
  if (!score) return undefined
  const numbers = new Map<unknown, number>()
  const numberOf = (name: unknown): number => {
    if (!numbers.has(name)) numbers.set(name, numbers.size)
    return numbers.get(name)!
  }
  const pairs = predictions.map((one) => [numberOf(one.expected), numberOf(one.predicted)] as const)
  return ofConfusion(pairs, numbers.size, score)
}

function ofConfusion(
  pairs: readonly (readonly [expected: number, predicted: number])[],
  classes: number,
  score: (confusion: Float64Array, classes: number) => number,
): ExampleScores {
  const cells = Int32Array.from(pairs, ([expected, predicted]) => expected * classes + predicted)
  const confusion = new Float64Array(classes * classes)
  return {
    of: (examples) => {
      confusion.fill(0)
      for (const example of examples) confusion[cells[example]]++
      return score(confusion, classes)
    },
  }
}

const NUMBER_SCORES: Record<string, ((expected: number[], predicted: number[]) => number) | undefined> = {
  pearson,
  spearman,
}

function ofNumbers(metric: string, predictions: readonly KeptPrediction[]): Found {
  const score = NUMBER_SCORES[metric]
  if (!score) return undefined
  const expected = predictions.map((one) => Number(one.expected))
  const predicted = predictions.map((one) => Number(one.predicted ?? Number.NaN))
  const pick = (list: number[], examples: Int32Array) => Array.from(examples, (example) => list[example])
  return { of: (examples) => score(pick(expected, examples), pick(predicted, examples)) }
}

const RANKING_SCORES: Record<string, 'accuracyAt1' | 'meanReciprocalRank' | undefined> = {
  accuracyAt1: 'accuracyAt1',
  meanReciprocalRank: 'meanReciprocalRank',
}

function ofRankings(metric: string, predictions: readonly KeptPrediction[]): Found {
  if (!predictions.every((one) => isNumbered(one) && Array.isArray(one.scores)))
    return lacking('the number of the right candidate')
  const each = predictions.map(({ scores, expectedIndex }) => {
    const own = scores as readonly number[]
    const labels = own.map((_, candidate) => Number(candidate === expectedIndex))
    return rankingFigures(own, labels, new Uint8Array(own.length))[RANKING_SCORES[metric]!]
  })
  return meanOf(each)
}

const ANSWER_SCORES: Record<string, 'exactMatch' | 'f1' | undefined> = { exactMatch: 'exactMatch', f1: 'f1' }

function ofAnswers(metric: string, predictions: readonly KeptPrediction[]): Found {
  const score = ANSWER_SCORES[metric]
  if (!score) return undefined
  const each = predictions.map(({ predicted, expected, scores }) => {
    const answers = (expected as readonly string[]).map((text) => ({ text }))
    // SQuAD 2.0 has a score for "no answer", and other rules for answers without a word.
    const score20 = scores !== undefined && 'noAnswer' in scores
    return (score20 ? scoreSquad20 : scoreSquad11)([{ id: 'one', answers }], { one: predicted as string })[score]
  })
  return meanOf(each)
}

function meanOf(each: number[]): ExampleScores {
  return { each, of: (examples) => examples.reduce((sum, example) => sum + each[example], 0) / examples.length }
}

const isNumbered = ({ predictedIndex, expectedIndex }: KeptPrediction): boolean =>
  predictedIndex !== undefined && expectedIndex !== undefined

const lacking = (what: string) => ({
  problem: `the predictions lack ${what}, as those of an earlier version do: remove the folders of these evaluations and run them anew`,
})
