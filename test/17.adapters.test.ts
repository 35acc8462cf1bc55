/** Adapters: every kind against an independent PyTorch model (test/golden/adapters.py), sizes, freezing, refusals. */
import assert from 'node:assert/strict'
import path from 'node:path'
import type { PackedBatch } from '../lib/data/packed-batch.js'
import { type AdapterConfig, encoderConfig, type ModelConfig } from '../lib/model/config.js'
import { Model, Optimizer, type Precision } from '../lib/model/index.js'
import { adapterShapes, modelParameterShapes } from '../lib/model/parameter-shapes.js'
import { type CaseGoldens, checkGoldenCase, goldenModel } from './golden/cases.js'
import { packedBatch, readGoldens } from './golden/golden.js'
import { refuses } from './helpers/refuses.js'
import { HEADS, normOf, perturb, relativeDistance, smallBatch, VOCABULARY } from './helpers/small-model.js'

const KINDS: AdapterConfig[] = [
  { name: 'pal', kind: 'pal', size: 12 },
  { name: 'low-rank', kind: 'low-rank', size: 4 },
  { name: 'houlsby', kind: 'houlsby', size: 3 },
  { name: 'lhuc', kind: 'lhuc' },
  { name: 'top-attention', kind: 'top-attention', size: 12, blocks: 2 },
  { name: 'top-layer', kind: 'top-layer' },
  { name: 'lora', kind: 'lora', size: 2, alpha: 4 },
]
const ENCODER = encoderConfig({ vocabSize: VOCABULARY, layers: 2, hiddenSize: 32, heads: 2, maxPositions: 32 })

function count(shapes: Record<string, number[]>): number {
  return Object.values(shapes).reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0)
}

function withAdapters(adapters: AdapterConfig[], more: Partial<ModelConfig> = {}): ModelConfig {
  return { encoder: ENCODER, heads: HEADS, adapters, ...more }
}

function through(adapter: string): PackedBatch {
  return { ...smallBatch(), adapter }
}

describe('adapters: goldens', function () {
  this.timeout(60_000)
  const goldens = readGoldens<CaseGoldens>(path.join(__dirname, 'golden/adapters.json.gz'))
  for (const precision of ['fp64', 'fp32'] as const)
    for (const name of Object.keys(goldens.cases))
      it(`${precision}: ${name}: hidden states, losses, logits, gradient of every parameter`, async () => {
        await checkGoldenCase(goldens, name, precision)
      })
  for (const kernels of ['portable', 'reference'] as const)
    for (const name of ['pal', 'houlsby', 'top-attention', 'lora'])
      it(`fp64: ${name} with ${kernels} kernels`, () => checkGoldenCase(goldens, name, 'fp64', kernels))

  it('a sequence alone has the states that it has in the batch', async () => {
    for (const name of ['pal', 'top-attention']) {
      const golden = goldens.cases[name]
      await using model = await goldenModel(goldens, golden, 'fp64')
      const batch = { ...packedBatch(goldens.batch, []), adapter: 'task' }
      const together = (await model.hiddenStates(batch)).at(-1)!
      const [begin, end] = [batch.sequenceOffsets[2], batch.sequenceOffsets[3]]
      const alone = (
        await model.hiddenStates({
          tokenIds: batch.tokenIds.slice(begin, end),
          segmentIds: batch.segmentIds.slice(begin, end),
          sequenceOffsets: Int32Array.of(0, end - begin),
          labels: {},
          adapter: 'task',
        })
      ).at(-1)!
      const size = model.config.encoder.hiddenSize
      const distance = relativeDistance({ h: alone }, { h: together.subarray(begin * size, end * size) })
      assert.ok(distance <= 1e-12, `${name}: ${distance}`)
    }
  })
})

