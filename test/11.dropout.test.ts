/**
 * Dropout seen from outside, in float64, through gradients. With one token, the gradient of a bias that stands right before a mask is
 * exactly 0 where the mask drops, and its ratio to the gradient right behind the mask is the mask itself. Weights are set so that
 * nothing else lies between the two.
 */
import assert from 'node:assert/strict'
import type { PackedBatch } from '../lib/data/packed-batch.js'
import { computeThreads, encoderConfig, Model, Optimizer } from '../lib/model/index.js'
import { relativeDistance, smallBatch, smallModel } from './helpers/small-model.js'

const HIDDEN = 512
const RATE = 0.3
/** Masks are drawn as float32 factors, whatever the precision. */
const KEEP_SCALE = 1 / (1 - RATE)
const block = (index: number) => `bert.encoder.layer.${index}`
const EMBEDDINGS = 'bert.embeddings.LayerNorm.bias'
/** A bias right before each of the five masks of a model with two blocks. */
const SITES = [
  EMBEDDINGS,
  `${block(0)}.attention.output.dense.bias`,
  `${block(0)}.output.dense.bias`,
  `${block(1)}.attention.output.dense.bias`,
  `${block(1)}.output.dense.bias`,
]

const ATTENTION = ['query', 'key', 'value'].map((part) => `${block(1)}.attention.self.${part}.weight`)

type Tensors = Record<string, Float32Array | Float64Array>

/** Within 4.5 standard deviations of a binomial count. */
function assertBinomial(count: number, draws: number, probability: number, what: string): void {
  const deviation = Math.sqrt(draws * probability * (1 - probability))
  const distance = Math.abs(count - draws * probability) / deviation
  assert.ok(distance <= 4.5, `${what}: ${count} of ${draws}, ${distance.toFixed(1)} deviations from ${probability}`)
}

const pattern = (gradient: ArrayLike<number>): boolean[] => Array.from(gradient, (value) => value !== 0)
const agreement = (a: boolean[], b: boolean[]): number => a.filter((kept, i) => kept === b[i]).length
/** Two independent masks agree where both keep or both drop. */
const AGREE = RATE ** 2 + (1 - RATE) ** 2

