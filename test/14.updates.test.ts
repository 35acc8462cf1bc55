/** Gradients that must agree with each other and with the losses; updates that must agree with the gradients. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { HeadLabels, PackedBatch } from '../lib/data/packed-batch.js'
import { type Model, Optimizer } from '../lib/model/index.js'
import { loadCore } from '../lib/runtime/index.js'
import { labelCounts } from '../lib/training/gradients.js'
import { refuses } from './helpers/refuses.js'
import { adamw, HEADS, normOf, perturb, relativeDistance, smallBatch, smallModel } from './helpers/small-model.js'

describe('gradients and updates', function () {
  this.timeout(60_000)
  let folder: string
  const made: { dispose(): Promise<void> }[] = []
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-model-'))
  })
  afterEach(async () => {
    for (const handle of made.splice(0).reverse()) await handle.dispose()
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  /** Disposed after the test. */
  async function make(...args: Parameters<typeof smallModel>): Promise<Model> {
    const model = await smallModel(...args)
    made.push(model)
    return model
  }

  describe('gradients', () => {
    it('accumulation with the label counts of all batches equals one big batch, to 1e-12 in float64', async () => {
      const lengths = [17, 5, 32, 9, 12, 3]
      const whole = smallBatch(5, lengths)
      // Uneven parts: nobody may rely on equal counts.
      const parts = [cut(whole, 0, 1), cut(whole, 1, 4), cut(whole, 4, 6)]
      assert.deepEqual(labelCounts(parts), labelCounts([whole]), 'the parts hold all labels')
      const [big, small] = [await make({ precision: 'fp64' }), await make({ precision: 'fp64' })]
      await perturb(big)
      await perturb(small)
      const bigLosses = await (await big.step(whole)).read()
      const sums: Record<string, number> = {}
      for (const part of parts) {
        const losses = await (await small.step(part, { lossDivisors: labelCounts(parts) })).read()
        for (const [head, { lossSum }] of Object.entries(losses)) sums[head] = (sums[head] ?? 0) + lossSum
      }
      for (const [head, { lossSum }] of Object.entries(bigLosses)) {
        assert.ok(Math.abs(sums[head] - lossSum) <= 1e-12 * lossSum, `${head}: ${sums[head]} and ${lossSum}`)
      }
      const expected = await big.readTensors('gradient')
      const actual = await small.readTensors('gradient')
      const floor = 1e-6 * normOf(...Object.values(expected))
      for (const [name, tensor] of Object.entries(expected)) {
        const difference = normOf(actual[name].map((value, i) => value - tensor[i]))
        assert.ok(difference <= 1e-12 * Math.max(normOf(tensor), floor), `${name}: ${difference}`)
      }
    })

    // 256: products that are large enough for oneDNN (core/float_products.h).
    for (const [precision, limit, hiddenSize] of [
      ['fp64', 1e-12, 32],
      ['fp32', 1e-5, 32],
      ['fp32', 1e-5, 256],
    ] as const) {
      for (const hidden of hiddenSize === 32 ? [0, 0.3] : [0.3]) {
        it(`reference kernels equal the fast ones: ${precision}, width ${hiddenSize}, hidden dropout ${hidden}`, async () => {
          const encoder = { hiddenDropout: hidden, hiddenSize }
          const fast = await make({ precision }, encoder)
          const reference = await make({ precision, kernels: 'reference' }, encoder)
          // Every label mode and length, a sequence of one token included.
          const batch = smallBatch(8, [1, 32, 7, 2, 19])
          const results = await Promise.all(
            [fast, reference].map(async (model) => {
              await perturb(model)
              const states = await model.hiddenStates(batch)
              const evaluation = await model.evaluate(batch)
              const losses = await (await model.step(batch)).read()
              return { states, evaluation, losses, gradients: await model.readTensors('gradient') }
            }),
          )
          const [a, b] = results
          for (const [head, { lossSum }] of Object.entries(b.losses)) {
            assert.ok(Math.abs(a.losses[head].lossSum - lossSum) <= limit * lossSum, head)
            const evaluated = b.evaluation[head]
            assert.ok(Math.abs(a.evaluation[head].lossSum - evaluated.lossSum) <= limit * evaluated.lossSum, head)
            if (hidden === 0) assert.ok(Math.abs(lossSum - evaluated.lossSum) <= limit * lossSum, head)
            else assert.ok(Math.abs(lossSum - evaluated.lossSum) > 1e-4 * lossSum, `${head} shows no dropout`)
          }
          a.states.forEach((states, layer) => {
            assert.ok(relativeDistance({ states }, { states: b.states[layer] }) <= limit, `layer ${layer}`)
          })
          const floor = 1e-4 * normOf(...Object.values(b.gradients))
          for (const [name, tensor] of Object.entries(b.gradients)) {
            const difference = normOf(a.gradients[name].map((value, i) => value - tensor[i]))
            assert.ok(difference <= limit * Math.max(normOf(tensor), floor), `${name}: ${difference / normOf(tensor)}`)
          }
        })
      }
    }

    it('float32 products of oneDNN are those of MKL, with their gradients', function () {
      const core = loadCore()
      // Large enough for oneDNN: a row, an input, an output, sizes of no vector's length, and input and gradient that lie by columns.
      for (const [rows, inputs, outputs, strided] of [
        [1, 2049, 2051, false],
        [2053, 1, 2049, false],
        [2053, 2049, 1, false],
        [129, 255, 131, false],
        [129, 255, 131, true],
        [0, 7, 5, false],
      ] as const) {
        const distances = core.compareFloatProducts(rows, inputs, outputs, strided) as Record<string, number> | null
        if (!distances) return this.skip()
        for (const [name, distance] of Object.entries(distances))
          assert.ok(distance <= 1e-5, `${name} of ${rows} × ${inputs} → ${outputs}: ${distance}`)
      }
    })

    it('the kernels that this processor does not take by itself equal the reference, too', function () {
      // Attention's own products and oneDNN's go together; which of the two ways a process takes is decided once.
      const other = loadCore().floatProducts?.() === 'mkl' ? 'onednn' : 'mkl'
      if (other === 'onednn' && !loadCore().compareFloatProducts(1, 1, 1, false)) this.skip()
      const mocha = join(dirname(require.resolve('mocha/package.json')), 'bin', 'mocha.js')
      const { status, stdout } = spawnSync(
        process.execPath,
        [mocha, '--import=tsx', __filename, '-g', 'reference kernels equal'],
        { encoding: 'utf8', env: { ...process.env, STRATABERT_FLOAT_PRODUCTS: other } },
      )
      assert.equal(status, 0, stdout)
      assert.match(stdout, /5 passing/)
    })

    it('gradients are those of the loss: finite differences in float64', async () => {
      const model = await make({ precision: 'fp64' })
      await perturb(model)
      const batch = smallBatch(3, [6, 11])
      const total = async () => {
        const losses = await model.evaluate(batch)
        return HEADS.reduce((sum, { name, weight }) => sum + (weight * losses[name].lossSum) / losses[name].count, 0)
      }
      await model.step(batch)
      const gradients = await model.readTensors('gradient')
      for (const name of [
        'bert.embeddings.word_embeddings.weight',
        'bert.encoder.layer.0.attention.self.query.weight',
        'bert.encoder.layer.1.output.LayerNorm.weight',
        'heads.nsp.pooler.weight',
        'heads.mlm.transform.dense.weight',
      ]) {
        const values = (await model.readTensors('value', [name]))[name]
        // Along the gradient itself: the slope must be its squared norm.
        const gradient = gradients[name]
        const squared = normOf(gradient) ** 2
        const epsilon = 1e-5 / Math.sqrt(squared)
        const at = async (sign: number) => {
          await model.writeTensors({
            [name]: values.map((value, i) => value + sign * epsilon * gradient[i]) as Float64Array,
          })
          return total()
        }
        const slope = ((await at(1)) - (await at(-1))) / (2 * epsilon)
        await model.writeTensors({ [name]: values })
        assert.ok(Math.abs(slope - squared) <= 1e-6 * squared, `${name}: slope ${slope}, squared norm ${squared}`)
      }
    })

    it('a head takes gradients down to its own tap and no further up', async () => {
      const model = await make()
      const { nsp } = smallBatch().labels
      await model.step({ ...smallBatch(), labels: { nsp } })
      const gradients = await model.readTensors('gradient')
      for (const [name, tensor] of Object.entries(gradients)) {
        const below = /embeddings|layer\.0\.|heads\.nsp/.test(name)
        if (name.endsWith('key.bias')) continue // exactly zero in exact arithmetic
        assert.equal(normOf(tensor) > 0, below, name)
      }
    })
  })

  describe('updates', () => {
    /** Without moments: w ← w − rate · g / (|g| + 1), so that the clipped gradient can be read off the weights. */
    const plain = (model: Model, names = model.parameters().map(({ name }) => name)): Promise<Optimizer> =>
      Optimizer.create(model, {
        kind: 'adamw',
        beta1: 0,
        beta2: 0,
        epsilon: 1,
        groups: [{ names, weightDecay: 0, learningRateFactor: 1 }],
      })

    for (const [name, limits] of [
      ['global', { maxGradNorm: 0.05 }],
      ['per tensor', { maxTensorGradNorm: 0.02 }],
      ['per tensor, then global', { maxTensorGradNorm: 0.02, maxGradNorm: 0.05 }],
      ['limits that nothing reaches', { maxTensorGradNorm: 1e6, maxGradNorm: 1e6 }],
      ['none', {}],
    ] as const) {
      it(`clipping, ${name}: the weights move as computed from the gradients`, async () => {
        const model = await make({ precision: 'fp64' })
        await perturb(model)
        const optimizer = await plain(model)
        made.push(optimizer)
        await model.step(smallBatch())
        const [values, gradients] = [await model.readTensors('value'), await model.readTensors('gradient')]
        const norm = normOf(...Object.values(gradients))
        assert.ok(norm > 0.1, 'the global limit bites')
        const result = await (await optimizer.step({ learningRate: 0.1, ...limits })).read()
        assert.ok(Math.abs(result.gradNorm - norm) <= 1e-12 * norm, `${result.gradNorm} and ${norm}`)
        const { maxTensorGradNorm = 0, maxGradNorm = 0 } = limits as {
          maxTensorGradNorm?: number
          maxGradNorm?: number
        }
        const clip = (limit: number, size: number) => (limit > 0 ? Math.min(1, limit / (size + 1e-6)) : 1)
        const clipped: Record<string, Float64Array> = {}
        for (const [key, gradient] of Object.entries(gradients)) {
          const factor = clip(maxTensorGradNorm, normOf(gradient))
          clipped[key] = Float64Array.from(gradient, (value) => value * factor)
        }
        const factor = clip(maxGradNorm, normOf(...Object.values(clipped)))
        const expected: Record<string, Float64Array> = {}
        for (const [key, gradient] of Object.entries(clipped)) {
          expected[key] = gradient.map((g, i) => values[key][i] - (0.1 * g * factor) / (Math.abs(g * factor) + 1))
        }
        const moved = await model.readTensors('value')
        for (const key of Object.keys(expected)) {
          const difference = normOf(moved[key].map((value, i) => value - expected[key][i]))
          const movement = normOf(expected[key].map((value, i) => value - values[key][i]))
          assert.ok(difference <= 1e-9 * movement + 1e-14, `${key}: ${difference} of ${movement}`)
        }
        for (const gradient of Object.values(await model.readTensors('gradient'))) assert.equal(normOf(gradient), 0)
      })
    }

    it('weight decay and learning-rate factor belong to the group', async () => {
      const model = await make({ precision: 'fp64' })
      const [a, b] = ['heads.nsp.classifier.weight', 'heads.token.classifier.weight']
      const optimizer = await Optimizer.create(model, {
        kind: 'adamw',
        beta1: 0,
        beta2: 0,
        epsilon: 1,
        groups: [
          { names: [a], weightDecay: 0.5, learningRateFactor: 1 },
          { names: [b], weightDecay: 0, learningRateFactor: 0.25 },
        ],
      })
      made.push(optimizer)
      await model.step(smallBatch())
      const [values, gradients] = [await model.readTensors('value'), await model.readTensors('gradient')]
      await optimizer.step({ learningRate: 0.1 })
      const moved = await model.readTensors('value')
      for (const [key, decay, rate] of [
        [a, 0.5, 0.1],
        [b, 0, 0.025],
      ] as const) {
        const expected = values[key].map((value, i) => {
          const g = gradients[key][i]
          return value * (1 - rate * decay) - (rate * g) / (Math.abs(g) + 1)
        })
        assert.ok(relativeDistance({ key: moved[key] }, { key: expected }) <= 1e-12, key)
      }
    })

    it('parameters in no group stay as they are, bit for bit, and gather no gradient', async () => {
      const [model, whole] = [await make(), await make()]
      const optimizer = await adamw(model, (name) => /layer\.1\.|heads\.mlm/.test(name))
      made.push(optimizer)
      const before = await model.readTensors('value')
      await whole.step(smallBatch())
      await model.step(smallBatch())
      const [own, all] = [await model.readTensors('gradient'), await whole.readTensors('gradient')]
      await optimizer.step({ learningRate: 1e-2 })
      const after = await model.readTensors('value')
      for (const name of Object.keys(before)) {
        const trained = /layer\.1\.|heads\.mlm/.test(name)
        if (trained) {
          assert.ok(
            relativeDistance({ name: own[name] }, { name: all[name] }) <= 1e-5 || name.endsWith('key.bias'),
            name,
          )
          if (!name.endsWith('key.bias')) assert.notDeepEqual(after[name], before[name], name)
        } else {
          assert.equal(normOf(own[name]), 0, name)
          assert.deepEqual(after[name], before[name], name)
        }
      }
    })

    it('a model whose every parameter is frozen says so', async () => {
      const model = await make()
      made.push(await adamw(model, () => false))
      await assert.rejects(model.step(smallBatch()), refuses('BAD_ARGUMENT', 'frozen', 'optimizer'))
      const evaluation = await model.evaluate(smallBatch())
      assert.equal(evaluation.nsp.count, 4)
    })

    for (const precision of ['fp32', 'fp64'] as const) {
      it(`a gradient that is not finite leaves weights and moments untouched: ${precision}`, async () => {
        const [model, twin] = [await make({ precision }), await make({ precision })]
        const [optimizer, twinOptimizer] = [await adamw(model), await adamw(twin)]
        made.push(optimizer, twinOptimizer)
        const update = { learningRate: 1e-2, maxGradNorm: 1 }
        await model.step(smallBatch(1))
        await optimizer.step(update)
        const before = await model.readTensors('value')
        // The losses themselves are finite; the tiny divisor makes the gradients overflow.
        const losses = await (await model.step(smallBatch(2), { lossDivisors: { mlm: 1e-320 } })).read()
        assert.ok(losses.mlm.finite)
        const skipped = await (await optimizer.step(update)).read()
        assert.equal(skipped.applied, false)
        assert.ok(!Number.isFinite(skipped.gradNorm))
        assert.equal(skipped.stepCount, 2)
        assert.deepEqual(await model.readTensors('value'), before)
        await model.step(smallBatch(3))
        const applied = await (await optimizer.step(update)).read()
        assert.deepEqual([applied.applied, applied.stepCount], [true, 3])
        for (const seed of [1, 3]) {
          await twin.step(smallBatch(seed))
          await twinOptimizer.step(update)
        }
        assert.deepEqual(await model.readTensors('value'), await twin.readTensors('value'))
      })
    }

    it('a NaN in the weights is told: the loss is not finite and the update is left out', async () => {
      const model = await make()
      const optimizer = await adamw(model)
      made.push(optimizer)
      await model.writeTensors({ 'heads.nsp.classifier.bias': Float32Array.of(Number.NaN, 0) })
      const losses = await (await model.step(smallBatch())).read()
      assert.equal(losses.nsp.finite, false)
      assert.equal((await (await optimizer.step({ learningRate: 1 })).read()).applied, false)
    })

    it('the optimizer goes on bit for bit from its file, and refuses the file of other parameters', async () => {
      const run = async (cut: boolean) => {
        let model = await make()
        let optimizer = await adamw(model)
        made.push(optimizer)
        for (let step = 0; step < 6; step++) {
          if (cut && step === 3) {
            const mapping = Object.fromEntries(model.parameters().map(({ name }) => [name, name]))
            const [weights, moments] = [join(folder, 'weights'), join(folder, 'moments')]
            await Promise.all([model.save(weights, mapping), optimizer.save(moments)])
            model = await make({ seed: 99 })
            optimizer = await adamw(model)
            made.push(optimizer)
            await Promise.all([model.load(weights, mapping), optimizer.load(moments)])
          }
          await model.step(smallBatch(step))
          await optimizer.step({ learningRate: 1e-2, maxGradNorm: 1 })
        }
        const last = await model.step(smallBatch(7)).then(() => optimizer.step({ learningRate: 0 }))
        assert.equal((await last.read()).stepCount, 7)
        return model.readTensors('value')
      }
      assert.deepEqual(await run(true), await run(false))
      const model = await make()
      const part = await adamw(model, (name) => name.startsWith('heads.'))
      made.push(part)
      await assert.rejects(part.load(join(folder, 'moments')), refuses('BAD_CHECKPOINT', 'moments', 'tensors'))
      await assert.rejects(part.load(join(folder, 'weights')), refuses('BAD_CHECKPOINT', 'weights', 'optimizer state'))
    })
  })
})

