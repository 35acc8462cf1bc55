import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { StrataError } from '../lib/errors.js'
import {
  accuracy,
  averageRanks,
  confusionMatrix,
  f1Score,
  macroF1,
  matthews,
  pearson,
  rankingFigures,
  spanFigures,
  spearman,
} from '../lib/evaluation/index.js'

interface Goldens {
  classification: (Record<'accuracy' | 'f1' | 'f1Macro' | 'matthews' | 'classes', number> &
    Record<'labels' | 'predictions' | 'confusion', number[]>)[]
  correlation: { x: (number | null)[]; y: number[]; pearson: number | null; spearman: number | null }[]
  ranks: { values: number[]; ranks: number[] }[]
  ranking: {
    scores: number[]
    labels: number[]
    groups: number[]
    accuracyAt1: number
    meanReciprocalRank: number
  }[]
  spans: { labels: string[][]; predictions: string[][]; f1: number; precision: number; recall: number }[]
}
const goldens = JSON.parse(readFileSync(join(__dirname, 'golden/task_metrics.json'), 'utf8')) as Goldens

/** Equal to 1e-12; a golden of null is NaN. */
function close(actual: number, expected: number | null): void {
  if (expected === null) assert.ok(Number.isNaN(actual), `${actual}, expected NaN`)
  else assert.ok(Math.abs(actual - expected) <= 1e-12, `${actual}, expected ${expected}`)
}

describe('task metrics', () => {
  it('classification figures are scikit-learn’s, also with one class on a side', () => {
    for (const golden of goldens.classification) {
      const { classes, labels, predictions } = golden
      const confusion = confusionMatrix(labels, predictions, classes)
      assert.deepEqual([...confusion], golden.confusion)
      close(accuracy(labels, predictions), golden.accuracy)
      close(f1Score(confusion, classes), golden.f1)
      close(macroF1(confusion, classes), golden.f1Macro)
      close(matthews(confusion, classes), golden.matthews)
    }
  })

  it('an empty set has no figure', () => {
    const confusion = confusionMatrix([], [], 2)
    for (const figure of [accuracy([], []), macroF1(confusion, 2), matthews(confusion, 2)])
      assert.ok(Number.isNaN(figure))
    assert.ok(Number.isNaN(pearson([], [])))
    assert.ok(Number.isNaN(spearman([1], [1])))
    const { questions, accuracyAt1 } = rankingFigures([], [], [])
    assert.deepEqual([questions, accuracyAt1], [0, Number.NaN])
  })

  it('correlations are SciPy’s; of a constant there is none', () => {
    for (const golden of goldens.correlation) {
      const x = golden.x.map((value) => value ?? Number.NaN)
      close(pearson(x, golden.y), golden.pearson)
      close(spearman(x, golden.y), golden.spearman)
    }
    for (const { values, ranks } of goldens.ranks) assert.deepEqual([...averageRanks(values)], ranks)
  })

  it('ranking figures are those of label ranking average precision with one right label', () => {
    for (const { scores, labels, groups, accuracyAt1, meanReciprocalRank } of goldens.ranking) {
      const figures = rankingFigures(scores, labels, groups)
      close(figures.accuracyAt1, accuracyAt1)
      close(figures.meanReciprocalRank, meanReciprocalRank)
      assert.equal(figures.questions, new Set(groups).size)
    }
  })

  it('a question without exactly one right candidate is not judged', () => {
    const figures = rankingFigures([3, 1, 2, 2, 5, 1], [1, 0, 0, 0, 1, 1], [7, 7, 8, 8, 9, 9])
    assert.deepEqual(figures, { accuracyAt1: 1, meanReciprocalRank: 1, questions: 1, unjudged: 2 })
  })

  it('a score that is no number is never a first place', () => {
    assert.equal(rankingFigures([Number.NaN, 1], [1, 0], [0, 0]).meanReciprocalRank, 0.5)
    assert.equal(rankingFigures([Number.NaN, 1], [0, 1], [0, 0]).accuracyAt1, 1)
  })

  it('span figures are seqeval’s', () => {
    for (const { labels, predictions, f1, precision, recall } of goldens.spans) {
      const figures = spanFigures(labels, predictions)
      close(figures.f1, f1)
      close(figures.precision, precision)
      close(figures.recall, recall)
    }
  })

  it('lists of different lengths and numbers that are no class are refused', () => {
    const refused = (work: () => unknown, message: RegExp) =>
      assert.throws(work, (error) => error instanceof StrataError && message.test(error.message))
    refused(() => accuracy([1], []), /1 labels and 0 predictions/)
    refused(() => confusionMatrix([0, 2], [0, 0], 2), /label 1 is 2; a class from 0 to 1/)
    refused(() => pearson([1, 2], [1]), /2 labels and 1 predictions/)
    refused(() => rankingFigures([1], [1], []), /0 groups/)
    refused(() => spanFigures([['O']], [['O', 'O']]), /sequence 0 has 1 labels and 2/)
  })
})
