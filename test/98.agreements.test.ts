/**
 * Dependency agreements: against plain PyTorch (test/golden/agreements.py) in stage 1, stage 2 and both at once; what is detached, off
 * or fixed; folders; what is refused.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { NO_LABEL, type PackedBatch, packSequences } from '../lib/data/packed-batch.js'
import {
  type AgreementConfig,
  type AgreementHeadConfig,
  computeThreads,
  type HeadConfig,
  loadModel,
  Model,
  type ModelConfig,
  type ModelOptions,
  Optimizer,
  readModelFolder,
  saveModelFolder,
} from '../lib/model/index.js'
import { modelParameterShapes } from '../lib/model/parameter-shapes.js'
import { readGates } from '../lib/training/gates.js'
import { parameterGroups, reachedParameters } from '../lib/training/parameter-groups.js'
import {
  type Digest,
  digestDistance,
  digestOf,
  type GoldenBatch,
  goldenEncoder,
  packedBatch,
  readGoldens,
  writeFormula,
} from './golden/golden.js'
import { refuses } from './helpers/refuses.js'
import { relativeDistance } from './helpers/small-model.js'

interface GoldenCase {
  encoder: string
  switches: Partial<AgreementConfig>
  heads: HeadConfig[]
  losses: Record<string, number>
  hidden: Digest[]
  /** null: the loss does not depend on it. */
  gradients: Record<string, Digest | null>
}

interface AgreementGoldens {
  agreements: AgreementConfig
  batch: GoldenBatch & { chunks: { ids: number[]; sentences: number[] } }
  encoders: Record<string, Record<string, unknown>>
  cases: Record<string, GoldenCase>
  /** By relation and chunk: its candidates but itself, then none. */
  probabilities: Record<string, number[][]>
}

const goldens = readGoldens<AgreementGoldens>(path.join(__dirname, 'golden/agreements.json.gz'))
const RELATIONS = goldens.agreements.relations
const MLM: HeadConfig = { kind: 'masked-lm', name: 'mlm', tap: { layer: 2 }, weight: 1, transform: false }
const ints = (values: readonly number[]): Int32Array => Int32Array.from(values)

function goldenBatch(heads: readonly { name: string }[] = []): PackedBatch {
  const { ids, sentences } = goldens.batch.chunks
  return { ...packedBatch(goldens.batch, heads), chunks: { ids: ints(ids), sentences: ints(sentences) } }
}

function config(heads: HeadConfig[], switches: Partial<AgreementConfig> = {}, kind = 'crammed'): ModelConfig {
  return { encoder: goldenEncoder(goldens.encoders[kind]), heads, agreements: { ...goldens.agreements, ...switches } }
}

async function modelOf(made: ModelConfig, options: ModelOptions = {}): Promise<Model> {
  computeThreads(1)
  const model = await Model.create(made, { device: 'cpu', precision: 'fp64', ...options })
  await writeFormula(model, () => true)
  return model
}

const agreementHead = (relation: string): AgreementHeadConfig => ({
  kind: 'agreement',
  name: relation,
  relation,
  weight: 1,
})

async function top(model: Model, batch = goldenBatch()): Promise<ArrayLike<number>> {
  return (await model.hiddenStates(batch, [2]))[0]
}

const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number => relativeDistance({ a }, { a: b })

