/** The Crammed BERT encoder beside the other parts of a model; its goldens are in 40.goldens.test.ts. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import {
  type AdapterConfig,
  encoderConfig,
  type HeadConfig,
  loadModel,
  Model,
  type ModelConfig,
  modelParameterShapes,
  saveModelFolder,
} from '../lib/model/index.js'
import { openRecipe } from '../lib/recipes/index.js'
import { refuses } from './helpers/refuses.js'
import { adamw, normOf, perturb, relativeDistance, smallBatch, VOCABULARY } from './helpers/small-model.js'

const ENCODER = encoderConfig({
  kind: 'crammed',
  vocabSize: VOCABULARY,
  layers: 2,
  hiddenSize: 32,
  heads: 2,
  maxPositions: 32,
})
const HEADS: HeadConfig[] = [
  { name: 'mlm', kind: 'masked-lm', tap: { layer: 2 }, weight: 1, transform: false },
  { name: 'nsp', kind: 'next-sentence', tap: { mix: 'sum' }, weight: 0.7 },
  { name: 'token', kind: 'bigram-shift', tap: { layer: 1 }, weight: 0.5, level: 'token', read: 'mean' },
]
const ADAPTERS: AdapterConfig[] = [
  { name: 'pal', kind: 'pal', size: 12 },
  { name: 'low-rank', kind: 'low-rank', size: 4 },
  { name: 'houlsby', kind: 'houlsby', size: 3 },
  { name: 'lhuc', kind: 'lhuc' },
  { name: 'top-attention', kind: 'top-attention', size: 12, blocks: 2 },
  { name: 'top-layer', kind: 'top-layer' },
  { name: 'lora', kind: 'lora', size: 2, alpha: 4 },
]
const CONFIG: ModelConfig = {
  encoder: ENCODER,
  heads: HEADS,
  mixes: [{ name: 'sum', includeEmbeddings: true, layerNorm: true, init: 'uniform' }],
  adapters: ADAPTERS,
}

function batch(adapter?: string) {
  const { swap: _, ...labels } = smallBatch().labels
  return { ...smallBatch(), labels, ...(adapter && { adapter }) }
}

describe('crammed encoder', function () {
  this.timeout(60_000)
  const make = async (options: Parameters<typeof Model.create>[1] = {}) => {
    const model = await Model.create(CONFIG, { device: 'cpu', precision: 'fp64', seed: 5, ...options })
    await perturb(model)
    return model
  }

  it('has the parameters that modelParameterShapes says, no bias but the LayerNorms', async () => {
    await using model = await Model.create(CONFIG, { device: 'cpu' })
    const native = Object.fromEntries(model.parameters().map(({ name, shape }) => [name, shape]))
    assert.deepEqual(native, modelParameterShapes(CONFIG))
    const biases = Object.keys(native).filter((name) => name.startsWith('bert.') && name.endsWith('bias'))
    assert.ok(biases.length === 6 && biases.every((name) => name.endsWith('LayerNorm.bias')), biases.join())
    const scale = (await model.readTensors('value', ['bert.embeddings.position_scale']))[
      'bert.embeddings.position_scale'
    ]
    assert.ok(Math.abs(scale[0] - 1 / Math.sqrt(32)) < 1e-7)
  })

  it('the three kernel paths agree: fp64 to rounding, fp32 and bf16 to their own', async () => {
    await using exact = await make({ kernels: 'reference' })
    const expected = (await exact.hiddenStates(batch())).at(-1)!
    await exact.step(batch())
    const gradients = await exact.readTensors('gradient')
    for (const [precision, limit] of [
      ['fp64', 1e-12],
      ['fp32', 1e-6],
      ['bf16', 0.006],
    ] as const)
      for (const kernels of ['fast', 'portable'] as const) {
        await using model = await make({ kernels, precision })
        const distance = relativeDistance({ h: (await model.hiddenStates(batch())).at(-1)! }, { h: expected })
        assert.ok(distance < limit, `${precision} ${kernels}: ${distance}`)
        await model.step(batch())
        const apart = relativeDistance(await model.readTensors('gradient'), gradients)
        assert.ok(apart < limit, `${precision} ${kernels}: gradients ${apart}`)
      }
  })

  it('every adapter changes the states and learns, through a mix, lower and upper taps', async () => {
    await using model = await make()
    const plain = (await model.hiddenStates(batch())).at(-1)!
    for (const { name } of ADAPTERS) {
      const adapted = (await model.hiddenStates(batch(name))).at(-1)!
      assert.ok(relativeDistance({ h: adapted }, { h: plain }) > 1e-6, name)
    }
    await model.step(batch('pal'))
    const gradients = await model.readTensors('gradient')
    for (const { name } of model.parameters().filter((info) => /^(bert|mixes|heads|adapters\.pal)\./.test(info.name)))
      assert.equal(normOf(gradients[name]) > 0, !name.endsWith('key.bias'), name)
  })

  it('segment ids change nothing', async () => {
    await using model = await make()
    const other = batch()
    other.segmentIds = new Int32Array(other.segmentIds.length)
    assert.deepEqual((await model.hiddenStates(other)).at(-1), (await model.hiddenStates(batch())).at(-1))
  })

  it('trains, is saved and loaded with the same states and losses', async () => {
    await using model = await make({ precision: 'fp32' })
    await using optimizer = await adamw(model)
    const loss = async (one: Model) =>
      Object.values(await one.evaluate(batch())).reduce((sum, head) => sum + head.lossSum, 0)
    const before = await loss(model)
    for (let step = 0; step < 10; step++) {
      await model.step(batch())
      await optimizer.step({ learningRate: 1e-3 })
    }
    assert.ok((await loss(model)) < before)
    const folder = mkdtempSync(path.join(tmpdir(), 'stratabert-crammed-'))
    try {
      await saveModelFolder(model, folder)
      const loaded = await loadModel(folder, { device: 'cpu', precision: 'fp32' })
      await using same = loaded.model
      assert.deepEqual(same.config.encoder, ENCODER)
      assert.deepEqual(loaded.fresh ?? [], [])
      assert.equal(await loss(same), await loss(model))
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it('refuses what it cannot be', async () => {
    await assert.rejects(
      Model.create({ encoder: { ...ENCODER, intermediateSize: 63 }, heads: [] }, { device: 'cpu' }),
      refuses('BAD_ARGUMENT', 'intermediateSize is 63; an even number'),
    )
    await assert.rejects(
      Model.create({ encoder: { ...ENCODER, kind: 'crumbled' as 'bert' }, heads: [] }, { device: 'cpu' }),
      refuses('UNSUPPORTED', "'crumbled'; bert or crammed"),
    )
    const transfer = { from: 'nsp', mode: 'concat', stopGradient: false } as const
    await assert.rejects(
      Model.create(
        {
          encoder: ENCODER,
          heads: [
            { name: 'nsp', kind: 'next-sentence', tap: { layer: 1 }, weight: 1 },
            { name: 'mlm', kind: 'masked-lm', tap: { layer: 2 }, weight: 1, transform: false, transfer },
          ],
        },
        { device: 'cpu' },
      ),
      refuses('BAD_ARGUMENT', 'no transform that could take it'),
    )
  })

  it('recipes: mixes of its layers are normalised unless told otherwise; an odd width names its key', async () => {
    const mixes = { one: {}, two: { layerNorm: false } }
    const values = { encoder: { kind: 'crammed' }, mixes, data: { corpus: 'text.txt' } }
    const crammed = await openRecipe('bert-pretrain', { overlay: values })
    assert.deepEqual([crammed.mixes.one.layerNorm, crammed.mixes.two.layerNorm], [true, false])
    const bert = await openRecipe('bert-pretrain', { overlay: { ...values, encoder: { kind: 'bert' } } })
    assert.equal(bert.mixes.one.layerNorm, false)
    await assert.rejects(
      openRecipe('bert-pretrain', { overlay: { ...values, encoder: { kind: 'crammed', intermediateSize: 1001 } } }),
      { code: 'BAD_RECIPE', message: /encoder\.intermediateSize: came 1001, expected an even number/ },
    )
  })
})
