/** Models that only answer: every way of computing held against the plain one, weights that processes share, what is refused. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { PackedBatch } from '../lib/data/packed-batch.js'
import {
  computeThreads,
  counters,
  type InferencePrecision,
  loadModel,
  Model,
  type ModelOptions,
  Optimizer,
  saveModelFolder,
} from '../lib/model/index.js'
import { runChild } from './helpers/run-child.js'
import { SHARED_DATA } from './helpers/shared-data.js'
import { relativeDistance, smallBatch, smallModel } from './helpers/small-model.js'

const minilm = join(SHARED_DATA, 'minilm_l6')
/** One short sequence, several short ones, and more tokens than one pass of any kernel takes. */
const LENGTHS = [[5], [1, 9, 17], [64, 3, 50, 16, 33, 64, 1]]
const SIZES = { hiddenSize: 64, heads: 4, intermediateSize: 200, maxPositions: 64, initializerRange: 0.2 }

const model = (options: ModelOptions, sizes = {}) => smallModel(options, { ...SIZES, ...sizes })

/** States of all layers for all of {@link LENGTHS}, by name. */
async function states(options: ModelOptions, sizes = {}): Promise<Record<string, ArrayLike<number>>> {
  await using one = await model(options, sizes)
  const all: Record<string, ArrayLike<number>> = {}
  for (const [index, lengths] of LENGTHS.entries()) {
    const layers = await one.hiddenStates(smallBatch(7, lengths))
    layers.forEach((values, layer) => {
      all[`${index}.${layer}`] = values
    })
    all[`${index}.vectors`] = await one.embed(smallBatch(7, lengths), { normalize: true })
  }
  return all
}

const int8: ModelOptions = { precision: 'int8', inference: true }