async function compare(name: string, options: ModelOptions) {
  const golden = goldens.cases[name]
  await using model = await modelOf(config(golden.heads, golden.switches, golden.encoder), options)
  const batch = goldenBatch(golden.heads)
  const losses = await (await model.step(batch)).read()
  const gradients = await model.readTensors('gradient')
  const evaluated = await model.evaluate(batch)
  const worst = { loss: 0, hidden: 0, gradient: 0, gradientName: '', absent: '' }
  assert.deepEqual(Object.keys(losses).sort(), Object.keys(golden.losses).sort())
  for (const [head, expected] of Object.entries(golden.losses))
    for (const loss of [losses[head].loss, evaluated[head].lossSum / evaluated[head].count])
      worst.loss = Math.max(worst.loss, Math.abs(loss - expected) / expected)
  const states = await model.hiddenStates(batch)
  golden.hidden.forEach((digest, layer) => {
    worst.hidden = Math.max(worst.hidden, digestDistance(digestOf(states[layer], digest.shape), digest) / digest.norm)
  })
  const norm = Math.sqrt(Object.values(golden.gradients).reduce((sum, digest) => sum + (digest?.norm ?? 0) ** 2, 0))
  assert.deepEqual(Object.keys(gradients).sort(), Object.keys(golden.gradients).sort())
  for (const [parameter, digest] of Object.entries(golden.gradients)) {
    if (!digest) {
      if (gradients[parameter].some((value) => value !== 0)) worst.absent = parameter
      continue
    }
    const error =
      digestDistance(digestOf(gradients[parameter], digest.shape), digest) / Math.max(digest.norm, 1e-6 * norm)
    if (!(error <= worst.gradient)) Object.assign(worst, { gradient: error, gradientName: parameter })
  }
  return worst
}

describe('agreements: goldens', function () {
  this.timeout(30_000)
  const check = (name: string, options: ModelOptions, limits: { loss: number; hidden: number; gradient: number }) =>
    it(`${options.precision} ${options.kernels ?? 'fast'}: ${name}`, async () => {
      const worst = await compare(name, options)
      if (process.env.STRATABERT_SHOW) console.log(worst)
      assert.ok(worst.loss <= limits.loss, `loss ${worst.loss}`)
      assert.ok(worst.hidden <= limits.hidden, `hidden states ${worst.hidden}`)
      assert.ok(worst.gradient <= limits.gradient, `gradient of ${worst.gradientName}: ${worst.gradient}`)
      assert.equal(worst.absent, '', 'a gradient where there is none')
    })
  for (const name of Object.keys(goldens.cases)) {
    check(name, { precision: 'fp64' }, { loss: 1e-9, hidden: 1e-9, gradient: 1e-9 })
    check(name, { precision: 'fp32' }, { loss: 1e-6, hidden: 1e-5, gradient: 1e-4 })
  }
  for (const kernels of ['portable', 'reference'] as const)
    check('both at once, trained', { precision: 'fp64', kernels }, { loss: 1e-9, hidden: 1e-9, gradient: 1e-9 })

  it('bf16: losses within 2 %, hidden states within 5 % of their norm', async () => {
    const { heads, losses, hidden } = goldens.cases['both stages at once']
    await using model = await modelOf(config(heads), { precision: 'bf16' })
    const evaluated = await model.evaluate(goldenBatch(heads))
    for (const [head, expected] of Object.entries(losses))
      assert.ok(Math.abs(evaluated[head].lossSum / evaluated[head].count / expected - 1) < 0.02)
    const states = await top(model)
    assert.ok(digestDistance(digestOf(states as Float32Array, hidden[2].shape), hidden[2]) < 0.05 * hidden[2].norm)
  })

  it('probabilities of every chunk, its own 0', async () => {
    await using model = await modelOf(config([]))
    const { sentences } = goldenBatch().chunks!
    for (const [relation, { offsets, probabilities }] of Object.entries(await model.agreements(goldenBatch()))) {
      goldens.probabilities[relation].forEach((expected, chunk) => {
        const own = [...probabilities.subarray(offsets[chunk], offsets[chunk + 1])]
        const [zero] = own.splice(chunk - sentences.indexOf(sentences[chunk]), 1)
        assert.equal(zero, 0)
        assert.equal(own.length, expected.length)
        own.forEach((value, index) => {
          assert.ok(Math.abs(value - expected[index]) < 1e-6)
        })
      })
    }
  })

  it('parameters have the names and shapes of the table', async () => {
    for (const { encoder, switches, heads } of Object.values(goldens.cases)) {
      await using model = await Model.create(config(heads, switches, encoder), { device: 'cpu' })
      const made = Object.fromEntries(model.parameters().map((info) => [info.name, info.shape]))
      assert.deepEqual(made, modelParameterShapes(model.config))
    }
  })
})

