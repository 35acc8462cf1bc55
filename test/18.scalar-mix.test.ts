/**
 * The scalar mix (BERMo, arXiv 2110.15802) against an independent PyTorch model (test/golden/scalar_mix.py), its fast path against
 * the plain one, and the direct way that it gives the loss to every layer.
 */
import assert from 'node:assert/strict'
import path from 'node:path'
import type { PackedBatch } from '../lib/data/packed-batch.js'
import { encoderConfig, type HeadConfig, type MixConfig } from '../lib/model/config.js'
import { Model, type ModelOptions } from '../lib/model/index.js'
import { type CaseGoldens, checkGoldenCase, goldenModel } from './golden/cases.js'
import { packedBatch, readGoldens } from './golden/golden.js'
import { refuses } from './helpers/refuses.js'
import { normOf, perturb, relativeDistance, smallBatch, VOCABULARY } from './helpers/small-model.js'

const NSP: HeadConfig = { name: 'nsp', kind: 'next-sentence', tap: { mix: 'm' }, weight: 1 }
const MLM: HeadConfig = { name: 'mlm', kind: 'masked-lm', tap: { mix: 'm' }, weight: 1 }
const MIX: MixConfig = { name: 'm', includeEmbeddings: true, layerNorm: false, init: 'uniform' }
const ENCODER = encoderConfig({ vocabSize: VOCABULARY, layers: 4, hiddenSize: 32, heads: 2, maxPositions: 32 })

function labelled(...heads: string[]): PackedBatch {
  const batch = smallBatch()
  return { ...batch, labels: Object.fromEntries(heads.map((name) => [name, batch.labels[name]])) }
}

function make(mixes: MixConfig[], heads: HeadConfig[] = [NSP, MLM], options: ModelOptions = {}): Promise<Model> {
  return Model.create({ encoder: ENCODER, heads, mixes }, { device: 'cpu', seed: 4, precision: 'fp64', ...options })
}