describe('models that only answer', function () {
  this.timeout(120_000)
  let folder: string
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-inference-'))
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  for (const [name, sizes] of Object.entries({
    'heads of 16': {},
    'heads of 32, 3 layers': { heads: 2, layers: 3 },
    'heads of 8, which our attention leaves to libtorch': { heads: 8 },
    'crammed blocks': { kind: 'crammed' },
    relu: { activation: 'relu' },
  })) {
    it(`float32, ${name}: states and vectors are those of the plain path`, async () => {
      const [fast, plain] = [await states({ inference: true }, sizes), await states({ kernels: 'reference' }, sizes)]
      const distance = relativeDistance(fast, plain)
      assert.ok(distance < 2e-6, `${distance}`)
    })
  }

  it('float32 on two threads: as on one', async () => {
    const one = await states({ inference: true })
    await using two = await model({ inference: true })
    computeThreads(2)
    try {
      for (const [index, lengths] of LENGTHS.entries()) {
        const vectors = await two.embed(smallBatch(7, lengths), { normalize: true })
        assert.ok(relativeDistance({ vectors }, { vectors: one[`${index}.vectors`] }) < 1e-6)
      }
    } finally {
      computeThreads(1)
    }
  })

  for (const kind of ['bert', 'crammed'] as const) {
    it(`int8, ${kind}: as the same arithmetic one value at a time, near float32`, async () => {
      const fast = await states(int8, { kind })
      const plain = await states({ ...int8, kernels: 'reference' }, { kind })
      const exact = await states({}, { kind })
      // A rounding that falls the other way moves a value by one of 255 steps.
      assert.ok(relativeDistance(fast, plain) < 3e-3, `${relativeDistance(fast, plain)}`)
      const loss = relativeDistance(fast, exact)
      assert.ok(loss > 1e-4 && loss < 0.04, `${loss}`)
    })
  }

  it("int8 by libtorch's operators: near float32", async () => {
    const loss = relativeDistance(await states({ ...int8, kernels: 'portable' }), await states({}))
    assert.ok(loss > 1e-4 && loss < 0.06, `${loss}`)
  })

  it('bfloat16 from packed weights: near the plain product in bfloat16', async () => {
    const packed = await states({ precision: 'bf16', inference: true })
    const [plain, exact] = [await states({ precision: 'bf16' }), await states({})]
    assert.ok(relativeDistance(packed, plain) < 0.01, `${relativeDistance(packed, plain)}`)
    assert.ok(relativeDistance(packed, exact) < 1.2 * relativeDistance(plain, exact) + 1e-3)
  })

  it('what is not a number stays none: in weights, in scores that overflow', async () => {
    const ways: ModelOptions[] = [
      { kernels: 'portable' },
      { inference: true },
      { inference: true, precision: 'bf16' },
      int8,
      { ...int8, kernels: 'reference' },
    ]
    const query = 'bert.encoder.layer.1.attention.self.query'
    const inner = 'bert.encoder.layer.0.intermediate.dense.weight'
    await using source = await model({})
    const names = Object.fromEntries(source.parameters().map(({ name }) => [name, name]))
    const damages: Record<string, Record<string, Float32Array>> = {}
    const sound = (await source.readTensors('value', [inner, `${query}.weight`])) as Record<string, Float32Array>
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
      for (const name of Object.keys(sound))
        damages[`${value} in ${name}`] = { [name]: sound[name].slice().fill(value, 0, 64) }
    }
    const huge = new Float32Array(SIZES.hiddenSize).fill(3e19)
    damages['scores beyond float32'] = { [`${query}.bias`]: huge, [`${query.replace('query', 'key')}.bias`]: huge }
    for (const [index, [what, values]] of Object.entries(damages).entries()) {
      await using damaged = await model({})
      await damaged.writeTensors(values)
      const path = join(folder, `damaged-${index}.safetensors`)
      await damaged.save(path, names)
      for (const options of ways) {
        await using one = await model(options)
        await one.load(path, names)
        const vectors = await one.embed(smallBatch(7, [9, 40]))
        assert.ok(vectors.every(Number.isNaN), `${what}, ${JSON.stringify(options)}: ${vectors.slice(0, 3)}`)
      }
    }
  })

  it('heads answer as those of a model that trains', async () => {
    await using answers = await model({ inference: true })
    await using trains = await model({})
    const batch = smallBatch()
    const [a, b] = [await answers.evaluate(batch), await trains.evaluate(batch)]
    for (const head of Object.keys(b)) {
      assert.ok(Math.abs(a[head].lossSum - b[head].lossSum) < 1e-4, head)
      assert.equal(a[head].correct, b[head].correct)
    }
  })

  it('training is refused in words, and the model goes on', async () => {
    await using answers = await model({ inference: true })
    await assert.rejects(answers.step(smallBatch()), { code: 'UNSUPPORTED', message: /inference/ })
    const groups = [{ names: ['bert.embeddings.LayerNorm.bias'] }]
    const settings = { kind: 'adamw', beta1: 0.9, beta2: 0.99, epsilon: 1e-8, groups } as never
    await assert.rejects(Optimizer.create(answers, settings), { code: 'UNSUPPORTED' })
    const pruning = { method: 'magnitude' } as never
    const config = { ...answers.config, pruning }
    await assert.rejects(Model.create(config, { device: 'cpu', inference: true }), { code: 'UNSUPPORTED' })
    assert.equal((await answers.embed(smallBatch())).length, 4 * SIZES.hiddenSize)
  })

  it('takes a quarter of the native memory of a model that trains', async () => {
    const before = counters().nativeBytes
    const bytes: Record<string, number> = {}
    for (const [name, options] of Object.entries({ trains: {}, answers: { inference: true } })) {
      await using _ = await model(options)
      bytes[name] = counters().nativeBytes - before
    }
    assert.equal(4 * bytes.answers, bytes.trains)
    assert.equal(counters().nativeBytes, before)
  })

  it('int8 takes less than half of that', async () => {
    const path = await saved('small', 8)
    const before = counters().nativeBytes
    const bytes: number[] = []
    for (const precision of ['fp32', 'int8'] as const) {
      await using _ = (await loadModel(path, { device: 'cpu', precision, inference: true })).model
      bytes.push(counters().nativeBytes - before)
    }
    assert.ok(bytes[1] > 0 && bytes[1] < 0.5 * bytes[0], bytes.join(' '))
  })

  it('int8 without inference is refused; its weights can be neither read nor saved, the others can', async () => {
    await assert.rejects(model({ precision: 'int8' }), { code: 'BAD_ARGUMENT', message: /inference/ })
    await using one = await model(int8)
    await one.embed(smallBatch())
    const dense = 'bert.encoder.layer.0.output.dense.weight'
    await assert.rejects(one.readTensors('value', [dense]), { code: 'UNSUPPORTED', message: /8 bits/ })
    await assert.rejects(one.writeTensors({ [dense]: new Float32Array(64 * 200) }), { code: 'UNSUPPORTED' })
    await assert.rejects(saveModelFolder(one, join(folder, 'never')), { code: 'UNSUPPORTED' })
    assert.ok(!existsSync(join(folder, 'never')))
    assert.equal(
      (await one.readTensors('value', ['bert.embeddings.LayerNorm.weight']))['bert.embeddings.LayerNorm.weight'][0],
      1,
    )
  })

  /** A model folder of {@link SIZES}. */
  async function saved(name: string, seed: number): Promise<string> {
    await using one = await smallModel({ seed }, SIZES, [])
    await saveModelFolder(one, join(folder, name))
    return join(folder, name)
  }

  it('loaded from a folder: the same answers in every precision as a loaded model that trains', async () => {
    const path = await saved('folder', 3)
    const batch = smallBatch(5, [40, 20])
    const vectors = async (options: ModelOptions): Promise<Record<string, ArrayLike<number>>> => {
      await using one = (await loadModel(path, { device: 'cpu', ...options })).model
      return { vectors: await one.embed(batch) }
    }
    const exact = await vectors({})
    const bounds: Record<InferencePrecision, number> = { fp64: 1e-5, fp32: 2e-6, bf16: 0.03, int8: 0.04, fp16: 0 }
    for (const precision of ['fp64', 'fp32', 'bf16', 'int8'] as const) {
      const distance = relativeDistance(await vectors({ precision, inference: true }), exact)
      assert.ok(distance < bounds[precision], `${precision}: ${distance}`)
    }
  })

  it('what one model writes into its weights, another of the same file does not see', async () => {
    const path = await saved('two', 4)
    const name = 'bert.encoder.layer.1.attention.self.key.weight'
    const loaded = () => loadModel(path, { device: 'cpu', inference: true })
    await using first = (await loaded()).model
    await using second = (await loaded()).model
    const before = await second.readTensors('value', [name])
    const ones = new Float32Array(64 * 64).fill(1)
    await first.writeTensors({ [name]: ones })
    assert.deepEqual((await first.readTensors('value', [name]))[name], ones)
    assert.deepEqual(await second.readTensors('value', [name]), before)
    const batch: PackedBatch = smallBatch(2, [12])
    assert.notDeepEqual(await first.embed(batch), await second.embed(batch))
  })

  it('a file that is cut, overwritten, replaced or deleted under a process: it goes on with what it read', async function () {
    if (process.platform === 'win32') this.skip()
    const path = await saved('cut', 5)
    await saved('other', 6)
    const { code, signal, out, err } = await runChild('weights-child', { args: ['cut', path, join(folder, 'other')] })
    assert.deepEqual([code, signal], [0, null], `${out}${err}`)
    assert.deepEqual(JSON.parse(out), {
      truncated: true,
      overwritten: true,
      replaced: true,
      deleted: true,
      reloaded: 'differs',
      damaged: 'BAD_FILE',
    })
  })

  it('two processes hold the weights once', async function () {
    if (process.platform !== 'linux' || !existsSync(minilm)) this.skip()
    mkdirSync(join(folder, 'run'), { mode: 0o700 })
    const before = process.env.XDG_RUNTIME_DIR
    process.env.XDG_RUNTIME_DIR = join(folder, 'run')
    try {
      const env = { XDG_RUNTIME_DIR: join(folder, 'run') }
      const [first, second] = await Promise.all([
        runChild('weights-child', { args: ['hold', minilm, join(folder, 'done')], env }),
        runChild('weights-child', { args: ['hold', minilm, join(folder, 'done')], env }),
      ])
      for (const { code, out, err } of [first, second]) {
        assert.equal(code, 0, err)
        const { size, rss, pss } = JSON.parse(out) as Record<string, number>
        // 22.7 M weights of 4 bytes.
        assert.ok(size > 90e6 && rss > 0.9 * size, out)
        assert.ok(pss < 0.55 * rss, out)
      }
      assert.deepEqual(
        readdirSync(join(folder, 'run'))
          .flatMap((name) => readdirSync(join(folder, 'run', name)))
          .filter((name) => !name.startsWith('lock-')),
        [],
      )
    } finally {
      if (before === undefined) delete process.env.XDG_RUNTIME_DIR
      else process.env.XDG_RUNTIME_DIR = before
    }
  })

  it('minilm: int8 keeps the direction of sentence vectors, float32 keeps everything', async function () {
    if (!existsSync(minilm)) this.skip()
    const ids = [101, 1037, 2158, 2007, 1037, 2524, 6045, 2003, 5613, 1012, 102]
    const batch: PackedBatch = {
      tokenIds: Int32Array.from([...ids, ...ids, ...ids.slice(0, 4), 102].flat()),
      segmentIds: new Int32Array(27),
      sequenceOffsets: Int32Array.of(0, 11, 22, 27),
      labels: {},
    }
    const vectors = async (options: ModelOptions) => {
      await using one = (await loadModel(minilm, { device: 'cpu', ...options })).model
      return one.embed(batch, { normalize: true })
    }
    const plain = await vectors({ inference: true, kernels: 'reference' })
    const dot = (a: Float32Array) => a.subarray(0, 384).reduce((sum, value, i) => sum + value * plain[i], 0)
    assert.ok(relativeDistance({ v: await vectors({ inference: true }) }, { v: plain }) < 1e-5)
    assert.ok(dot(await vectors(int8)) > 0.99)
  })
})