/** Sequences whose tokens are chunks of their own, each sequence one sentence. */
function wordChunks(sequences: readonly (readonly number[])[]): PackedBatch {
  const batch = packSequences(sequences)
  const sentences = sequences.flatMap((sequence, index) => sequence.map(() => index))
  return { ...batch, chunks: { ids: ints(sentences.map((_, token) => token)), sentences: ints(sentences) } }
}

describe('agreements: what they do and what they leave alone', () => {
  it('fresh submodels find every candidate as likely', async () => {
    await using model = await Model.create(config([]), { device: 'cpu', seed: 3 })
    const { subj } = await model.agreements(wordChunks([[5, 6, 7]]))
    for (const [place, value] of [0, 1 / 3, 1 / 3, 1 / 3].entries())
      assert.ok(Math.abs(subj.probabilities[place] - value) < 1e-6)
    const { 'agreements.gates': gates } = await model.readTensors('value', ['agreements.gates'])
    for (const gate of gates) assert.ok(Math.abs(gate - 0.1) < 1e-7)
  })

  it('a relation that is off has no effect on the encoder, the others have', async () => {
    await using model = await modelOf(config([], { off: ['obj'] }))
    const before = await top(model)
    const spoil = async (relation: string): Promise<void> => {
      const name = `agreements.${relation}.last.LayerNorm.weight`
      await model.writeTensors({ [name]: new Float64Array(goldens.agreements.size).fill(2) })
    }
    await spoil('obj')
    assert.deepEqual(await top(model), before)
    await spoil('nmod')
    assert.ok(distance(await top(model), before) > 1e-6)
  })

  it('with all relations off, and with no chunk at all, the encoder is the one without agreements', async () => {
    const { agreements: _, ...bare } = config([])
    await using plain = await modelOf(bare)
    const { chunks: __, ...batch } = goldenBatch()
    const expected = await top(plain, batch)
    await using off = await modelOf(config([], { off: RELATIONS }))
    assert.deepEqual(await top(off), expected)
    await using on = await modelOf(config([agreementHead('subj'), MLM]))
    const none = { ids: new Int32Array(batch.tokenIds.length).fill(-1), sentences: new Int32Array(0) }
    assert.deepEqual(await top(on, { ...batch, chunks: none }), expected)
    const { labels } = goldenBatch([MLM])
    await on.step({ ...batch, chunks: none, labels: { ...labels, subj: { labels: new Int32Array(0) } } })
    assert.equal((await on.agreements({ ...batch, chunks: none })).subj.probabilities.length, 0)
    assert.deepEqual(await top(plain), expected, 'chunks that nobody reads')
  })

  it('a step whose heads are all agreements computes nothing of the encoder', async () => {
    await using model = await modelOf(config([agreementHead('subj'), MLM]))
    const encoder = model.parameters().filter(({ name }) => name.startsWith('bert.'))
    await model.writeTensors(
      Object.fromEntries(
        encoder.map(({ name, shape }) => [name, new Float64Array(shape.reduce((a, b) => a * b)).fill(Number.NaN)]),
      ),
    )
    const batch = goldenBatch([agreementHead('subj')])
    const { subj } = await (await model.step(batch)).read()
    assert.ok(subj.finite)
    assert.ok(Number.isFinite((await model.evaluate(batch)).subj.lossSum))
  })

  it('a long sentence among short ones: each chunk as in a batch of its own', async () => {
    const encoder = { ...goldenEncoder(goldens.encoders.crammed), maxPositions: 400 }
    await using model = await modelOf({ ...config([agreementHead('obj')]), encoder })
    const sequence = (length: number, seed: number) => Array.from({ length }, (_, i) => 5 + ((i * i + seed) % 60))
    const sequences = [sequence(3, 1), sequence(390, 2), sequence(60, 3), sequence(380, 4), sequence(7, 5)]
    const whole = wordChunks(sequences)
    const together = (await model.agreements(whole)).obj
    // The targets of every third chunk: its left neighbour, if it has one.
    const labelsOf = ({ chunks }: PackedBatch) =>
      chunks!.sentences.map((own, c, all) => (c % 3 ? NO_LABEL : all[c - 1] === own ? c - 1 : -1))
    whole.labels.obj = { labels: labelsOf(whole) }
    const evaluated = (await model.evaluate(whole)).obj
    let [chunk, lossSum] = [0, 0]
    for (const one of sequences) {
      const { offsets, probabilities } = (await model.agreements(wordChunks([one]))).obj
      for (let c = 0; c < one.length; c++, chunk++) {
        const here = together.probabilities.subarray(together.offsets[chunk], together.offsets[chunk + 1])
        const alone = probabilities.subarray(offsets[c], offsets[c + 1])
        assert.equal(here.length, alone.length)
        assert.ok(distance(here, alone) < 1e-6)
        const label = whole.labels.obj.labels[chunk]
        if (label === NO_LABEL) continue
        lossSum -= Math.log(alone[label < 0 ? one.length : c - 1])
      }
    }
    assert.ok(Math.abs(evaluated.lossSum / lossSum - 1) < 1e-5)
    assert.equal(evaluated.confusion, undefined)
  })

  it('stage 1 moves the submodels alone, stage 2 all but them; neither moves an untouched relation', async () => {
    const heads: HeadConfig[] = [agreementHead('subj'), agreementHead('obj'), MLM]
    await using model = await modelOf(config(heads, { off: ['obj'] }), { precision: 'fp32' })
    const moved = async (active: HeadConfig[]): Promise<[string[], number[]]> => {
      const reached = reachedParameters(
        model.parameters(),
        model.config,
        active.map(({ name }) => name),
      )
      const groups = parameterGroups(reached, { weightDecay: 0.1, layerDecay: 1 })
      for (const { names, weightDecay } of groups)
        if (names.some((name) => /gates|LayerNorm/.test(name))) assert.equal(weightDecay, 0)
      await using optimizer = await Optimizer.create(model, {
        kind: 'adamw',
        beta1: 0.9,
        beta2: 0.98,
        epsilon: 1e-8,
        groups,
      })
      const before = await model.readTensors('value')
      const losses: number[] = []
      for (let step = 0; step < 5; step++) {
        const read = await (await model.step(goldenBatch(active))).read()
        losses.push(Object.values(read).reduce((sum, { loss }) => sum + loss, 0))
        await optimizer.step({ learningRate: 0.003 })
      }
      const after = await model.readTensors('value')
      const names = Object.keys(before).filter((name) => after[name].some((value, i) => value !== before[name][i]))
      assert.deepEqual(names.sort(), reached.map(({ name }) => name).sort())
      return [names, losses]
    }
    const [stage1, losses] = await moved(heads.slice(0, 2))
    assert.ok(losses[4] < losses[0] - 0.1, losses.join())
    assert.ok(stage1.every((name) => /^agreements\.(subj|obj)\./.test(name) && !name.endsWith('projection')))
    assert.ok(stage1.includes('agreements.obj.bilinear') && stage1.includes('agreements.subj.words'))
    const [stage2] = await moved([MLM])
    assert.deepEqual(stage2.filter((name) => name.startsWith('agreements.')).sort(), [
      'agreements.gates',
      'agreements.nmod.projection',
      'agreements.subj.projection',
    ])
    assert.ok(stage2.includes('bert.embeddings.word_embeddings.weight'))
  })

  it('the gates that a log tells are the learned ones, 0 of a relation that is off', async () => {
    const readTensors = async () => ({ 'agreements.gates': Float32Array.of(0.5, -0.25, 2) })
    const relations = ['subj', 'obj', 'nmod']
    const config = { agreements: { ...goldens.agreements, relations, off: ['subj'] } }
    assert.deepEqual(await readGates({ config, readTensors }), { subj: 0, obj: -0.25, nmod: 2 })
    assert.equal(await readGates({ config: {}, readTensors }), undefined)
  })

  it('works with a mix, an adapter and pruning, whose masks leave the submodels alone', async () => {
    const head: HeadConfig = { ...MLM, tap: { mix: 'all' } }
    await using model = await modelOf({
      ...config([head], { train: true }),
      mixes: [{ name: 'all', includeEmbeddings: true, layerNorm: false, init: 'uniform' }],
      adapters: [{ name: 'extra', kind: 'low-rank', size: 4 }],
      pruning: { method: 'magnitude' },
    })
    await model.setPruning({ threshold: 0.5, penalty: 0 })
    await model.step({ ...goldenBatch([head]), adapter: 'extra' })
    const gradients = await model.readTensors('gradient')
    const still = Object.keys(gradients).filter((name) => gradients[name].every((value) => value === 0))
    assert.deepEqual(still, [])
    const effective = await model.readTensors('effective', ['agreements.subj.layer.0.intermediate.dense.weight'])
    assert.ok(Object.values(effective)[0].every((value) => value !== 0))
  })
})

