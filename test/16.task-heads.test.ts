/**
 * Heads of fine-tuning tasks: against plain PyTorch (test/golden/task_heads.py), packed against alone, in evaluation, under dropout,
 * and what they refuse.
 */
import assert from 'node:assert/strict'
import path from 'node:path'
import { type HeadLabels, labelCount, NO_LABEL, type PackedBatch } from '../lib/data/packed-batch.js'
import {
  computeThreads,
  encoderConfig,
  type HeadConfig,
  type MixConfig,
  Model,
  type ModelOptions,
  type SanHeadConfig,
} from '../lib/model/index.js'
import { modelParameterShapes } from '../lib/model/parameter-shapes.js'
import { addGradients } from '../lib/training/index.js'
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
import { adamw, perturb } from './helpers/small-model.js'

interface TaskHeadGoldens {
  encoder: Record<string, unknown>
  batch: GoldenBatch
  cases: Record<
    string,
    {
      heads: HeadConfig[]
      mixes: MixConfig[]
      losses: Record<string, number>
      logits: Record<string, { shape: number[]; values: number[] }>
      gradients: Record<string, Digest>
    }
  >
}

const goldens = readGoldens<TaskHeadGoldens>(path.join(__dirname, 'golden/task_heads.json.gz'))
const EVERY = 'every head on a mix'
/**
 * They move all scores of a softmax alike (the last LayerNorm's bias under a span head alone): in exact arithmetic their gradient is 0.
 */
const SHIFTS = /answer\.start\.bias|(rank|place)\.classifier\.bias|self\.key\.bias|layer\.2\.output\.LayerNorm\.bias/
const ints = (...values: number[]) => Int32Array.from(values)

/** Within 4.5 standard deviations of a binomial count. */
function assertBinomial(count: number, draws: number, probability: number, what: string): void {
  const deviation = Math.sqrt(draws * probability * (1 - probability))
  const distance = Math.abs(count - draws * probability) / deviation
  assert.ok(distance <= 4.5, `${what}: ${count} of ${draws}, ${distance.toFixed(1)} deviations from ${probability}`)
}

function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  assert.equal(actual.length, expected.length)
  let [difference, norm] = [0, 0]
  for (let i = 0; i < actual.length; i++) {
    difference += (actual[i] - expected[i]) ** 2
    norm += expected[i] ** 2
  }
  return Math.sqrt(difference / norm)
}

async function goldenModel(name: string, options: ModelOptions): Promise<Model> {
  computeThreads(1)
  const { heads, mixes } = goldens.cases[name]
  const model = await Model.create(
    { encoder: goldenEncoder(goldens.encoder), heads, mixes },
    { device: 'cpu', ...options },
  )
  await writeFormula(model, () => true)
  return model
}

/** The largest relative differences of one case. */
async function compare(name: string, options: ModelOptions) {
  const golden = goldens.cases[name]
  await using model = await goldenModel(name, options)
  const batch = packedBatch(goldens.batch, golden.heads)
  const losses = await (await model.step(batch)).read()
  const gradients = await model.readTensors('gradient')
  const evaluations = await model.evaluate(batch)
  const worst = { loss: 0, logits: 0, gradient: 0, gradientName: '' }
  for (const [head, expected] of Object.entries(golden.losses)) {
    worst.loss = Math.max(worst.loss, Math.abs(losses[head].loss - expected) / expected)
    const evaluated = evaluations[head].lossSum / evaluations[head].count
    worst.loss = Math.max(worst.loss, Math.abs(evaluated - expected) / expected)
    for (const scores of [await model.headLogits(batch, head), evaluations[head].logits!]) {
      assert.deepEqual(scores.shape, golden.logits[head].shape, head)
      worst.logits = Math.max(worst.logits, relativeError(scores.values, golden.logits[head].values))
    }
  }
  const norm = Math.sqrt(Object.values(golden.gradients).reduce((sum, digest) => sum + digest.norm ** 2, 0))
  assert.deepEqual(Object.keys(gradients).sort(), Object.keys(golden.gradients).sort())
  for (const [parameter, expected] of Object.entries(golden.gradients)) {
    const distance = digestDistance(digestOf(gradients[parameter], expected.shape), expected)
    let floor = 1e-6 * norm
    if (expected.norm < 1e-14 * norm && (golden.gradients[parameter.replace('.bias', '.weight')]?.norm ?? 0) > 0) {
      // What is left of a sum of terms as large as those of the layer's weight: its rounding, held to 1e-6 of these.
      assert.match(parameter, SHIFTS)
      floor = Math.max(floor, 1e-2 * golden.gradients[parameter.replace('.bias', '.weight')].norm)
    }
    const error = distance / Math.max(expected.norm, floor)
    if (!(error <= worst.gradient)) Object.assign(worst, { gradient: error, gradientName: parameter })
  }
  return worst
}

