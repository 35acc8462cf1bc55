/** What every method of Model and Optimizer does idle, busy and after dispose(), and without memory. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import type { PackedBatch } from '../lib/data/packed-batch.js'
import { counters, type HeadConfig, type Model } from '../lib/model/index.js'
import { refuses } from './helpers/refuses.js'
import { runChild } from './helpers/run-child.js'
import { adamw, HEADS, normOf, relativeDistance, smallBatch, smallModel, VOCABULARY } from './helpers/small-model.js'

type Tensors = Record<string, Float32Array | Float64Array>

describe('model', function () {
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

  describe('methods and life', () => {
    const operations: Record<string, (model: Model) => Promise<unknown>> = {
      step: async (model) => (await model.step(smallBatch())).read(),
      evaluate: (model) => model.evaluate(smallBatch()),
      embed: (model) => model.embed(smallBatch()),
      hiddenStates: (model) => model.hiddenStates(smallBatch()),
      attentionStatistics: (model) => model.attentionStatistics(smallBatch()),
      headLogits: (model) => model.headLogits(smallBatch(), 'mlm'),
      predictMasked: (model) => model.predictMasked(smallBatch(), 'mlm', Int32Array.of(1, 2), 3),
      readTensors: (model) => model.readTensors('value', ['heads.mlm.bias']),
      writeTensors: (model) => model.writeTensors({ 'heads.nsp.classifier.bias': Float32Array.of(0.5, 0.25) }),
      save: (model) => model.save(join(folder, 'bias.safetensors'), { 'heads.mlm.bias': 'bias' }),
      load: (model) => model.load(join(folder, 'bias.safetensors'), { 'heads.mlm.bias': 'bias' }),
      setDropout: (model) => model.setDropout({ hidden: 0.1 }),
    }
    before(async () => {
      await using model = await smallModel()
      await operations.save(model)
    })

    it('weights and gradients are those of the moment they were asked for, whatever was asked for after them', async () => {
      const model = await make({ precision: 'fp32' })
      await using optimizer = await adamw(model)
      const same = (a: Tensors, b: Tensors) => assert.deepEqual(a, b)
      await model.step(smallBatch())
      const [values, gradients] = [await model.readTensors('value'), await model.readTensors('gradient')]
      const early = [model.readTensors('value'), model.readTensors('effective'), model.readTensors('gradient')]
      const more = model.step(smallBatch(2))
      const update = optimizer.step({ learningRate: 0.1 })
      // The loop is held, as a backend's may be, while the thread goes on.
      for (const end = performance.now() + 200; performance.now() < end; );
      const [read, effective, gradient] = await Promise.all(early)
      same(read, values)
      same(effective, values)
      same(gradient, gradients)
      await Promise.all([more, update])
      assert.notDeepEqual(await model.readTensors('value'), values)
    })

    for (const [name, operation] of Object.entries(operations)) {
      it(`${name}: works idle, behind a running step and right before dispose(); afterwards DISPOSED`, async () => {
        const model = await make()
        await operation(model)
        const busy = model.step(smallBatch())
        await Promise.all([operation(model), busy])
        const last = operation(model)
        const gone = model.dispose()
        const late = operation(model)
        await assert.rejects(late, refuses('DISPOSED', 'disposed'))
        if (name !== 'step') await last
        // A step's losses are read by a second command, which came too late; the step itself was done.
        else await assert.rejects(last, refuses('DISPOSED', 'disposed'))
        await gone
        await assert.rejects(operation(model), refuses('DISPOSED', 'disposed'))
      })
    }

    it('what needs no native part works after dispose(): configuration, parameters, dropout state', async () => {
      const model = await make()
      await model.step(smallBatch())
      await model.dispose()
      assert.equal(model.parameters().length, 5 + 2 * 16 + 4 + 5 + 2 + 2)
      assert.deepEqual(model.dropoutState(), { seed: 11, counter: 1 })
      assert.equal(model.config.encoder.vocabSize, VOCABULARY)
    })

    it('commands end in the order in which they were asked for', async () => {
      const model = await make()
      const ended: string[] = []
      const wanted: string[] = []
      for (let round = 0; round < 3; round++) {
        for (const [name, operation] of Object.entries(operations)) {
          if (name === 'step' || name === 'load') continue // two commands each
          wanted.push(name)
          void operation(model).then(() => ended.push(name))
        }
      }
      await model.evaluate(smallBatch())
      assert.deepEqual(ended, wanted)
    })

    it('dispose() twice, at once and by `await using`; counters return to where they were', async () => {
      const before = counters()
      {
        await using model = await smallModel()
        await using optimizer = await adamw(model)
        const alive = counters()
        assert.equal(alive.liveModels, before.liveModels + 1)
        assert.equal(alive.liveOptimizers, before.liveOptimizers + 1)
        const numbers = model
          .parameters()
          .reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0)
        assert.equal(alive.nativeBytes - before.nativeBytes, 4 * 4 * numbers)
        await Promise.all([model.dispose(), model.dispose()])
        await model.dispose()
        await Promise.all([optimizer.dispose(), optimizer.dispose()])
      }
      const { liveModels, liveOptimizers, nativeBytes, queuedJobs } = counters()
      assert.deepEqual(
        { liveModels, liveOptimizers, nativeBytes, queuedJobs },
        {
          liveModels: before.liveModels,
          liveOptimizers: before.liveOptimizers,
          nativeBytes: before.nativeBytes,
          queuedJobs: before.queuedJobs,
        },
      )
    })

    it('dispose() while busy: every command asked for before it is done', async () => {
      const model = await make()
      const optimizer = await adamw(model)
      const before = await model.readTensors('value')
      const asked: Promise<unknown>[] = []
      for (let i = 0; i < 5; i++) asked.push(model.step(smallBatch(i)), optimizer.step({ learningRate: 1e-3 }))
      const after = model.readTensors('value')
      const gone = [model.dispose(), optimizer.dispose()]
      await Promise.all(asked)
      assert.ok(relativeDistance(await after, before) > 1e-4)
      await Promise.all(gone)
    })

    it('an optimizer that outlives its model says DISPOSED and can be disposed; in either order, busy or idle', async () => {
      for (const busy of [false, true]) {
        for (const first of ['model', 'optimizer'] as const) {
          const model = await make()
          const optimizer = await adamw(model)
          const running = busy
            ? [model.step(smallBatch()), optimizer.step({ learningRate: 1e-3 }), model.step(smallBatch(2))]
            : []
          const handles = first === 'model' ? [model, optimizer] : [optimizer, model]
          const disposals = [handles[0].dispose()]
          await assert.rejects(optimizer.step({ learningRate: 1e-3 }), refuses('DISPOSED'))
          await assert.rejects(optimizer.save(join(folder, 'never')), refuses('DISPOSED'))
          if (first === 'optimizer') await (await model.step(smallBatch())).read()
          disposals.push(handles[1].dispose())
          await Promise.all([...running, ...disposals])
          await assert.rejects(adamw(model), refuses('DISPOSED', 'model'))
        }
      }
    })

    it('several models at once compute what each computes alone', async () => {
      const alone: Tensors[] = []
      const train = async (model: Model) => {
        const optimizer = await adamw(model)
        made.push(optimizer)
        for (let i = 0; i < 4; i++) {
          await model.step(smallBatch(i))
          await optimizer.step({ learningRate: 1e-2 })
        }
        return model.readTensors('value')
      }
      for (const seed of [1, 2, 3, 4]) alone.push(await train(await make({ seed })))
      const together = await Promise.all([1, 2, 3, 4].map(async (seed) => train(await make({ seed }))))
      assert.deepEqual(together, alone)
      assert.ok(relativeDistance(alone[0], alone[1]) > 0.5)
    })

    it('losses: of many unread steps the newest are kept, an old one says so, none is read twice', async () => {
      const model = await make({}, { layers: 1, hiddenSize: 8, heads: 1 }, [HEADS[0]])
      const batch = { ...smallBatch(1, [3]), labels: { nsp: { labels: Int32Array.of(1) } } }
      const first = await model.step(batch)
      for (let i = 0; i < 4100; i++) void model.step(batch)
      const last = await model.step(batch)
      await assert.rejects(first.read(), refuses('NOT_FOUND', 'step 1'))
      const { nsp } = await last.read()
      assert.ok(nsp.finite && nsp.count === 1 && nsp.loss > 0)
      assert.equal(await last.read(), await last.read())
    })

    it('a batch changed after the call does not change the step', async () => {
      const [model, twin] = [await make(), await make()]
      const batch = smallBatch()
      const step = model.step(batch)
      batch.tokenIds.fill(0)
      batch.labels.mlm.labels.fill(0)
      const losses = await (await step).read()
      assert.deepEqual(losses, await (await twin.step(smallBatch())).read())
    })
  })

  describe('memory', () => {
    it('a model larger than any machine: OUT_OF_MEMORY', async () => {
      const [largest, huge] = [2 ** 31 - 1, 2 ** 20]
      const { liveModels } = counters()
      for (const hiddenSize of [huge, largest]) {
        const made = smallModel({}, { vocabSize: largest, hiddenSize, heads: 1, intermediateSize: 8 })
        await assert.rejects(made, refuses('OUT_OF_MEMORY', 'memory'))
      }
      assert.equal(counters().liveModels, liveModels)
    })

    it('logits larger than any address space: OUT_OF_MEMORY, after which the model works', async () => {
      const heads: HeadConfig[] = [{ name: 'mlm', kind: 'masked-lm', tap: { layer: 1 }, weight: 1 }]
      const sizes = { vocabSize: 1e7, hiddenSize: 1, heads: 1, layers: 1, intermediateSize: 1, maxPositions: 8 }
      const model = await make({}, sizes, heads)
      // Places may come more than once: 4 million rows of 10 million scores are 160 TB.
      const batch = (rows: number): PackedBatch => ({
        tokenIds: new Int32Array(4),
        segmentIds: new Int32Array(4),
        sequenceOffsets: Int32Array.of(0, 4),
        labels: { mlm: { positions: new Int32Array(rows), labels: new Int32Array(rows) } },
      })
      const before = await (await model.step(batch(1))).read()
      for (const absurd of [() => model.step(batch(4e6)), () => model.headLogits(batch(4e6), 'mlm')]) {
        await assert.rejects(absurd(), refuses('OUT_OF_MEMORY', 'smaller batches'))
      }
      const gradient = await model.readTensors('gradient', ['heads.mlm.transform.dense.weight'])
      assert.equal(normOf(...Object.values(gradient)), 0, 'the failed step dropped the gradients')
      assert.deepEqual(await (await model.step(batch(1))).read(), before)
    })

    it('logits of three times the machine: OUT_OF_MEMORY before a page is touched', async () => {
      const heads: HeadConfig[] = [{ name: 'mlm', kind: 'masked-lm', tap: { layer: 1 }, weight: 1 }]
      const sizes = { vocabSize: 1e7, hiddenSize: 1, heads: 1, layers: 1, intermediateSize: 1, maxPositions: 8 }
      const model = await make({}, sizes, heads)
      // Three times, since swap counts as memory, too.
      const rows = Math.round((3 * totalmem()) / (sizes.vocabSize * Float32Array.BYTES_PER_ELEMENT))
      const batch: PackedBatch = {
        tokenIds: new Int32Array(4),
        segmentIds: new Int32Array(4),
        sequenceOffsets: Int32Array.of(0, 4),
        labels: { mlm: { positions: new Int32Array(rows), labels: new Int32Array(rows) } },
      }
      await assert.rejects(model.headLogits(batch, 'mlm'), refuses('OUT_OF_MEMORY', 'smaller batches'))
    })

    it('memory that ends in the middle of a step, at ten places: the step after it is as before', async function () {
      if (process.platform !== 'linux') this.skip() // needs prlimit
      this.timeout(180_000)
      // The limit is the whole process's. Nothing but the step may ask for memory under it: no thread of V8's that collects or compiles,
      // no thread of libuv's or its arena of the C library that comes late.
      const { code, signal, out, err } = await runChild('memory-child', {
        nodeOptions: ['--single-threaded', '--expose-gc'],
        // The limit comes when products have been chosen; under one that is there before, MKL's are (core/float_products.h).
        env: { MALLOC_ARENA_MAX: '1', UV_THREADPOOL_SIZE: '1', STRATABERT_FLOAT_PRODUCTS: 'mkl' },
        timeoutMs: 170_000,
      })
      assert.deepEqual([code, signal], [0, null], err)
      const { failures, successes, same } = JSON.parse(out)
      assert.ok(failures >= 3, `${out}: the limits bite`)
      assert.ok(successes >= 1, `${out}: without a limit the step works`)
      assert.equal(same, failures, out)
    })
  })
})