describe('agreements in folders', () => {
  let scratch: string
  before(() => {
    scratch = mkdtempSync(path.join(tmpdir(), 'stratabert-agreements-'))
  })
  after(() => rmSync(scratch, { recursive: true }))

  for (const kind of ['crammed', 'bert'])
    it(`${kind}: a saved model says the same after loading, with and without its agreements`, async () => {
      const folder = path.join(scratch, kind)
      const heads = [agreementHead('subj'), MLM]
      await using model = await modelOf(config(heads, { off: ['nmod'] }, kind), { precision: 'fp32' })
      await saveModelFolder(model, folder)
      assert.deepEqual((await readModelFolder(folder)).config.agreements, model.config.agreements)
      const loaded = await loadModel(folder, { device: 'cpu' })
      await using same = loaded.model
      assert.deepEqual([loaded.fresh, loaded.unused, same.config.heads], [[], [], heads])
      assert.deepEqual(await top(same), await top(model))
      assert.deepEqual(await same.agreements(goldenBatch()), await model.agreements(goldenBatch()))

      for (const [precision, limit] of [
        ['fp32', 1e-5],
        ['int8', 0.05],
      ] as const) {
        await using answering = (await loadModel(folder, { device: 'cpu', inference: true, precision })).model
        assert.ok(distance(await top(answering), await top(model)) < limit, precision)
        const said = await answering.agreements(goldenBatch())
        const expected = await model.agreements(goldenBatch())
        assert.ok(distance(said.subj.probabilities, expected.subj.probabilities) < limit, precision)
      }
      const { model: without } = await loadModel(folder, { device: 'cpu', heads: [MLM], agreements: null })
      await using plain = without
      const { chunks: _, ...batch } = goldenBatch()
      assert.ok(distance(await top(plain, batch), await top(model)) > 1e-6)
      // Another choice of relations takes those that it shares; the gates belong to the whole list.
      const relations = ['obj', 'place']
      const other = await loadModel(folder, {
        device: 'cpu',
        heads: [MLM],
        agreements: { ...goldens.agreements, relations },
      })
      await using changed = other.model
      const fresh = new Set(other.fresh.map((name) => name.split('.').slice(0, 2).join('.')))
      assert.deepEqual([...fresh].sort(), ['agreements.gates', 'agreements.place'])
      assert.deepEqual((await changed.agreements(goldenBatch())).obj, (await model.agreements(goldenBatch())).obj)
    })

  it('a folder without agreements gets fresh ones when asked', async () => {
    const folder = path.join(scratch, 'published')
    const { agreements, ...bare } = config([], {}, 'bert')
    await using plain = await modelOf(bare, { precision: 'fp32' })
    await saveModelFolder(plain, folder)
    const { model, fresh } = await loadModel(folder, { device: 'cpu', agreements })
    await using joined = model
    assert.ok(fresh.length > 0 && fresh.every((name) => name.startsWith('agreements.')))
    await joined.writeTensors({ 'agreements.gates': new Float32Array(RELATIONS.length) })
    assert.ok(distance(await top(joined), await top(plain)) < 1e-6)
  })
})