describe('adapters: parameters', () => {
  const base = encoderConfig({ vocabSize: 30522, layers: 12, hiddenSize: 768 })
  // Stickland & Murray 2019's code at BERT-base: numbers a task, biases included, its classifier not.
  const published: [AdapterConfig, number, string][] = [
    [{ name: 'a', kind: 'pal', size: 204 }, 1_819_836, '1.133'],
    [{ name: 'a', kind: 'low-rank', size: 100 }, 1_853_616, '1.135'],
    [{ name: 'a', kind: 'top-attention', size: 204 }, 1_320_444, '1.096'],
    [{ name: 'a', kind: 'houlsby', size: 50 }, 1_862_832, '1.136'],
    [{ name: 'a', kind: 'top-layer' }, 7_087_872, '1.518'],
  ]
  for (const [adapter, expected, total] of published)
    it(`${adapter.kind} ${adapter.size ?? ''} adds ${expected} parameters a task at BERT-base`, () => {
      assert.equal(count(adapterShapes(adapter, base)), expected)
      const adapters = Array.from({ length: 8 }, (_, task) => ({ ...adapter, name: `task${task}` }))
      const encoder = count(modelParameterShapes({ encoder: base, heads: [] }))
      const whole = count(modelParameterShapes({ encoder: base, heads: [], adapters }))
      assert.equal(whole - encoder, 8 * expected)
      // One BERT-base is the encoder with its pooler.
      const bert = encoder + 768 * 768 + 768
      assert.equal(bert, 109_482_240)
      assert.equal(((bert + 8 * expected) / bert).toFixed(3), total)
    })

  for (const adapter of [...KINDS, { name: 'all', kind: 'lora', size: 3, targets: ['key', 'value', 'query'] } as const])
    it(`${adapter.kind} (${adapter.name}): the native model has the parameters that modelParameterShapes says`, async () => {
      const config = withAdapters([{ ...adapter, name: 'one' } as AdapterConfig, { name: 'two', kind: 'lhuc' }])
      await using model = await Model.create(config, { device: 'cpu' })
      const native = Object.fromEntries(model.parameters().map(({ name, shape }) => [name, shape]))
      assert.deepEqual(native, modelParameterShapes(config))
      for (const { name, layer } of model.parameters()) {
        const block = /^adapters\.\w+\.layer\.(\d+)\./.exec(name)
        if (block) assert.equal(layer, Number(block[1]) + 1, name)
      }
    })

  it('starts as told: matrices N(0, 0.02), biases 0, LayerNorm 1 and 0; lora and lhuc change nothing at first', async () => {
    await using model = await Model.create(withAdapters(KINDS), { device: 'cpu', precision: 'fp64', seed: 3 })
    const values = await model.readTensors('value')
    for (const { name, shape } of model.parameters().filter((info) => info.name.startsWith('adapters.'))) {
      if (name.endsWith('LayerNorm.weight'))
        assert.ok(
          values[name].every((value) => value === 1),
          name,
        )
      else if (shape.length === 1 || name.endsWith('.b'))
        assert.ok(
          values[name].every((value) => value === 0),
          name,
        )
      else {
        const deviation = normOf(values[name]) / Math.sqrt(values[name].length)
        assert.ok(deviation > 0.013 && deviation < 0.027, `${name}: ${deviation}`)
      }
    }
    const plain = (await model.hiddenStates(smallBatch())).at(-1)!
    for (const name of ['lora', 'lhuc']) {
      const adapted = (await model.hiddenStates(through(name))).at(-1)!
      assert.ok(relativeDistance({ h: adapted }, { h: plain }) < 1e-15, name)
    }
  })
})