describe('task heads: goldens', function () {
  this.timeout(30_000)
  const check = (name: string, options: ModelOptions, limits: { loss: number; logits: number; gradient: number }) =>
    it(`${options.precision} ${options.kernels ?? 'fast'}: ${name}`, async () => {
      const worst = await compare(name, options)
      if (process.env.STRATABERT_SHOW) console.log(worst)
      assert.ok(worst.loss <= limits.loss, `loss ${worst.loss}`)
      assert.ok(worst.logits <= limits.logits, `scores ${worst.logits}`)
      assert.ok(worst.gradient <= limits.gradient, `gradient of ${worst.gradientName}: ${worst.gradient}`)
    })
  for (const name of Object.keys(goldens.cases)) {
    check(name, { precision: 'fp64' }, { loss: 1e-9, logits: 1e-9, gradient: 1e-9 })
    check(name, { precision: 'fp32' }, { loss: 1e-6, logits: 1e-5, gradient: 1e-4 })
  }
  for (const kernels of ['portable', 'reference'] as const)
    check(EVERY, { precision: 'fp64', kernels }, { loss: 1e-9, logits: 1e-9, gradient: 1e-9 })

  it('bf16: losses within 2 %, the gradient of every head within 6 % of its norm', async () => {
    const { heads, losses: expected } = goldens.cases[EVERY]
    const batch = packedBatch(goldens.batch, heads)
    const gradients: Record<string, ArrayLike<number>>[] = []
    for (const precision of ['fp64', 'bf16'] as const) {
      await using model = await goldenModel(EVERY, { precision })
      const losses = await (await model.step(batch)).read()
      for (const [head, loss] of Object.entries(expected))
        assert.ok(Math.abs(losses[head].loss / loss - 1) < 0.02, `${head}: ${losses[head].loss}, ${loss}`)
      gradients.push(await model.readTensors('gradient'))
    }
    const [exact, low] = gradients
    for (const { name } of heads) {
      const own = Object.keys(exact).filter((parameter) => parameter.startsWith(`heads.${name}.`))
      const all = (tensors: typeof exact) => own.flatMap((parameter) => Array.from(tensors[parameter]))
      const error = relativeError(all(low), all(exact))
      assert.ok(error < 0.06, `${name}: ${error}`)
    }
  })

  it('parameters have the names and shapes of the table', async () => {
    for (const name of [EVERY, 'shared and no pooler', 'poolers of other sizes']) {
      await using model = await goldenModel(name, {})
      const made = Object.fromEntries(model.parameters().map((info) => [info.name, info.shape]))
      assert.deepEqual(made, modelParameterShapes(model.config))
    }
  })
})

/** One sequence of a batch, or one group's, with the labels moved along. */
function cut(batch: PackedBatch, first: number, last = first + 1): PackedBatch {
  const [begin, end] = [batch.sequenceOffsets[first], batch.sequenceOffsets[last]]
  const labels: Record<string, HeadLabels> = {}
  for (const [name, head] of Object.entries(batch.labels)) {
    if (head.positions) {
      const kept = [...head.positions.keys()].filter((i) => head.positions![i] >= begin && head.positions![i] < end)
      labels[name] = {
        positions: Int32Array.from(kept, (i) => head.positions![i] - begin),
        labels: Int32Array.from(kept, (i) => head.labels[i]),
      }
      continue
    }
    labels[name] = { labels: head.labels.slice(first, last) }
    if (head.values) labels[name].values = head.values.slice(first, last)
    if (head.groups) labels[name].groups = head.groups.slice(first, last)
    if (head.spanStarts) labels[name].spanStarts = head.spanStarts.slice(first, last).map((place) => place - begin)
    if (head.spanEnds) labels[name].spanEnds = head.spanEnds.slice(first, last).map((place) => place - begin)
  }
  return {
    tokenIds: batch.tokenIds.slice(begin, end),
    segmentIds: batch.segmentIds.slice(begin, end),
    sequenceOffsets: batch.sequenceOffsets.slice(first, last + 1).map((offset) => offset - begin),
    labels,
  }
}

