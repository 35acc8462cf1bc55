import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { stream } from '../lib/data/index.js'
import { balancedAccuracy, f1Score, perplexity, scoreHead, wilsonInterval } from '../lib/evaluation/index.js'
import { ScoreHistogram } from '../lib/evaluation/score-histogram.js'

const golden = JSON.parse(readFileSync(join(__dirname, 'golden/metrics.json'), 'utf8')) as {
  confusions: { classes: number; confusion: number[]; balancedAccuracy: number; f1: number[] }[]
  intervals: { correct: number; count: number; low: number; high: number }[]
  perplexities: { loss: number; perplexity: number }[]
}
const close = (actual: number, expected: number) =>
  assert.ok(Math.abs(actual - expected) <= 1e-12 * Math.max(1, Math.abs(expected)), `${actual}, expected ${expected}`)

describe('evaluation metrics', () => {
  it('balanced accuracy and F1 are scikit-learn’s', () => {
    for (const { classes, confusion, balancedAccuracy: balanced, f1 } of golden.confusions) {
      close(balancedAccuracy(confusion, classes), balanced)
      f1.forEach((expected, positive) => {
        close(f1Score(confusion, classes, positive), expected)
      })
    }
  })

  it('the 95 % interval is scipy’s Wilson interval', () => {
    for (const { correct, count, low, high } of golden.intervals) {
      const [ourLow, ourHigh] = wilsonInterval(correct, count)
      close(ourLow, low)
      close(ourHigh, high)
    }
  })

  it('perplexity is exp of the loss', () => {
    for (const { loss, perplexity: expected } of golden.perplexities) close(perplexity(loss), expected)
  })

  it('a head’s figures carry its layer and fit its kind', () => {
    const mlm = { name: 'mlm', kind: 'masked-lm' as const, tap: { layer: 6 }, weight: 1 }
    assert.deepEqual(scoreHead(mlm, { lossSum: 30, count: 10, correct: 4 }, 6), {
      head: 'mlm',
      kind: 'masked-lm',
      layer: 6,
      count: 10,
      loss: 3,
      accuracy: 0.4,
      perplexity: Math.exp(3),
    })
    const bshift = { name: 'bshift', kind: 'bigram-shift' as const, level: 'token' as const, read: 'mean' as const }
    const sums = { lossSum: 50, count: 100, correct: 85, confusion: [80, 10, 5, 5] }
    const scores = scoreHead({ ...bshift, tap: { layer: 2 }, weight: 1 }, sums, 6)
    close(scores.balancedAccuracy!, (80 / 90 + 5 / 10) / 2)
    close(scores.f1!, (2 * 5) / (10 + 15))
    assert.equal(scores.perplexity, undefined)
    assert.ok(scores.accuracyInterval![0] < 0.85 && scores.accuracyInterval![1] > 0.85)
  })
})

describe('balanced accuracy at the prior', () => {
  it('is that of the threshold at the share of label 1', () => {
    const random = stream(7, 'histogram')
    const labels = Int32Array.from({ length: 4000 }, () =>
      random.float() < 0.05 ? 1 : random.float() < 0.1 ? -100 : 0,
    )
    const logits: number[] = []
    const rows: { label: number; probability: number }[] = []
    for (const label of labels) {
      if (label === -100) continue
      const difference = random.normal() * 2 - 3 + 1.5 * label
      logits.push(0.25, 0.25 + difference)
      rows.push({ label, probability: 1 / (1 + Math.exp(-difference)) })
    }
    const histogram = new ScoreHistogram()
    histogram.add(
      labels.subarray(0, 1000),
      logits.slice(0, 2 * labels.subarray(0, 1000).filter((label) => label !== -100).length),
    )
    histogram.add(
      labels.subarray(1000),
      logits.slice(2 * labels.subarray(0, 1000).filter((label) => label !== -100).length),
    )
    const prior = rows.filter(({ label }) => label === 1).length / rows.length
    const recall = (wanted: number) => {
      const own = rows.filter(({ label }) => label === wanted)
      return own.filter(({ probability }) => (probability > prior ? 1 : 0) === wanted).length / own.length
    }
    const expected = (recall(0) + recall(1)) / 2
    assert.ok(
      expected > 0.6 && Math.abs(histogram.balancedAtPrior() - expected) < 2e-3,
      `${histogram.balancedAtPrior()} ${expected}`,
    )
    // The likelier class alone misses most of the rare one.
    const likelier = rows.filter(({ label, probability }) => label === 1 && probability > 0.5).length
    assert.ok(likelier / rows.filter(({ label }) => label === 1).length < recall(1) - 0.2)
  })
})