describe('dropout', function () {
  this.timeout(60_000)

  it('draws many counters side by side as it draws them one by one', async () => {
    const shape = { hiddenDropout: 0.13, attentionDropout: 0.21, hiddenSize: 96, heads: 2, maxPositions: 128 }
    const model = await smallModel({ precision: 'fp32' }, shape)
    try {
      const losses = await (await model.step(smallBatch(0, [17, 5, 101, 9, 64, 33]))).read()
      // Recorded with the generator that takes one counter after the other; another processor may round the sums otherwise.
      const recorded = {
        nsp: 4.191607475280762,
        mlm: 321.79705810546875,
        swap: 7.805978775024414,
        token: 56.79743194580078,
      }
      for (const [head, sum] of Object.entries(recorded)) {
        assert.ok(Math.abs(losses[head].lossSum / sum - 1) < 1e-5, `${head}: ${losses[head].lossSum}, recorded ${sum}`)
      }
    } finally {
      await model.dispose()
    }
  })

  for (const rate of [0, 0.2]) {
    it(`attention of bf16 rows has the gradients of float32, at every length; dropout ${rate}`, async () => {
      const gradients = async (precision: 'fp32' | 'bf16') => {
        const shape = { hiddenDropout: 0, attentionDropout: rate, hiddenSize: 128, heads: 2, maxPositions: 160 }
        await using model = await smallModel({ precision }, shape)
        // Sharp weights: those of a fresh model are almost equal, and their gradient almost 0.
        const values = await model.readTensors('value', ATTENTION)
        await model.writeTensors(
          Object.fromEntries(ATTENTION.map((name) => [name, (values[name] as Float32Array).map((value) => 8 * value)])),
        )
        await model.step(smallBatch(2, [1, 2, 3, 15, 17, 33, 64, 101, 130]))
        return model.readTensors('gradient', ATTENTION)
      }
      const [narrow, exact] = [await gradients('bf16'), await gradients('fp32')]
      for (const name of ATTENTION) {
        const distance = relativeDistance(narrow, exact, [name])
        assert.ok(distance < 0.02, `${name}: ${distance}`)
      }
    })
  }

  for (const precision of ['fp32', 'bf16'] as const) {
    it(`keeps the mean, ${precision}`, async () => {
      const [rate, count, width] = [0.1, 6000, 256]
      const head = {
        name: 'mean',
        kind: 'regressor',
        pooler: 'none',
        dropout: rate,
        tap: { layer: 2 },
        weight: 1,
      } as const
      const model = await smallModel({ precision }, { hiddenSize: width }, [head])
      try {
        // Values that have 8 bits; scaled by 1 / (1 - p) they have not, and are rounded up as often as down.
        const states = Float32Array.from({ length: width }, (_, index) => 0.5 + ((37 * index) % 64) / 64)
        const last = 'bert.encoder.layer.1.output.LayerNorm'
        await model.writeTensors({
          [`${last}.weight`]: new Float32Array(width),
          [`${last}.bias`]: states,
          'heads.mean.classifier.weight': new Float32Array(width).fill(1 / width),
          'heads.mean.classifier.bias': new Float32Array(1),
        })
        const sequenceOffsets = Int32Array.from({ length: count + 1 }, (_, index) => index)
        const labels = { mean: { labels: new Int32Array(count), values: new Float32Array(count) } }
        const tokenIds = new Int32Array(count).fill(1)
        const batch = { tokenIds, segmentIds: new Int32Array(count), sequenceOffsets, labels }
        const loss = (await (await model.step(batch)).read()).mean.lossSum / count
        // The head's answer is the mean of what is kept: E[answer²] = mean² + variance.
        const mean = states.reduce((sum, value) => sum + value, 0) / width
        const variance = ((rate / (1 - rate)) * states.reduce((sum, value) => sum + value ** 2, 0)) / width ** 2
        const standardError = (2 * mean * Math.sqrt(variance)) / Math.sqrt(count)
        const distance = Math.abs(loss - mean ** 2 - variance)
        assert.ok(distance < 4 * standardError, `${distance}, one standard error is ${standardError}`)
      } finally {
        await model.dispose()
      }
    })
  }

  const models: Model[] = []
  afterEach(async () => {
    for (const model of models.splice(0)) await model.dispose()
  })

  async function make(options: {
    hidden?: number
    attention?: number
    layers?: number
    heads?: number
    tap?: number
    seed?: number
    threads?: number
  }): Promise<Model> {
    computeThreads(options.threads ?? 1)
    const { layers = 2, tap = layers, heads = 8 } = options
    const encoder = encoderConfig({
      vocabSize: 8,
      layers,
      hiddenSize: HIDDEN,
      heads,
      intermediateSize: 16,
      maxPositions: 64,
      hiddenDropout: options.hidden ?? 0,
      attentionDropout: options.attention ?? 0,
    })
    const head = {
      name: 'token',
      kind: 'bigram-shift',
      tap: { layer: tap },
      weight: 1,
      level: 'token',
      read: 'mean',
    } as const
    const model = await Model.create(
      { encoder, heads: [head] },
      { device: 'cpu', precision: 'fp64', seed: options.seed ?? 5 },
    )
    models.push(model)
    return model
  }

  /** One sequence with a single label. */
  function batch(tokens = 1, position = 0): PackedBatch {
    return {
      tokenIds: Int32Array.from({ length: tokens }, (_, t) => t % 8),
      segmentIds: new Int32Array(tokens),
      sequenceOffsets: Int32Array.of(0, tokens),
      labels: { token: { positions: Int32Array.of(position), labels: Int32Array.of(1) } },
    }
  }

  async function zero(model: Model, names: RegExp): Promise<void> {
    const values = await model.readTensors('value')
    await model.writeTensors(
      Object.fromEntries(
        Object.entries(values)
          .filter(([name]) => names.test(name))
          .map(([name, tensor]) => [name, tensor.fill(0)]),
      ),
    )
  }

  /** Gradients of one step. */
  async function gradients(model: Model, data = batch(), names: string[] = SITES): Promise<Tensors> {
    await model.step(data)
    const read = await model.readTensors('gradient', names)
    await dropGradients(model)
    return read
  }

  /** An update with rate 0 moves nothing. */
  async function dropGradients(model: Model): Promise<void> {
    await using optimizer = await Optimizer.create(model, {
      kind: 'adamw',
      beta1: 0,
      beta2: 0,
      epsilon: 1,
      groups: [{ names: model.parameters().map(({ name }) => name), weightDecay: 0, learningRateFactor: 0 }],
    })
    await optimizer.step({ learningRate: 0 })
  }

  it('embeddings: the state that a head reads is the undropped one times 0 or 1 / (1 - p)', async () => {
    const model = await make({ hidden: RATE, tap: 0 })
    const names = ['heads.token.classifier.weight', 'heads.token.classifier.bias']
    let kept = 0
    for (let step = 0; step < 8; step++) {
      const position = step % 4
      const [whole] = await model.hiddenStates(batch(4), [0])
      const read = await gradients(model, batch(4, position), names)
      // dL/dW = dL/dlogit ⊗ state and dL/db = dL/dlogit
      for (let i = 0; i < HIDDEN; i++) {
        const ratio = read[names[0]][i] / read[names[1]][0] / whole[position * HIDDEN + i]
        assert.ok(ratio === 0 || Math.abs(ratio - KEEP_SCALE) < 1e-7, `ratio ${ratio}`)
        if (ratio !== 0) kept++
      }
    }
    assertBinomial(kept, 8 * HIDDEN, 1 - RATE, 'kept')
  })

  it('sublayers: gradients pass the mask times 0 or 1 / (1 - p)', async () => {
    const model = await make({ hidden: RATE, layers: 1 })
    // Nothing flows back through attention and the inner layer: what reaches their inputs came by the residual path alone.
    await zero(model, /self\.(query|key|value)\.weight|intermediate\.dense\.weight/)
    const before = `${block(0)}.output.dense.bias`
    const behind = `${block(0)}.attention.output.LayerNorm.bias`
    const attention = `${block(0)}.attention.output.dense.bias`
    let kept = 0
    for (let step = 0; step < 8; step++) {
      const read = await gradients(model, batch(), [before, behind, attention, EMBEDDINGS])
      for (let i = 0; i < HIDDEN; i++) {
        const inner = read[before][i] / read[behind][i]
        assert.ok(inner === 0 || Math.abs(inner - KEEP_SCALE) < 1e-7, `inner layer: ${inner}`)
        // Both masks lie between these two: the sublayer's and the embeddings'.
        const both = read[attention][i] / read[EMBEDDINGS][i]
        if (read[EMBEDDINGS][i] !== 0) assert.ok(both === 0 || Math.abs(both - 1) < 1e-7, `attention: ${both}`)
        if (inner !== 0) kept++
      }
    }
    assertBinomial(kept, 8 * HIDDEN, 1 - RATE, 'kept')
  })

  it('attention: of the S weights of a query, a binomial number is kept, each scaled by 1 / (1 - p)', async () => {
    const heads = 64
    const [length, position] = [32, 5]
    const model = await make({ attention: RATE, layers: 1, heads })
    // Uniform weights 1 / S; values of 0, so that the mask does not change the forward pass.
    await zero(model, /self\.(query|key|value)\./)
    const value = `${block(0)}.attention.self.value.bias`
    await model.setDropout({ attention: 0 })
    const whole = (await gradients(model, batch(length, position), [value]))[value]
    await model.setDropout({ attention: RATE })
    let [kept, squares] = [0, 0]
    const steps = 4
    for (let step = 0; step < steps; step++) {
      const read = (await gradients(model, batch(length, position), [value]))[value]
      for (let head = 0; head < heads; head++) {
        const at = (head * HIDDEN) / heads
        const count = ((read[at] / whole[at]) * length) / KEEP_SCALE
        assert.ok(Math.abs(count - Math.round(count)) < 1e-6, `${count} weights kept`)
        for (let i = 1; i < HIDDEN / heads; i++) {
          const other = ((read[at + i] / whole[at + i]) * length) / KEEP_SCALE
          assert.ok(Math.abs(other - count) < 1e-6, 'all values of a head meet the same weights')
        }
        kept += Math.round(count)
        squares += (Math.round(count) - length * (1 - RATE)) ** 2
      }
    }
    const draws = steps * heads
    assertBinomial(kept, draws * length, 1 - RATE, 'kept weights')
    // The spread over heads and steps is that of independent weights.
    const variance = length * RATE * (1 - RATE)
    const distance = Math.abs(squares / draws / variance - 1) / Math.sqrt(2 / draws)
    assert.ok(distance < 4.5, `variance ${squares / draws}, ${variance} expected: ${distance.toFixed(1)} deviations`)
  })

  it('five sites, six steps: each keeps its share, and no two masks are alike', async () => {
    const model = await make({ hidden: RATE })
    const masks: [string, boolean[]][] = []
    for (let step = 0; step < 6; step++) {
      const read = await gradients(model)
      for (const site of SITES) masks.push([`${site} in step ${step}`, pattern(read[site])])
    }
    for (const [name, mask] of masks) assertBinomial(mask.filter(Boolean).length, HIDDEN, 1 - RATE, name)
    for (let a = 0; a < masks.length; a++) {
      for (let b = 0; b < a; b++) {
        assertBinomial(agreement(masks[a][1], masks[b][1]), HIDDEN, AGREE, `${masks[a][0]} and ${masks[b][0]}`)
      }
    }
  })

  it('tokens of one batch have masks of their own', async () => {
    const model = await make({ hidden: RATE, tap: 0 })
    const state = model.dropoutState()
    const masks: boolean[][] = []
    for (let position = 0; position < 6; position++) {
      model.setDropoutState(state)
      masks.push(pattern((await gradients(model, batch(6, position), [EMBEDDINGS]))[EMBEDDINGS]))
    }
    for (let a = 0; a < masks.length; a++) {
      for (let b = 0; b < a; b++) assertBinomial(agreement(masks[a], masks[b]), HIDDEN, AGREE, `tokens ${a} and ${b}`)
    }
  })

  it('neighbouring places of a mask are independent', async () => {
    const model = await make({ hidden: RATE, tap: 0 })
    const mask: boolean[] = []
    for (let step = 0; step < 8; step++)
      mask.push(...pattern((await gradients(model, batch(), [EMBEDDINGS]))[EMBEDDINGS]))
    for (const lag of [1, 2, 3, 4, 8, 16, 64, HIDDEN]) {
      const pairs = mask.length - lag
      assertBinomial(agreement(mask.slice(lag), mask.slice(0, pairs)), pairs, AGREE, `distance ${lag}`)
    }
  })

  for (const rate of [0.1, 0.5, 0.9]) {
    it(`keep rate for p = ${rate}`, async () => {
      const model = await make({ hidden: rate, tap: 0 })
      let kept = 0
      for (let step = 0; step < 4; step++) {
        kept += pattern((await gradients(model, batch(), [EMBEDDINGS]))[EMBEDDINGS]).filter(Boolean).length
      }
      assertBinomial(kept, 4 * HIDDEN, 1 - rate, 'kept')
    })
  }

  it('(seed, counter) name a mask: another model, another order and another number of threads replay it bit for bit', async () => {
    const options = { hidden: RATE, attention: RATE }
    const data = batch(40, 3)
    const model = await make(options)
    const all = model.parameters().map(({ name }) => name)
    const steps: Tensors[] = []
    for (let step = 0; step < 4; step++) steps.push(await gradients(model, data, all))
    assert.deepEqual(model.dropoutState(), { seed: 5, counter: 4 })
    const other = await make({ ...options, threads: 2 })
    for (const step of [3, 0, 2]) {
      other.setDropoutState({ seed: 5, counter: step })
      const again = await gradients(other, data, all)
      for (const name of all) {
        let worst = 0
        for (let i = 0; i < again[name].length; i++) {
          worst = Math.max(worst, Math.abs(again[name][i] - steps[step][name][i]))
        }
        assert.ok(worst <= 1e-14, `step ${step}, ${name}: ${worst}`)
      }
      for (const site of SITES) assert.deepEqual(pattern(again[site]), pattern(steps[step][site]))
    }
    assert.notDeepEqual(steps[0], steps[1])
    other.setDropoutState({ seed: 6, counter: 0 })
    assert.notDeepEqual(await gradients(other, data, all), steps[0])
  })

  it('a seed above 2^32 counts whole', async () => {
    const model = await make({ hidden: RATE, tap: 0 })
    const masks: boolean[][] = []
    for (const seed of [1, 1 + 2 ** 32, 1 + 2 ** 52]) {
      model.setDropoutState({ seed, counter: 0 })
      masks.push(pattern((await gradients(model, batch(), [EMBEDDINGS]))[EMBEDDINGS]))
    }
    assertBinomial(agreement(masks[0], masks[1]), HIDDEN, AGREE, 'seeds 2^32 apart')
    assertBinomial(agreement(masks[0], masks[2]), HIDDEN, AGREE, 'seeds 2^52 apart')
  })

  it('evaluation, states and embeddings know no dropout; rate 0 switches it off for steps too', async () => {
    const model = await make({ hidden: 0.5, attention: 0.5 })
    const data = batch(20, 3)
    const twice = async <T>(read: () => Promise<T>) => assert.deepEqual(await read(), await read())
    await twice(() => model.evaluate(data))
    await twice(() => model.hiddenStates(data))
    await twice(() => model.embed(data))
    const { token } = await model.evaluate(data)
    const loss = async () => (await (await model.step(data)).read()).token.lossSum
    assert.notEqual(await loss(), await loss())
    await model.setDropout({ hidden: 0, attention: 0 })
    assert.ok(Math.abs((await loss()) - token.lossSum) < 1e-12)
  })
})