describe('task heads: batches', function () {
  this.timeout(30_000)
  const { heads } = goldens.cases[EVERY]
  const whole = packedBatch(goldens.batch, heads)
  const sequences = whole.sequenceOffsets.length - 1
  let model: Model
  before(async () => {
    model = await goldenModel(EVERY, { precision: 'fp64' })
  })
  after(() => model.dispose())

  for (const { name, kind } of heads) {
    it(`${kind}: scores and losses of sequences alone are those in the batch`, async () => {
      const together = await model.evaluate({ ...whole, labels: { [name]: whole.labels[name] } })
      const scores: number[] = []
      let lossSum = 0
      let count = 0
      // A ranker's question stays whole; the fifth sequence takes no part.
      const parts =
        kind === 'ranker'
          ? [
              [0, 3],
              [3, 4],
              [5, 7],
            ]
          : Array.from({ length: sequences }, (_, b) => [b, b + 1])
      for (const [first, last] of parts) {
        const part = cut(whole, first, last)
        const own = { ...part, labels: { [name]: part.labels[name] } }
        if (labelCount(own.labels[name]) === 0) {
          await assert.rejects(model.evaluate(own), refuses('BAD_ARGUMENT', 'no label'))
          if (kind !== 'span') continue
          // All tokens of a batch have span scores, whether their sequence is labelled or not.
          const dummy = { labels: ints(0), spanStarts: ints(0), spanEnds: ints(1) }
          scores.push(...(await model.headLogits({ ...own, labels: { [name]: dummy } }, name)).values)
          continue
        }
        const evaluation = (await model.evaluate(own))[name]
        scores.push(...evaluation.logits!.values)
        lossSum += evaluation.lossSum
        count += evaluation.count
      }
      assert.equal(count, together[name].count)
      assert.equal(count, labelCount(whole.labels[name]))
      assert.ok(Math.abs(lossSum / together[name].lossSum - 1) < 1e-12)
      assert.ok(relativeError(scores, together[name].logits!.values) < 1e-12)
    })
  }

  it('evaluation: heads that choose a class count hits, the others do not; scores have the documented shapes', async () => {
    const results = await model.evaluate(whole)
    const tokens = whole.tokenIds.length
    const shapes = { classes: [5, 3], number: [5, 1], answer: [6, 3], rank: [6, 1], place: [tokens, 2] }
    for (const [name, shape] of Object.entries(shapes)) assert.deepEqual(results[name].logits!.shape, shape)
    for (const name of ['classes', 'answer', 'tags']) {
      const { logits, correct, count, confusion } = results[name]
      const classes = logits!.shape[1]
      const labels = [...whole.labels[name].labels].filter((label) => label !== NO_LABEL)
      const expected = new Array(classes * classes).fill(0)
      labels.forEach((label, row) => {
        const scores = logits!.values.subarray(row * classes, (row + 1) * classes)
        expected[label * classes + scores.indexOf(Math.max(...scores))]++
      })
      assert.deepEqual(confusion, expected)
      assert.equal(count, labels.length)
      let hits = 0
      for (let c = 0; c < classes; c++) hits += expected[c * classes + c]
      assert.equal(correct, hits)
    }
    for (const name of ['number', 'rank', 'place']) {
      assert.equal(results[name].correct, 0)
      assert.equal(results[name].confusion, undefined)
    }
    // A SAN's scores are the logarithm of a distribution.
    const answer = results.answer.logits!.values
    for (let row = 0; row < 6; row++) {
      const sum = Math.exp(answer[3 * row]) + Math.exp(answer[3 * row + 1]) + Math.exp(answer[3 * row + 2])
      assert.ok(Math.abs(sum - 1) < 1e-12, `${sum}`)
    }
  })

  it('scores need no true labels: zeros give the same', async () => {
    for (const { name } of heads) {
      const labels = {
        ...whole.labels[name],
        labels: whole.labels[name].labels.map((label) => Math.min(label, 0)),
      }
      const wanted = (await model.evaluate(whole))[name].logits
      assert.deepEqual(await model.headLogits({ ...whole, labels: { [name]: labels } }, name), wanted)
    }
  })

  it('a ranker accumulates over batches by its groups', async () => {
    const labelled = { ...whole, labels: { rank: whole.labels.rank } }
    assert.equal(labelCount(labelled.labels.rank), 3)
    const gradients: Record<string, ArrayLike<number>>[] = []
    for (const batches of [[labelled], [cut(labelled, 0, 3), cut(labelled, 3, 7)]]) {
      await using own = await goldenModel(EVERY, { precision: 'fp64' })
      await addGradients(own, batches)
      gradients.push(await own.readTensors('gradient', ['heads.rank.pooler.weight', 'mixes.blocks.gamma']))
    }
    for (const [name, tensor] of Object.entries(gradients[0]))
      assert.ok(relativeError(gradients[1][name], tensor) < 1e-12)
  })
})