describe('adapters: running', function () {
  this.timeout(60_000)
  async function make(precision: Precision = 'fp32', adapters = KINDS): Promise<Model> {
    const model = await Model.create(withAdapters(adapters), { device: 'cpu', precision, seed: 5 })
    await perturb(model)
    return model
  }

  it('step, evaluate, headLogits, hiddenStates, embed and predictMasked go through the named adapter', async () => {
    await using model = await make('fp64')
    const plain = smallBatch()
    const looks: Record<string, (batch: PackedBatch) => Promise<ArrayLike<number>>> = {
      step: async (batch) => Object.values(await (await model.step(batch)).read()).map(({ lossSum }) => lossSum),
      evaluate: async (batch) => Object.values(await model.evaluate(batch)).map(({ lossSum }) => lossSum),
      headLogits: async (batch) => (await model.headLogits(batch, 'token')).values,
      hiddenStates: async (batch) => (await model.hiddenStates(batch)).at(-1)!,
      embed: (batch) => model.embed(batch),
      predictMasked: async (batch) => (await model.predictMasked(batch, 'mlm', Int32Array.of(1), 5)).probabilities,
    }
    for (const [name, look] of Object.entries(looks)) {
      const results = [await look(plain)]
      for (const { name: adapter } of KINDS) results.push(await look(through(adapter)))
      for (let i = 0; i < results.length; i++)
        for (let j = 0; j < i; j++)
          assert.ok(relativeDistance({ x: results[i] }, { x: results[j] }) > 1e-9, `${name}: ${i} and ${j} are alike`)
      // And nothing of it stays behind.
      assert.deepEqual(Array.from(await look(plain)), Array.from(results[0]), name)
    }
  })

  it('a step through one adapter leaves no gradient in the others', async () => {
    await using model = await make('fp64')
    await model.step(through('pal'))
    const gradients = await model.readTensors('gradient')
    for (const { name } of model.parameters().filter((info) => info.name.startsWith('adapters.'))) {
      // A key's bias moves no weight of the softmax.
      const moved = name.startsWith('adapters.pal.') && !name.endsWith('key.bias')
      assert.equal(normOf(gradients[name]) > 0, moved, name)
    }
  })

  it('the three kernel paths agree in bf16 with fp32, to bf16', async () => {
    await using exact = await make()
    for (const kernels of ['fast', 'portable', 'reference'] as const) {
      const options = { device: 'cpu', precision: 'bf16', seed: 5, kernels } as const
      await using model = await Model.create(withAdapters(KINDS), options)
      await perturb(model)
      for (const { name } of KINDS) {
        const [states, expected] = [await model.hiddenStates(through(name)), await exact.hiddenStates(through(name))]
        const distance = relativeDistance({ h: states.at(-1)! }, { h: expected.at(-1)! })
        assert.ok(distance < 0.03, `${kernels} ${name}: ${distance}`)
      }
    }
  })

  it('dropout: masks follow from the state alone, and evaluation has none', async () => {
    await using model = await make('fp32', [...KINDS, { name: 'dropping', kind: 'lora', size: 2, dropout: 0.5 }])
    const loss = async (adapter: string) => (await (await model.step(through(adapter))).read()).token.lossSum
    const before = await loss('dropping')
    assert.notEqual(await loss('dropping'), before, 'lora has a dropout of its own')
    model.setDropoutState({ seed: 5, counter: 0 })
    assert.equal(await loss('dropping'), before)
    const evaluated = (await model.evaluate(through('pal'))).token.lossSum
    await model.setDropout({ attention: 0.3 })
    const dropped = await loss('pal')
    assert.notEqual(dropped, evaluated)
    assert.equal((await model.evaluate(through('pal'))).token.lossSum, evaluated)
  })

  it('with a frozen base only adapters, heads and LayerNorms get a gradient, the right one, and move', async () => {
    const trained = (name: string) => /^(adapters|heads)\.|LayerNorm/.test(name)
    for (const { name: adapter } of KINDS) {
      await using free = await make('fp64')
      await free.step(through(adapter))
      const full = await free.readTensors('gradient')
      await using model = await make('fp64')
      const names = model.parameters().map(({ name }) => name)
      const groups = [{ names: names.filter(trained), weightDecay: 0, learningRateFactor: 1 }]
      await using optimizer = await Optimizer.create(model, {
        kind: 'adamw',
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        groups,
      })
      await model.step(through(adapter))
      const gradients = await model.readTensors('gradient')
      for (const name of names) {
        if (!trained(name)) assert.equal(normOf(gradients[name]), 0, name)
        else if (normOf(full[name]) > 0) {
          const distance = relativeDistance({ g: gradients[name] }, { g: full[name] })
          assert.ok(distance < 1e-10, `${name}: ${distance}`)
        }
      }
      const before = await model.readTensors('value')
      await (await optimizer.step({ learningRate: 1e-3 })).read()
      const after = await model.readTensors('value')
      for (const name of names) {
        const moved = relativeDistance({ v: after[name] }, { v: before[name] }) > 0
        assert.equal(moved, trained(name) && normOf(gradients[name]) > 0, name)
      }
    }
  })

  it('only the head and the top of an adapter may train: nothing below needs a gradient', async () => {
    await using model = await make()
    const names = model.parameters().map(({ name }) => name)
    const chosen = names.filter((name) => name.startsWith('adapters.top-attention.'))
    const groups = [{ names: chosen, weightDecay: 0, learningRateFactor: 1 }]
    await using optimizer = await Optimizer.create(model, {
      kind: 'adamw',
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
      groups,
    })
    await model.step(through('top-attention'))
    const gradients = await model.readTensors('gradient')
    for (const name of names) {
      const wanted = chosen.includes(name) && !name.endsWith('key.bias')
      assert.equal(normOf(gradients[name]) > 0, wanted, name)
    }
    await (await optimizer.step({ learningRate: 1e-3 })).read()
    // Through the plain encoder every parameter that the heads read is frozen now.
    await assert.rejects(model.step(smallBatch()), refuses('BAD_ARGUMENT', 'frozen'))
  })
})

