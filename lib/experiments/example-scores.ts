/** A metric from the predictions that an evaluation kept: of each example, or of any draw of them. */
import {
  macroF1,
  matthews,
  pearson,
  rankingFigures,
  scoreSquad11,
  scoreSquad20,
  spanFigures,
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
 * How one run scores under a metric. An example is what is drawn: a text or pair, a question, a sentence of tags or a tree. Undefined
 * when the predictions do not tell the metric (CLAS, UPOS, the best threshold of SQuAD 2.0); a problem when they lack what it needs.
 */
export function exampleScores(metric: string, predictions: readonly KeptPrediction[]): Found {
  const [first] = predictions
  if (!first) return undefined
  if (Array.isArray(first.predicted)) return ofWords(metric, predictions)
  if (Array.isArray(first.expected)) return ofAnswers(metric, predictions)
  if (typeof first.expected === 'number') return ofNumbers(metric, predictions)
  return RANKING_SCORES[metric] ? ofRankings(metric, predictions) : ofClasses(metric, predictions)
}

/** What is said and what is right of one class or tag, by name or number. */
type Pair = readonly [expected: unknown, predicted: unknown]
type ConfusionScore = (confusion: Float64Array, classes: number) => number

/** Scores to which the order of the classes means nothing: names serve as numbers. */
const CLASS_SCORES: Record<string, ConfusionScore | undefined> = { f1Macro: macroF1, matthews }

function ofClasses(metric: string, predictions: readonly KeptPrediction[]): Found {
  if (metric === 'accuracy') return meanOf(predictions.map((one) => Number(one.expected === one.predicted)))
  if (metric === 'f1') {
    if (!predictions.every(isNumbered)) return lacking('the numbers of their classes')
    // Of class 1, beside which all others are one.
    const isFirst = (index?: number) => Number(index === 1)
    return f1Of(predictions.map((one) => [isFirst(one.expectedIndex), isFirst(one.predictedIndex)]))
  }
  const score = CLASS_SCORES[metric]
  return (
    score &&
    confusionOf(
      predictions.map((one): Pair[] => [[one.expected, one.predicted]]),
      score,
    )
  )
}

/** F1 = 2 · hits / (right ones + said ones), as a ratio of sums. 0 where neither occurs. */
const f1Of = (pairs: readonly [expected: number, predicted: number][]): ExampleScores =>
  ratioOf(pairs.map(([expected, predicted]) => [2 * expected * predicted, expected + predicted]))

/** A score of the confusion matrix over all pairs of the drawn examples. */
function confusionOf(pairs: readonly (readonly Pair[])[], score: ConfusionScore): ExampleScores {
  const numbers = new Map([...new Set(pairs.flat(2))].map((name, number) => [name, number]))
  const classes = numbers.size
  // All examples' cells in one list, those of example i from place[i] on; lists of their own took eight times as long.
  const cells = Int32Array.from(pairs.flat(), ([expected, predicted]) => {
    return numbers.get(expected)! * classes + numbers.get(predicted)!
  })
  const place = new Int32Array(pairs.length + 1)
  for (const [example, own] of pairs.entries()) place[example + 1] = place[example] + own.length
  const confusion = new Float64Array(classes * classes)
  return {
    of: (examples) => {
      confusion.fill(0)
      for (const example of examples) for (let i = place[example]; i < place[example + 1]; i++) confusion[cells[i]]++
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

/** Over which questions each is a mean, and of what: of SQuAD 2.0 two are over those with or without an answer alone. */
const ANSWER_SCORES: Record<string, { score: 'exactMatch' | 'f1'; of?: (hasAnswer: boolean) => boolean } | undefined> =
  {
    exactMatch: { score: 'exactMatch' },
    f1: { score: 'f1' },
    hasAnswerF1: { score: 'f1', of: (hasAnswer) => hasAnswer },
    noAnswerAccuracy: { score: 'exactMatch', of: (hasAnswer) => !hasAnswer },
  }

function ofAnswers(metric: string, predictions: readonly KeptPrediction[]): Found {
  const wanted = ANSWER_SCORES[metric]
  if (!wanted) return undefined
  const each = predictions.map(({ predicted, expected, scores }) => {
    const answers = (expected as readonly string[]).map((text) => ({ text }))
    // SQuAD 2.0 has a score for "no answer", and other rules for answers without a word.
    const score = scores !== undefined && 'noAnswer' in scores ? scoreSquad20 : scoreSquad11
    return score([{ id: 'one', answers }], { one: predicted as string })[wanted.score]
  })
  const { of } = wanted
  if (!of) return meanOf(each)
  return ratioOf(each.map((score, i) => (of((predictions[i].expected as string[]).length > 0) ? [score, 1] : [0, 0])))
}

/** Of one sentence: words, or spans, that are right, and all of them. */
const WORD_SCORES: Record<
  string,
  ((expected: string[], predicted: string[]) => [right: number, all: number]) | undefined
> = {
  accuracy: (expected, predicted) => [rightOf(expected, predicted), expected.length],
  spanF1: (expected, predicted) => {
    const spans = spanFigures([expected], [predicted])
    return [2 * spans.correct, spans.expected + spans.predicted]
  },
  UAS: (expected, predicted) => [rightOf(expected.map(headOf), predicted.map(headOf)), expected.length],
  LAS: (expected, predicted) => [rightOf(expected.map(arcOf), predicted.map(arcOf)), expected.length],
}

const rightOf = (expected: readonly string[], predicted: readonly string[]): number =>
  expected.filter((one, word) => one === predicted[word]).length
const headOf = (word: string): string => word.split(':', 1)[0]
/** Head and relation; subtypes do not count (CoNLL 2018). */
const arcOf = (word: string): string => word.split(':', 2).join(':')

/** Tags and trees. Words without a tag, or that the model does not see, have "" and are not judged. */
function ofWords(metric: string, predictions: readonly KeptPrediction[]): Found {
  const sentences = predictions.map((one) => {
    const [expected, predicted] = [one.expected as string[], one.predicted as string[]]
    const judged = expected.flatMap((name, word) => (name !== '' && predicted[word] !== '' ? [word] : []))
    return [judged.map((word) => expected[word]), judged.map((word) => predicted[word])] as const
  })
  if (metric === 'f1Macro') {
    return confusionOf(
      sentences.map(([expected, predicted]) => expected.map((name, i): Pair => [name, predicted[i]])),
      macroF1,
    )
  }
  const score = WORD_SCORES[metric]
  return score && ratioOf(sentences.map(([expected, predicted]) => score(expected, predicted)))
}

/** Sums of the drawn examples' parts, divided; 0 where there is nothing. */
function ratioOf(parts: readonly (readonly [part: number, whole: number])[]): ExampleScores {
  const [part, whole] = [0, 1].map((i) => Float64Array.from(parts, (one) => one[i]))
  return {
    of: (examples) => {
      let [sum, all] = [0, 0]
      for (const example of examples) {
        sum += part[example]
        all += whole[example]
      }
      return all === 0 ? 0 : sum / all
    },
  }
}

function meanOf(each: number[]): ExampleScores {
  return { each, of: (examples) => examples.reduce((sum, example) => sum + each[example], 0) / examples.length }
}

const isNumbered = ({ predictedIndex, expectedIndex }: KeptPrediction): boolean =>
  predictedIndex !== undefined && expectedIndex !== undefined

const lacking = (what: string) => ({
  problem: `the predictions lack ${what}, as those of an earlier version do: remove the folders of these evaluations and run them anew`,
})