const HIDDEN = 256
const RATE = 0.3
/** Masks are float32 factors. */
const KEEP = 1 / (1 - RATE)

describe('task heads: dropout', function () {
  this.timeout(60_000)

  async function make(heads: HeadConfig[], hiddenSize = HIDDEN): Promise<Model> {
    computeThreads(1)
    const encoder = encoderConfig({
      vocabSize: 30,
      layers: 1,
      hiddenSize,
      heads: 2,
      intermediateSize: 16,
      maxPositions: 16,
    })
    const model = await Model.create({ encoder, heads }, { device: 'cpu', precision: 'fp64', seed: 3 })
    await perturb(model)
    return model
  }

  const base = { tap: { layer: 0 }, weight: 1, dropout: RATE }
  const san = (part: Partial<SanHeadConfig>): SanHeadConfig => ({
    name: 'san',
    kind: 'san',
    ...base,
    classes: 3,
    steps: 1,
    predictionDropout: 0,
    ...part,
  })

  /** `count` pairs of six tokens. */
  function pairs(count: number, labels: Record<string, HeadLabels>): PackedBatch {
    return {
      tokenIds: Int32Array.from({ length: 6 * count }, (_, t) => (5 * t) % 29),
      segmentIds: Int32Array.from({ length: 6 * count }, (_, t) => (t % 6 > 2 ? 1 : 0)),
      sequenceOffsets: Int32Array.from({ length: count + 1 }, (_, b) => 6 * b),
      labels,
    }
  }

  /** Gradients of one step. */
  async function gradients(model: Model, batch: PackedBatch, names?: string[]) {
    await using optimizer = await adamw(model)
    await model.step(batch)
    const read = await model.readTensors('gradient', names)
    await optimizer.step({ learningRate: 0 })
    return read
  }

  for (const kind of ['classifier', 'tagger'] as const)
    it(`${kind}: what the last layer reads is the state times 0 or 1 / (1 - p)`, async () => {
      await using model = await make([
        kind === 'classifier'
          ? { name: 'h', kind, ...base, classes: 3, pooler: 'none' }
          : { name: 'h', kind, ...base, classes: 3 },
      ])
      const labels = kind === 'classifier' ? { labels: ints(1) } : { labels: ints(2), positions: ints(0) }
      const batch = pairs(1, { h: labels })
      const [states] = await model.hiddenStates(batch, [0])
      let kept = 0
      for (let step = 0; step < 8; step++) {
        const read = await gradients(model, batch, ['heads.h.classifier.weight', 'heads.h.classifier.bias'])
        for (let i = 0; i < HIDDEN; i++) {
          const ratio = read['heads.h.classifier.weight'][i] / read['heads.h.classifier.bias'][0] / states[i]
          assert.ok(ratio === 0 || Math.abs(ratio - KEEP) < 1e-6, `ratio ${ratio}`)
          if (ratio !== 0) kept++
        }
      }
      assertBinomial(kept, 8 * HIDDEN, 1 - RATE, 'kept')
    })

  it('SAN: masks are shared over the tokens; scorer, both sides of the attention and the merge have masks of their own', async () => {
    await using model = await make([san({})])
    const batch = pairs(1, { san: { labels: ints(1) } })
    const counts = { start: 0, state: 0, wanted: 0, merged: 0 }
    const steps = 8
    const masks: boolean[][] = []
    for (let step = 0; step < steps; step++) {
      const read = await gradients(model, batch)
      // One mask over three tokens: a place of it that is 0 leaves no gradient at all.
      const start = Array.from(read['heads.san.start.weight'], (value) => value !== 0)
      const attention = read['heads.san.attention.weight']
      const rows = Array.from({ length: HIDDEN }, (_, r) => attention.subarray(r * HIDDEN, (r + 1) * HIDDEN))
      const wanted = rows.map((row) => row.some((value) => value !== 0))
      const state = rows[0].map((_, column) => (rows.some((row) => row[column] !== 0) ? 1 : 0))
      counts.start += start.filter(Boolean).length
      counts.wanted += wanted.filter(Boolean).length
      // The state is 0 where the scorer's mask already dropped it.
      counts.state += start.filter((kept, i) => kept && state[i]).length
      counts.merged += read['heads.san.classifier.weight'].subarray(0, HIDDEN).filter((value) => value !== 0).length
      masks.push(start, wanted)
    }
    assertBinomial(counts.start, steps * HIDDEN, 1 - RATE, 'start')
    assertBinomial(counts.wanted, steps * HIDDEN, 1 - RATE, 'premise')
    assertBinomial(counts.state, counts.start, 1 - RATE, 'state')
    assertBinomial(counts.merged, steps * HIDDEN, 1 - RATE, 'merge')
    for (let a = 0; a < masks.length; a++)
      for (let b = 0; b < a; b++) {
        const agreed = masks[a].filter((kept, i) => kept === masks[b][i]).length
        assertBinomial(agreed, HIDDEN, RATE ** 2 + (1 - RATE) ** 2, `masks ${a} and ${b}`)
      }
  })

  /**
   * The share of each step in the mean, read from a gradient. With a classifier of zeros all steps say the same, and its gradient is
   * the sum over steps of share x (p - y) x merged vector; the vectors come from models of 1, 2, … steps without prediction dropout.
   */
  async function shares(steps: number, rate: number, draws: number, sequences = 1): Promise<number[][]> {
    const size = 16
    const batch = pairs(sequences, { san: { labels: new Int32Array(sequences) } })
    for (let t = 6; t < batch.tokenIds.length; t++) batch.tokenIds[t] = batch.tokenIds[t - 6] // all alike
    const name = 'heads.san.classifier.weight'
    const prepare = async (config: SanHeadConfig) => {
      const model = await make([config], size)
      await model.writeTensors({
        [name]: new Float64Array(3 * 4 * size),
        'heads.san.classifier.bias': new Float64Array(3),
      })
      return model
    }
    const sums: Float64Array[] = [new Float64Array(4 * size)]
    for (let k = 1; k <= steps; k++) {
      await using model = await prepare(san({ dropout: 0, steps: k }))
      sums.push(
        ((await gradients(model, batch, [name]))[name] as Float64Array).subarray(0, 4 * size).map((value) => k * value),
      )
    }
    const vectors = sums.slice(1).map((sum, k) => sum.map((value, i) => value - sums[k][i]))
    await using model = await prepare(san({ dropout: 0, steps, predictionDropout: rate }))
    const result: number[][] = []
    for (let draw = 0; draw < draws; draw++) {
      const gradient = (await gradients(model, batch, [name]))[name].subarray(0, 4 * size)
      result.push(leastSquares(vectors, gradient))
    }
    return result
  }

  it('SAN: prediction dropout keeps a random step for sure and the others at rate 1 - p', async () => {
    const [steps, rate, draws] = [4, 0.6, 300]
    const kept = new Array(steps).fill(0)
    let others = 0
    for (const share of await shares(steps, rate, draws)) {
      const count = share.filter((value) => Math.abs(value) > 1e-6).length
      assert.ok(count >= 1, 'at least one step is kept')
      // The mean is renormalised: kept steps have equal shares.
      for (const value of share) assert.ok(Math.abs(value) < 1e-6 || Math.abs(value * count - 1) < 1e-6, `${share}`)
      share.forEach((value, step) => {
        if (Math.abs(value) > 1e-6) kept[step]++
      })
      others += count - 1
    }
    assertBinomial(others, draws * (steps - 1), 1 - rate, 'steps beside the sure one')
    const probability = 1 / steps + ((steps - 1) / steps) * (1 - rate)
    for (const [step, count] of kept.entries()) assertBinomial(count, draws, probability, `step ${step}`)
  })

  it('SAN: at a rate of 0.99 one step is left, any of them; sequences draw for themselves', async () => {
    const alone = await shares(3, 0.99, 120)
    const ones = alone.filter((share) => share.filter((value) => Math.abs(value) > 1e-6).length === 1)
    assert.ok(ones.length > 105, `${ones.length} of 120`)
    for (const step of [0, 1, 2])
      assertBinomial(ones.filter((share) => share[step] > 0.5).length, ones.length, 1 / 3, `step ${step}`)
    const twins = await shares(2, 0.99, 60, 2)
    assertBinomial(twins.filter(([first]) => Math.abs(first - 0.5) < 0.1).length, 60, 0.5, 'two alike sequences differ')
  })

  it('the seed replays every head bit for bit; evaluation knows no dropout; rates of 0 equal evaluation', async () => {
    const { heads } = goldens.cases['every head on a lower layer']
    const batch = packedBatch(goldens.batch, heads)
    const create = (rate: number) => {
      const own = heads.map((head) => ({
        ...head,
        dropout: rate,
        ...(head.kind === 'san' && { predictionDropout: rate }),
      }))
      return Model.create(
        { encoder: goldenEncoder(goldens.encoder), heads: own as HeadConfig[] },
        { device: 'cpu', precision: 'fp64', seed: 9 },
      )
    }
    await using model = await create(0.2)
    await using other = await create(0.2)
    await using plain = await create(0)
    const sums = async (from: Model) =>
      Object.fromEntries(
        Object.entries(await (await from.step(batch)).read()).map(([name, { lossSum }]) => [name, lossSum]),
      )
    const first = await sums(model)
    const second = await sums(model)
    for (const { name } of heads) assert.notEqual(first[name], second[name], name)
    other.setDropoutState({ seed: 9, counter: 1 })
    computeThreads(2)
    assert.deepEqual(await sums(other), second)
    computeThreads(1)
    other.setDropoutState({ seed: 9, counter: 0 })
    assert.deepEqual(await sums(other), first)
    const evaluated = await model.evaluate(batch)
    assert.deepEqual(await model.evaluate(batch), evaluated)
    const undropped = await sums(plain)
    for (const { name } of heads) assert.ok(Math.abs(undropped[name] / evaluated[name].lossSum - 1) < 1e-12, name)
  })
})