/** Sequences [first, last) of a batch of {@link smallBatch} as a batch of their own. */
function cut(batch: PackedBatch, first: number, last: number): PackedBatch {
  const [from, to] = [batch.sequenceOffsets[first], batch.sequenceOffsets[last]]
  const labels: Record<string, HeadLabels> = {}
  for (const [head, all] of Object.entries(batch.labels)) {
    const places = all.positions ?? all.spanStarts
    if (!places) {
      labels[head] = { labels: all.labels.slice(first, last) }
      continue
    }
    const keep = [...places.keys()].filter((i) => places[i] >= from && places[i] < to)
    const take = (array: Int32Array, shift: number) => Int32Array.from(keep, (i) => array[i] - shift)
    labels[head] = { labels: take(all.labels, 0) }
    if (all.positions) labels[head].positions = take(all.positions, from)
    if (all.spanStarts) labels[head].spanStarts = take(all.spanStarts, from)
    if (all.spanEnds) labels[head].spanEnds = take(all.spanEnds, from)
  }
  return {
    tokenIds: batch.tokenIds.slice(from, to),
    segmentIds: batch.segmentIds.slice(from, to),
    sequenceOffsets: batch.sequenceOffsets.slice(first, last + 1).map((offset) => offset - from),
    labels,
  }
}