describe('scalar mix', function () {
  this.timeout(60_000)
  const goldens = readGoldens<CaseGoldens>(path.join(__dirname, 'golden/scalar_mix.json.gz'))

  for (const precision of ['fp64', 'fp32'] as const)
    for (const name of Object.keys(goldens.cases))
      it(`golden, ${precision}: ${name}`, async () => {
        await checkGoldenCase(goldens, name, precision)
      })
  for (const kernels of ['portable', 'reference'] as const)
    for (const name of ['embeddings, layer norm', 'heads of three kinds, two mixes'])
      it(`golden, fp64, ${kernels} kernels: ${name}`, () => checkGoldenCase(goldens, name, 'fp64', kernels))

  for (const layerNorm of [false, true])
    for (const [precision, limit] of [
      ['fp64', 1e-13],
      ['fp32', 1e-5],
      ['bf16', 0.05],
    ] as const)
      it(`${precision}, ${layerNorm ? 'with' : 'without'} LayerNorm: the fast path gives what plain operators give`, async () => {
        const gradients = []
        for (const kernels of ['fast', 'reference'] as const) {
          await using model = await make([{ ...MIX, layerNorm }], undefined, { precision, kernels })
          await perturb(model)
          await model.step(labelled('nsp', 'mlm'))
          gradients.push(await model.readTensors('gradient'))
        }
        const distance = relativeDistance(gradients[0], gradients[1])
        assert.ok(distance <= limit, `${distance}`)
        for (const name of ['mixes.m.weights', 'mixes.m.gamma']) {
          const own = relativeDistance(gradients[0], gradients[1], [name])
          assert.ok(own <= 10 * limit, `${name}: ${own}`)
        }
      })

  it('starts uniform with γ = 1, or with w = 4 on the top layer; neither decays', async () => {
    const mixes: MixConfig[] = [
      { ...MIX, name: 'm' },
      { ...MIX, name: 'last', includeEmbeddings: false, init: 'last' },
    ]
    await using model = await make(mixes)
    const values = await model.readTensors('value')
    assert.deepEqual([...values['mixes.m.weights']], [0, 0, 0, 0, 0])
    assert.deepEqual([...values['mixes.m.gamma']], [1])
    assert.deepEqual([...values['mixes.last.weights']], [0, 0, 0, 4])
    for (const { name, decays } of model.parameters()) if (name.startsWith('mixes.')) assert.equal(decays, false, name)
  })

  it('all weight on one layer gives what a head on this layer gives, and nothing to the blocks above', async () => {
    for (let layer = 0; layer <= 4; layer++) {
      await using mixed = await make([MIX], [NSP])
      await using tapped = await make([], [{ ...NSP, tap: { layer } } as HeadConfig])
      const weights = Float64Array.from({ length: 5 }, (_, j) => (j === layer ? 0 : -10_000))
      await mixed.writeTensors({ 'mixes.m.weights': weights })
      for (const model of [mixed, tapped]) await model.step(labelled('nsp'))
      const [ours, expected] = [await mixed.readTensors('gradient'), await tapped.readTensors('gradient')]
      for (const name of Object.keys(expected)) {
        if (normOf(expected[name]) === 0) assert.equal(normOf(ours[name]), 0, `layer ${layer}: ${name}`)
        else assert.ok(relativeDistance({ g: ours[name] }, { g: expected[name] }) < 1e-12, `layer ${layer}: ${name}`)
      }
    }
  })

  it('every layer gets a gradient when none comes from above; without a mix there is none', async () => {
    // A last LayerNorm of weight 0 makes the block above constant: nothing flows down through it.
    for (let layer = 0; layer < 4; layer++)
      for (const mixed of [true, false]) {
        const head = mixed ? NSP : ({ ...NSP, tap: { layer: 4 } } as HeadConfig)
        await using model = await make(mixed ? [MIX] : [], [head])
        await perturb(model)
        await model.writeTensors({ [`bert.encoder.layer.${layer}.output.LayerNorm.weight`]: new Float64Array(32) })
        await model.step(labelled('nsp'))
        const gradients = await model.readTensors('gradient')
        const below = layer === 0 ? 'bert.embeddings.LayerNorm.' : `bert.encoder.layer.${layer - 1}.`
        const names = Object.keys(gradients).filter((name) => name.startsWith(below) && !name.endsWith('key.bias'))
        assert.ok(names.length > 0)
        for (const name of names) assert.equal(normOf(gradients[name]) > 0, mixed, `${mixed ? 'mix' : 'top'}: ${name}`)
      }
  })

  it('two heads on one mix: the gradients of its weights add up; a mix that only one reads is its own', async () => {
    const other: MixConfig = { ...MIX, name: 'other' }
    const heads: HeadConfig[] = [
      NSP,
      MLM,
      { ...NSP, name: 'swap', kind: 'bigram-shift', tap: { mix: 'other' }, level: 'sentence', read: 'mean' },
    ]
    const gradientOf = async (names: string[]) => {
      await using fresh = await make([MIX, other], heads)
      await perturb(fresh)
      await fresh.step(labelled(...names))
      const { 'mixes.m.weights': m, 'mixes.other.weights': o } = await fresh.readTensors('gradient')
      return { m, o }
    }
    const [nsp, mlm, swap] = [await gradientOf(['nsp']), await gradientOf(['mlm']), await gradientOf(['swap'])]
    const all = await gradientOf(['nsp', 'mlm', 'swap'])
    all.m.forEach((value, j) => {
      assert.ok(Math.abs(value - nsp.m[j] - mlm.m[j]) < 1e-14, `w_${j}: ${value}`)
    })
    assert.ok(normOf(nsp.m) > 0 && normOf(mlm.m) > 0 && normOf(swap.o) > 0)
    assert.ok(relativeDistance({ g: all.o }, { g: swap.o }) < 1e-12)
    assert.equal(normOf(swap.m, nsp.o, mlm.o), 0)
  })

  it('the mix of a token does not depend on the tokens beside it in the batch, with LayerNorm too', async () => {
    const golden = goldens.cases['layer norm']
    await using model = await goldenModel(goldens, golden, 'fp64')
    const batch = packedBatch(goldens.batch, golden.heads)
    const together = await model.headLogits(batch, 'pair')
    const [begin, end] = [batch.sequenceOffsets[1], batch.sequenceOffsets[2]]
    const alone = await model.headLogits(
      {
        tokenIds: batch.tokenIds.slice(begin, end),
        segmentIds: batch.segmentIds.slice(begin, end),
        sequenceOffsets: Int32Array.of(0, end - begin),
        labels: { pair: { labels: Int32Array.of(1) } },
      },
      'pair',
    )
    assert.notEqual(batch.labels.pair.labels[0], -100)
    for (let column = 0; column < 2; column++)
      assert.ok(Math.abs(alone.values[column] - together.values[2 + column]) < 1e-12)
  })

  it('refusals: unknown init, two mixes of one name, a head on a mix that is not there', async () => {
    const bad = { ...MIX, init: 'first' } as unknown as MixConfig
    await assert.rejects(make([bad]), refuses('BAD_ARGUMENT', 'uniform or last'))
    await assert.rejects(make([MIX, MIX]), refuses('BAD_ARGUMENT', "two mixes are named 'm'"))
    await assert.rejects(make([]), refuses('BAD_ARGUMENT', "reads mix 'm'"))
  })
})