describe('agreements: refused', () => {
  const created = (made: ModelConfig) => Model.create(made, { device: 'cpu' })

  it('impossible configurations', async () => {
    const wrong: [Partial<AgreementConfig>, string][] = [
      [{ relations: [] }, 'at least one relation'],
      [{ relations: ['subj', 'subj'] }, "'subj' twice"],
      [{ relations: ['a.b'] }, "'a.b'"],
      [{ relations: ['gates'] }, "'gates'"],
      [{ heads: 3 }, 'no multiple of agreements.heads 3'],
      [{ intermediateSize: 25 }, 'even number'],
      [{ size: 0 }, 'agreements.size is 0'],
      [{ layers: 1e9 }, 'agreements.layers'],
      [{ gateInit: Number.NaN }, 'gateInit'],
      [{ off: ['iobj'] }, "'iobj'"],
    ]
    for (const [switches, part] of wrong)
      await assert.rejects(created(config([], switches)), refuses('BAD_ARGUMENT', part))
    await assert.rejects(created(config([agreementHead('iobj')])), refuses('BAD_ARGUMENT', "'iobj'", 'subj, obj, nmod'))
    const { agreements: _, ...bare } = config([agreementHead('subj')])
    await assert.rejects(created(bare), refuses('BAD_ARGUMENT', 'no agreements'))
  })

  it('batches whose chunks or labels do not fit', async () => {
    await using model = await modelOf(config([agreementHead('subj'), MLM]))
    const good = wordChunks([
      [5, 6, 7],
      [8, 9],
    ])
    const { chunks, ...bare } = good
    await assert.rejects(model.hiddenStates(bare), refuses('BAD_ARGUMENT', 'no chunks'))
    await assert.rejects(model.embed(bare), refuses('BAD_ARGUMENT', 'no chunks'))
    const wrong: [Partial<typeof chunks>, string][] = [
      [{ ids: ints([0, 1, 2, 3]) }, 'chunks.ids has 4 entries, 5'],
      [{ ids: ints([0, 1, 2, 3, 5]) }, 'chunks.ids[4] is 5'],
      [{ ids: ints([-2, 1, 2, 3, 4]) }, 'chunks.ids[0] is -2'],
      [{ ids: ints([0, 1, 2, 2, 4]), sentences: ints([0, 0, 0, 1, 1]) }, 'sequences 0 and 1'],
      [{ ids: ints([0, 1, 2, 3, 3]) }, 'chunk 4 of chunks.sentences has no token'],
      [{ sentences: ints([0, 0, 1, 0, 1]) }, 'chunks.sentences[3] is 0 after 1'],
      [{ sentences: ints([0, 0, 0, 0, 0]) }, 'sentence 0 of chunks.sentences has chunks in the sequences 0 and 1'],
    ]
    for (const [change, part] of wrong)
      await assert.rejects(
        model.agreements({ ...bare, chunks: { ...chunks!, ...change } }),
        refuses('BAD_ARGUMENT', part),
      )
    for (const [labels, part] of [
      [[0, -1, -1, -1, -1], 'labels[0]'],
      [[3, -1, -1, -1, -1], 'labels[0]'],
      [[-2, -1, -1, -1, -1], 'labels[0]'],
      [[1, -1], '2 entries; 5'],
    ] as [number[], string][])
      await assert.rejects(
        model.step({ ...good, labels: { subj: { labels: ints(labels) } } }),
        refuses('BAD_ARGUMENT', part),
      )
    const { agreements: _, ...without } = config([MLM])
    await using plain = await modelOf(without)
    await assert.rejects(plain.agreements(good), refuses('BAD_ARGUMENT', 'no agreements'))
  })
})