/** x with Σ x_k columns_k nearest to target, by the normal equations. */
function leastSquares(columns: ArrayLike<number>[], target: ArrayLike<number>): number[] {
  const dot = (a: ArrayLike<number>, b: ArrayLike<number>) =>
    Array.from(a).reduce((sum, value, i) => sum + value * b[i], 0)
  const size = columns.length
  const rows = columns.map((a) => [...columns.map((b) => dot(a, b)), dot(a, target)])
  for (let k = 0; k < size; k++)
    for (let r = 0; r < size; r++) {
      if (r === k) continue
      const factor = rows[r][k] / rows[k][k]
      for (let c = k; c <= size; c++) rows[r][c] -= factor * rows[k][c]
    }
  return rows.map((row, k) => row[size] / row[k])
}

describe('task heads: refused arguments', function () {
  this.timeout(30_000)
  const HEADS: HeadConfig[] = [
    { name: 'classes', kind: 'classifier', tap: { layer: 1 }, weight: 1, dropout: 0, classes: 3, pooler: 'own' },
    { name: 'number', kind: 'regressor', tap: { layer: 1 }, weight: 1, dropout: 0, pooler: 'shared' },
    {
      name: 'answer',
      kind: 'san',
      tap: { layer: 1 },
      weight: 1,
      dropout: 0,
      classes: 3,
      steps: 2,
      predictionDropout: 0.1,
    },
    { name: 'rank', kind: 'ranker', tap: { layer: 1 }, weight: 1, dropout: 0, pooler: 'none' },
    { name: 'place', kind: 'span', tap: { layer: 1 }, weight: 1, dropout: 0 },
    { name: 'tags', kind: 'tagger', tap: { layer: 1 }, weight: 1, dropout: 0, classes: 5 },
  ]
  const create = (heads: HeadConfig[]) => {
    const encoder = encoderConfig({
      vocabSize: 30,
      layers: 1,
      hiddenSize: 16,
      heads: 2,
      intermediateSize: 16,
      maxPositions: 16,
    })
    return Model.create({ encoder, heads }, { device: 'cpu' })
  }
  /** Three sequences of 4, 5 and 3 tokens; the last has one segment only. */
  const batch = (labels: Record<string, unknown>): PackedBatch => ({
    tokenIds: Int32Array.from({ length: 12 }, (_, t) => t),
    segmentIds: ints(0, 0, 1, 1, 0, 0, 1, 1, 1, 0, 0, 0),
    sequenceOffsets: ints(0, 4, 9, 12),
    labels: labels as PackedBatch['labels'],
  })
  let model: Model
  before(async () => {
    computeThreads(1)
    model = await create(HEADS)
  })
  after(() => model.dispose())

  const values = (...numbers: number[]) => Float32Array.from(numbers)
  // biome-ignore format: a table, one case a line
  const labels: [string, Record<string, unknown>, ...string[]][] = [
    ['two labels for three sequences', { classes: { labels: ints(0, 1) } }, "'classes'", '2', '3', 'sequence'],
    ['a class too high', { classes: { labels: ints(0, 3, 1) } }, 'labels[1]', "'classes'", '3', '0 to 2', '-100'],
    ['a negative class', { classes: { labels: ints(0, 1, -1) } }, 'labels[2]', "'classes'", '-1'],
    ['labels as a plain array', { classes: { labels: [0, 1, 2] } }, "'classes'", 'Int32Array'],
    ['a regressor without values', { number: { labels: ints(0, 0, 0) } }, 'values', "'number'", '0 entries', '3'],
    ['too few values', { number: { labels: ints(0, 0, 0), values: values(1, 2) } }, 'values', "'number'", '2 entries', '3'],
    ['a value of NaN', { number: { labels: ints(0, 0, 0), values: values(1, Number.NaN, 3) } }, 'values[1]', "'number'", 'nan', 'finite'],
    ['an infinite value', { number: { labels: ints(0, 0, 0), values: values(1, 2, Number.POSITIVE_INFINITY) } }, 'values[2]', 'inf'],
    ['values as Float64Array', { number: { labels: ints(0, 0, 0), values: new Float64Array(3) } }, "'number'", 'Float32Array'],
    ['a regressor with a class', { number: { labels: ints(0, 2, 0), values: values(1, 2, 3) } }, 'labels[1]', "'number'", '2'],
    ['a SAN class too high', { answer: { labels: ints(0, 9, NO_LABEL) } }, 'labels[1]', "'answer'", '9', '0 to 2'],
    ['a SAN sequence of one segment', { answer: { labels: ints(0, 1, 2) } }, 'sequence 2', 'segment 1', "'answer'", 'premise'],
    ['a ranker without groups', { rank: { labels: ints(1, 0, 1) } }, 'groups', "'rank'", '0 entries', '3'],
    ['a ranker label of 2', { rank: { labels: ints(1, 2, 0), groups: ints(0, 0, 0) } }, 'labels[1]', "'rank'", '2'],
    ['two right candidates', { rank: { labels: ints(1, 0, 1), groups: ints(4, 4, 4) } }, 'labels[2]', "'rank'", 'group 4', 'one right'],
    ['no right candidate', { rank: { labels: ints(1, 0, 0), groups: ints(4, 6, 6) } }, 'group 6', "'rank'", 'exactly one'],
    ['a group that comes again', { rank: { labels: ints(1, 1, 0), groups: ints(4, 6, 4) } }, 'groups[2]', "'rank'", '4', 'beside'],
    ['a span head without spans', { place: { labels: ints(0, 0, 0) } }, 'spanStarts', "'place'", '0 entries', '3'],
    ['ends for two sequences', { place: { labels: ints(0, 0, 0), spanStarts: ints(0, 4, 9), spanEnds: ints(1, 5) } }, 'spanEnds', '2 entries', '3'],
    ['a span over two sequences', { place: { labels: ints(0, 0, 0), spanStarts: ints(0, 5, 9), spanEnds: ints(1, 10, 10) } }, 'spanStarts[1]', "'place'", '[5, 10)', '[4, 9)'],
    ['a span of another sequence', { place: { labels: ints(0, 0, 0), spanStarts: ints(5, 5, 9), spanEnds: ints(6, 6, 10) } }, 'spanStarts[0]', '[5, 6)', '[0, 4)'],
    ['an empty span', { place: { labels: ints(0, 0, 0), spanStarts: ints(0, 5, 9), spanEnds: ints(1, 5, 10) } }, 'spanStarts[1]', '[5, 5)', 'non-empty'],
    ['a span before all', { place: { labels: ints(0, 0, 0), spanStarts: ints(-1, 5, 9), spanEnds: ints(1, 6, 10) } }, 'spanStarts[0]', '[-1, 1)'],
    ['a span label of 1', { place: { labels: ints(1, 0, 0), spanStarts: ints(0, 5, 9), spanEnds: ints(1, 6, 10) } }, 'labels[0]', "'place'"],
    ['a tag too high', { tags: { labels: ints(4, 5), positions: ints(0, 11) } }, 'labels[1]', "'tags'", '5', '0 to 4'],
    ['a tag beyond the tokens', { tags: { labels: ints(4, 0), positions: ints(0, 12) } }, 'positions[1]', "'tags'", '12', '0 to 11'],
    ['tags without positions', { tags: { labels: ints(4, 0) } }, "'tags'", '2', 'position'],
  ]
  for (const [name, wrong, ...parts] of labels)
    it(name, async () => {
      for (const action of [() => model.step(batch(wrong)), () => model.evaluate(batch(wrong))])
        await assert.rejects(action(), refuses('BAD_ARGUMENT', ...parts))
    })

  it('what a row without label holds is not looked at', async () => {
    const results = await model.evaluate(
      batch({
        number: { labels: ints(0, NO_LABEL, NO_LABEL), values: values(1, Number.NaN, Number.NaN) },
        answer: { labels: ints(1, 2, NO_LABEL) },
        rank: { labels: ints(1, NO_LABEL, 0), groups: ints(4, 9, 4) },
        place: { labels: ints(NO_LABEL, 0, NO_LABEL), spanStarts: ints(-5, 6, 99), spanEnds: ints(0, 7, 0) },
      }),
    )
    assert.deepEqual(
      Object.entries(results).map(([name, { count, lossSum }]) => [name, count, Number.isFinite(lossSum)]),
      [
        ['number', 1, true],
        ['answer', 2, true],
        ['rank', 1, true],
        ['place', 1, true],
      ],
    )
  })

  it('a refused step leaves the gradients as they were', async () => {
    await using own = await create(HEADS)
    await own.step(batch({ classes: { labels: ints(0, 1, 2) } }))
    const gathered = await own.readTensors('gradient')
    const unmarked = { rank: { labels: ints(0, 0, 0), groups: ints(4, 4, 4) }, classes: { labels: ints(0, 1, 2) } }
    await assert.rejects(own.step(batch(unmarked)), refuses('BAD_ARGUMENT', "'rank'"))
    assert.deepEqual(await own.readTensors('gradient'), gathered)
  })

  const changed = (index: number, part: object) => () => create([{ ...HEADS[index], ...part } as HeadConfig])
  // biome-ignore format: a table, one case a line
  const configurations: [string, () => Promise<Model>, ...string[]][] = [
    ['one class', changed(0, { classes: 1 }), 'classes', "'classes'", '1', 'at least 2'],
    ['a classifier without classes', changed(0, { classes: undefined }), 'classes', '0'],
    ['a tagger of one class', changed(5, { classes: 1 }), "'tags'", '1'],
    ['a SAN of one class', changed(2, { classes: 1 }), "'answer'", '1'],
    ['a SAN of no step', changed(2, { steps: 0 }), 'steps', "'answer'", '0'],
    ['a SAN of 5000 steps', changed(2, { steps: 5000 }), 'steps', '5000', '1000'],
    ['prediction dropout of 1', changed(2, { predictionDropout: 1 }), 'predictionDropout', "'answer'", '1'],
    ['dropout of 1', changed(4, { dropout: 1 }), 'dropout', "'place'", '1'],
    ['dropout of NaN', changed(0, { dropout: Number.NaN }), 'dropout', "'classes'"],
    ['a pooler of another kind', changed(3, { pooler: 'mean' }), 'pooler', "'rank'", 'mean', 'shared'],
    ['a size of a pooler that is shared', changed(3, { pooler: 'shared', poolerSize: 8 }), 'poolerSize', "'rank'", '8', 'own'],
    ['a pooler of nothing', changed(3, { poolerSize: 0 }), 'poolerSize', "'rank'", '0', 'at least 1'],
    ['a pooler of less than nothing', changed(3, { poolerSize: -1 }), 'poolerSize', "'rank'", '-1', 'at least 1'],
    ['a mix that is not there', changed(0, { tap: { mix: 'sum' } }), "'classes'", "'sum'"],
  ]
  for (const [name, action, ...parts] of configurations)
    it(`create: ${name}`, () => assert.rejects(action(), refuses('BAD_ARGUMENT', ...parts)))
})
