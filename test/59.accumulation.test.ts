import assert from 'node:assert/strict'
import type { HeadLabels, PackedBatch } from '../lib/data/packed-batch.js'
import { evaluateHeads } from '../lib/evaluation/index.js'
import { type Model, Optimizer, type Values } from '../lib/model/index.js'
import { addGradients, labelCounts } from '../lib/training/index.js'
import { TINY_CONFIG, tinyModel, tinyTask } from './helpers/tiny-training.js'

/** Lays batches end to end. */
function joined(batches: PackedBatch[]): PackedBatch {
  const concatenate = (arrays: ArrayLike<number>[]) =>
    Int32Array.from(arrays.flatMap((array) => [...Array.from(array)]))
  let tokens = 0
  const starts = batches.map((batch) => {
    tokens += batch.tokenIds.length
    return tokens - batch.tokenIds.length
  })
  const labels: Record<string, HeadLabels> = {}
  for (const head of new Set(batches.flatMap((batch) => Object.keys(batch.labels)))) {
    const parts = batches.map((batch) => batch.labels[head])
    labels[head] = { labels: concatenate(parts.map((part) => part.labels)) }
    if (!parts[0].positions) continue
    labels[head].positions = concatenate(
      parts.map((part, index) => part.positions!.map((position) => position + starts[index])),
    )
  }
  const offsets = batches.map((batch, index) =>
    batch.sequenceOffsets.slice(0, -1).map((offset) => offset + starts[index]),
  )
  return {
    tokenIds: concatenate(batches.map(({ tokenIds }) => tokenIds)),
    segmentIds: concatenate(batches.map(({ segmentIds }) => segmentIds)),
    sequenceOffsets: Int32Array.from([...concatenate(offsets), tokens]),
    labels,
  }
}

describe('over several batches', function () {
  this.timeout(60_000)
  let model: Model
  const { source, evaluation } = tinyTask()
  const batches = [0, 1, 2].map((index) => source.build(0, index))

  before(async () => {
    const encoder = { ...TINY_CONFIG.encoder, hiddenDropout: 0, attentionDropout: 0 }
    model = await tinyModel({ ...TINY_CONFIG, encoder }, { precision: 'fp64' })
  })
  after(() => model.dispose())

  const distance = (a: Values, b: Values) => Math.hypot(...Array.from(a, (value, index) => value - b[index]))
  const norm = (a: Values) => distance(a, new Float64Array(a.length))

  it('accumulated gradients equal those of one large batch, though label counts differ from batch to batch', async () => {
    const counts = batches.map((batch) => labelCounts([batch]).nsp)
    assert.ok(new Set(counts).size > 1, `label counts ${counts} differ`)
    assert.equal(
      labelCounts(batches).nsp,
      counts.reduce((a, b) => a + b),
    )
    // A divisor of 0 would make NaN of a head whose labels are all left out.
    const none = { ...batches[0], labels: { nsp: { labels: Int32Array.of(-100, -100) } } }
    assert.deepEqual(labelCounts([none, none]), { nsp: 1 })
    // A step at rate 0 only clears the gradients.
    const settings = { kind: 'adamw' as const, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }
    const names = model.parameters().map(({ name }) => name)
    const groups = [{ names, weightDecay: 0, learningRateFactor: 0 }]
    const optimizer = await Optimizer.create(model, { ...settings, groups })
    await addGradients(model, batches)
    const accumulated = await model.readTensors('gradient')
    await optimizer.step({ learningRate: 0 })
    await addGradients(model, [joined(batches)])
    const together = await model.readTensors('gradient')
    await optimizer.step({ learningRate: 0 })
    await optimizer.dispose()
    const total = Math.hypot(...Object.values(together).map(norm))
    for (const [name, gradient] of Object.entries(together)) {
      const error = distance(gradient, accumulated[name]) / Math.max(norm(gradient), 1e-6 * total)
      assert.ok(error <= 1e-12, `${name}: ${error}`)
    }
  })

  it('evaluation equals that of one large batch', async () => {
    const total = evaluation!.batchCount(0)
    assert.ok(total > 1)
    const seen: string[] = []
    const scores = await evaluateHeads(model, evaluation!, { onBatch: (done, of) => void seen.push(`${done}/${of}`) })
    const one = joined(Array.from({ length: total }, (_, index) => evaluation!.build(0, index)))
    const expected = await evaluateHeads(model, { batchCount: () => 1, build: () => one })
    assert.deepEqual(Object.keys(scores), ['nsp', 'mlm'])
    for (const [head, score] of Object.entries(scores)) {
      assert.equal(score.count, expected[head].count)
      assert.equal(score.accuracy, expected[head].accuracy)
      assert.deepEqual(score.confusion, expected[head].confusion)
      assert.ok(Math.abs(score.loss - expected[head].loss) <= 1e-12 * score.loss)
    }
    assert.equal(
      scores.nsp.confusion!.reduce((a, b) => a + b),
      scores.nsp.count,
    )
    assert.equal(seen.at(-1), `${total}/${total}`)
  })

  it('evaluation takes only the named heads, can be aborted and refuses a source without batches', async () => {
    assert.deepEqual(Object.keys(await evaluateHeads(model, evaluation!, { heads: ['mlm'] })), ['mlm'])
    const aborted = evaluateHeads(model, evaluation!, { signal: AbortSignal.abort() })
    await assert.rejects(aborted, { code: 'ABORTED' })
    const empty = { batchCount: () => 0, build: () => assert.fail() }
    await assert.rejects(evaluateHeads(model, empty), { code: 'BAD_DATA' })
  })
})