describe('adapters: refusals', () => {
  const refused: [string, string, string, AdapterConfig | Record<string, unknown>][] = [
    [
      'a size that its heads do not divide',
      'BAD_ARGUMENT',
      'size 10 is no multiple of its 6 heads',
      { kind: 'pal', size: 10 },
    ],
    [
      'the same for top-attention',
      'BAD_ARGUMENT',
      'size 20 is no multiple of its 12',
      { kind: 'top-attention', size: 20 },
    ],
    [
      'a top layer whose heads do not divide H',
      'BAD_ARGUMENT',
      'size 32 is no multiple of its 3',
      { kind: 'top-layer', heads: 3 },
    ],
    ['no size', 'BAD_ARGUMENT', 'size of adapter', { kind: 'low-rank' }],
    ['size 0', 'BAD_ARGUMENT', 'size of adapter', { kind: 'pal', size: 0 }],
    ['a negative size', 'BAD_ARGUMENT', 'is -4', { kind: 'houlsby', size: -4 }],
    ['a huge size', 'BAD_ARGUMENT', '1 to 1048576', { kind: 'lora', size: 2 ** 40 }],
    ['half a size', 'BAD_ARGUMENT', 'whole number', { kind: 'lora', size: 1.5 }],
    ['negative heads', 'BAD_ARGUMENT', 'heads of adapter', { kind: 'pal', size: 12, heads: -1 }],
    ['negative blocks', 'BAD_ARGUMENT', 'blocks of adapter', { kind: 'top-attention', size: 12, blocks: -1 }],
    ['an unknown kind', 'UNSUPPORTED', 'houlsby, lhuc', { kind: 'prefix', size: 4 }],
    [
      'a number that the kind does not have',
      'BAD_ARGUMENT',
      'an adapter of kind lhuc has none',
      { kind: 'lhuc', size: 4 },
    ],
    ['dropout of 1', 'BAD_ARGUMENT', 'dropout of adapter', { kind: 'lora', size: 4, dropout: 1 }],
    ['a negative alpha', 'BAD_ARGUMENT', 'alpha of adapter', { kind: 'lora', size: 4, alpha: -1 }],
    ['an unknown target', 'BAD_ARGUMENT', 'query, key or value', { kind: 'lora', size: 4, targets: ['output'] }],
    ['an empty name', 'BAD_ARGUMENT', 'name is empty', { name: '', kind: 'lhuc' }],
  ]
  for (const [what, code, message, adapter] of refused)
    it(what, async () => {
      const config = withAdapters([{ name: 'x', ...adapter } as AdapterConfig])
      await assert.rejects(Model.create(config, { device: 'cpu' }), refuses(code, message))
    })

  it('two adapters of one name', async () => {
    const config = withAdapters([
      { name: 'x', kind: 'lhuc' },
      { name: 'x', kind: 'low-rank', size: 2 },
    ])
    await assert.rejects(Model.create(config, { device: 'cpu' }), refuses('BAD_ARGUMENT', "two adapters are named 'x'"))
  })

  it('a batch that names an adapter which the model lacks; the model works on', async () => {
    await using model = await Model.create(withAdapters([{ name: 'x', kind: 'lhuc' }]), { device: 'cpu' })
    const batch = through('y')
    const expected = refuses('NOT_FOUND', "the adapter 'y'; the model has x")
    await assert.rejects(model.step(batch), expected)
    await assert.rejects(model.evaluate(batch), expected)
    await assert.rejects(model.embed(batch), expected)
    await assert.rejects(model.hiddenStates(batch), expected)
    await assert.rejects(model.headLogits(batch, 'token'), expected)
    await assert.rejects(model.predictMasked(batch, 'mlm', Int32Array.of(1), 1), expected)
    await model.step(through('x'))
  })
})
