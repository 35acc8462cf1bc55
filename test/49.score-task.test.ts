import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { PackedBatch } from '../lib/data/index.js'
import { scoreTask, splitOf, type TaskPrediction } from '../lib/evaluation/index.js'
import type { HeadConfig, HeadEvaluation, Model } from '../lib/model/index.js'
import { customDefinition, definitionOf, type OpenedTask, openTask } from '../lib/tasks/index.js'
import { Tokenizer } from '../lib/text/index.js'
import { keepsScores } from './helpers/kept-scores.js'
import { refuses } from './helpers/refuses.js'
import { smallModel } from './helpers/small-model.js'

const HEAD = { tap: { layer: 2 }, weight: 1, dropout: 0, pooler: 'none' } as const

describe('Scores of a task', function () {
  this.timeout(60_000)
  let folder: string
  let tokenizer: Tokenizer
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-score-'))
    tokenizer = await Tokenizer.load(resolve(__dirname, 'golden/tokenizer-vocab.txt'))
  })
  after(() => rmSync(folder, { recursive: true }))

  const TEXTS = ['the', 'one is', 'is the one', 'and the of in', 'of', 'to a', 'was for the']
  const CLASSES = ['0', '1', '1', '0', '1', '0', '1']
  const VALUES = ['0', '5', '3.8', '1.2', '4', '2', '3']
  function openSet(kind: 'classification' | 'regression', labels: string[], sequences = 3): Promise<OpenedTask> {
    const data = join(folder, `${kind}.tsv`)
    const test = join(folder, `${kind}-test.tsv`)
    writeFileSync(data, `text\tlabel\n${TEXTS.map((text, i) => `${text}\t${labels[i]}\n`).join('')}`)
    writeFileSync(test, `index\ttext\n${TEXTS.map((text, i) => `${10 - i}\t${text}\n`).join('')}`)
    const custom =
      kind === 'classification'
        ? { text: 'text', label: 'label', labels: ['no', 'yes'], metrics: ['matthews', 'accuracy', 'f1', 'f1Macro'] }
        : { kind, text: 'text', label: 'label', range: [0, 5] as const }
    const definition = { ...customDefinition('mine', custom), id: { names: ['index'], optional: true } }
    return openTask({ definition, data: { dev: data, test }, tokenizer, seed: 1, sequences })
  }

  /** A model whose head gives set rows for the sequences as they come; what follows from known scores has known figures. */
  function answering(config: Partial<HeadConfig> & { kind: string }, rows: readonly (readonly number[])[]): Model {
    let next = 0
    const model = {
      config: { heads: [{ ...HEAD, name: 'mine', ...config }] },
      async evaluate(batch: PackedBatch): Promise<Record<string, HeadEvaluation>> {
        const [[head, { labels }]] = Object.entries(batch.labels)
        const given = rows.slice(next, next + labels.length)
        next += labels.length
        const values = Float32Array.from(given.flat())
        const logits = { shape: [given.length, given[0].length], values }
        return { [head]: { lossSum: 2 * labels.length, count: labels.length, correct: 0, logits } }
      },
    }
    return model as unknown as Model
  }
  const classifier = { kind: 'classifier', classes: 2 } as const

  it('classification: metrics over the whole set, whatever the batches', async () => {
    const task = await openSet('classification', CLASSES)
    // Predicted 0 1 0 0 1 1 1 (equal scores: the first class): of 4 positives 3 are found, of 3 negatives 2 are right.
    const rows = [
      [1, -1],
      [0, 3],
      [2, 2],
      [1, 0],
      [-5, -4],
      [0, 0.1],
      [0, 9],
    ]
    const predictions: TaskPrediction[] = []
    const scores = await scoreTask(answering(classifier, rows), task, 'dev', {
      predictions: (p) => predictions.push(p),
    })
    const { metrics, main, ...rest } = scores
    assert.deepEqual(rest, { task: 'mine', split: 'dev', count: 7, loss: 2 })
    const expected = { matthews: 5 / 12, accuracy: 5 / 7, f1: 6 / 8, f1Macro: (6 / 8 + 4 / 6) / 2 }
    assert.deepEqual(Object.keys(metrics), Object.keys(expected))
    for (const [name, figure] of Object.entries(expected)) assert.ok(Math.abs(metrics[name] - figure) < 1e-12, name)
    assert.equal(main, metrics.matthews)
    const { scores: probabilities, ...second } = predictions[1]
    assert.ok(Math.abs((probabilities as number[])[1] - 1 / (1 + Math.exp(-3))) < 1e-12)
    assert.deepEqual(second, {
      task: 'mine',
      split: 'dev',
      example: 1,
      file: join(folder, 'classification.tsv'),
      line: 3,
      predicted: 'yes',
      expected: 'yes',
      predictedIndex: 1,
      expectedIndex: 1,
    })
    assert.deepEqual(
      predictions.map(({ predicted }) => predicted),
      ['no', 'yes', 'no', 'no', 'yes', 'yes', 'yes'],
    )
    keepsScores(predictions, metrics)
  })

  it('regression: correlations over the whole set, values as the files have them', async () => {
    const task = await openSet('regression', VALUES)
    const straight = VALUES.map((value) => [3 * Number(value) - 1])
    const seen: TaskPrediction[] = []
    const scores = await scoreTask(answering({ kind: 'regressor' }, straight), task, 'dev', {
      predictions: (p) => seen.push(p),
    })
    keepsScores(seen, scores.metrics)
    for (const figure of Object.values(scores.metrics)) assert.ok(Math.abs(figure - 1) < 1e-12, `${figure}`)
    assert.equal(scores.main, scores.metrics.pearson)
    const definition = { ...definitionOf('STS-B'), name: 'mine', targetDivisor: 5 }
    const data = join(folder, 'pairs.tsv')
    writeFileSync(data, 'sentence1\tsentence2\tscore\nthe\tone\t3.8\nis\tof\t1\n')
    const fifths = await openTask({ definition, data: { dev: data }, tokenizer, seed: 1 })
    const predictions: TaskPrediction[] = []
    const model = answering({ kind: 'regressor' }, [[0.5], [0.25]])
    await scoreTask(model, fifths, 'dev', { predictions: (p) => predictions.push(p) })
    assert.deepEqual(
      predictions.map(({ predicted, expected }) => [predicted, expected]),
      [
        [2.5, 3.8],
        [1.25, 1],
      ],
    )
  })

  it('a split without labels: predictions with the rows’ own numbers, no figures', async () => {
    const task = await openSet('classification', CLASSES)
    const predictions: TaskPrediction[] = []
    const rows = TEXTS.map((_, i) => [0, i - 2.5])
    const scores = await scoreTask(answering(classifier, rows), task, 'test', {
      predictions: (p) => predictions.push(p),
    })
    assert.deepEqual(scores, { task: 'mine', split: 'test', count: 7, loss: Number.NaN, metrics: {}, main: Number.NaN })
    assert.deepEqual(
      predictions.map(({ id, predicted, expected }) => [id, predicted, expected]),
      TEXTS.map((_, i) => [`${10 - i}`, i < 3 ? 'no' : 'yes', undefined]),
    )
  })

  it('refuses a head that cannot answer', async () => {
    const task = await openSet('classification', CLASSES)
    const score = (config: Partial<HeadConfig> & { kind: string }, split = 'dev', head?: string) =>
      scoreTask(
        answering(
          config,
          TEXTS.map(() => [0, 1]),
        ),
        task,
        split,
        { head },
      )
    await assert.rejects(score({ ...classifier, name: 'other' }), refuses('BAD_ARGUMENT', 'no head mine', 'other'))
    await assert.rejects(score({ kind: 'regressor' }), refuses('BAD_ARGUMENT', 'regressor', 'classifier or san'))
    await assert.rejects(score({ ...classifier, classes: 3 }), refuses('BAD_ARGUMENT', '3 classes', '2 (no, yes)'))
    await assert.rejects(score(classifier, 'train'), refuses('BAD_ARGUMENT', 'split train', 'dev'))
    assert.throws(() => splitOf(task, 'toString'), refuses('BAD_ARGUMENT', 'test, dev'))
    assert.equal((await score({ ...classifier, name: 'other' }, 'dev', 'other')).count, 7)
    const broken = answering(
      classifier,
      TEXTS.map((_, i) => [0, i === 4 ? Number.NaN : 1]),
    )
    await assert.rejects(scoreTask(broken, task, 'dev'), refuses('NON_FINITE', 'classification.tsv:6'))
    const aborted = scoreTask(answering(classifier, []), task, 'dev', { signal: AbortSignal.abort() })
    await assert.rejects(aborted, refuses('ABORTED', '0 of 3'))
  })

  it('a real model: the same scores whatever the batches, and the model’s own counts', async () => {
    const heads = [{ ...HEAD, name: 'mine', ...classifier }] as HeadConfig[]
    const sizes = { vocabSize: tokenizer.vocabSize }
    const model = await smallModel({ precision: 'fp64' }, sizes, heads)
    try {
      // One after the other: both are written to the same file.
      const small = await openSet('classification', CLASSES, 2)
      const large = await openSet('classification', CLASSES, 7)
      const one = await scoreTask(model, small, 'dev')
      const other = await scoreTask(model, large, 'dev')
      assert.ok(Math.abs(one.loss - other.loss) < 1e-12, `${one.loss} ${other.loss}`)
      assert.deepEqual(one.metrics, other.metrics)
      const { mine } = await model.evaluate(large.evaluation.dev.build(0, 0))
      assert.equal(one.metrics.accuracy, mine.correct / mine.count)
      const predictions: TaskPrediction[] = []
      await scoreTask(model, large, 'test', { predictions: (p) => predictions.push(p) })
      assert.equal(predictions.length, 7)
    } finally {
      await model.dispose()
    }
  })
})
