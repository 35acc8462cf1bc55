/**
 * Encoder, heads, gradients and AdamW against transformers + torch (test/golden/encoder.py).
 * A tensor is compared through its norm, eight random-sign projections and a sample: the projections' mean squared difference
 * estimates the squared distance of the whole tensors. STRATABERT_RECOMPUTE=1 makes minilm_l6's figures anew (minutes).
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { PackedBatch } from '../lib/data/packed-batch.js'
import { encoderConfig, type HeadConfig } from '../lib/model/config.js'
import {
  computeThreads,
  loadModel,
  Model,
  modelParameterShapes,
  Optimizer,
  type Precision,
} from '../lib/model/index.js'
import { parameterGroups } from '../lib/training/index.js'
import {
  type Digest,
  digestDistance,
  digestOf,
  type EncoderGoldens,
  goldenEncoder,
  packedBatch,
  readGoldens,
  tokenProjections,
  writeFormula,
} from './golden/golden.js'
import { pythonPeer, sharedData } from './golden/peers.js'

const SCRIPT = path.join(__dirname, 'golden/encoder.py')
const FIXTURE = path.join(__dirname, 'golden/encoder.json.gz')

type MakeModel = (heads: HeadConfig[], precision: Precision) => Promise<Model>

function relativeError(actual: Digest, expected: Digest, floor = 0): number {
  return digestDistance(actual, expected) / Math.max(expected.norm, floor, Number.MIN_VALUE)
}

function globalNorm(digests: Record<string, Digest>): number {
  return Math.sqrt(Object.values(digests).reduce((sum, digest) => sum + digest.norm ** 2, 0))
}

async function checkHiddenStates(
  goldens: EncoderGoldens,
  model: Model,
  batch: PackedBatch,
  fp64: boolean,
): Promise<number> {
  const states = await model.hiddenStates(batch)
  const hiddenSize = model.config.encoder.hiddenSize
  assert.equal(states.length, goldens.hidden.length)
  let worst = 0
  states.forEach((state, layer) => {
    const expected = goldens.hidden[layer]
    assert.equal(state.length, expected.shape[0] * expected.shape[1])
    if (fp64) worst = Math.max(worst, relativeError(digestOf(state, expected.shape), expected))
    goldens.hiddenRows.forEach((token, row) => {
      for (let column = 0; column < hiddenSize; column++) {
        const error = Math.abs(state[token * hiddenSize + column] - expected.rows[row][column])
        worst = Math.max(worst, error)
      }
    })
    // A token's projection adds H differences of random sign: √H times as large as one of them.
    tokenProjections(state, hiddenSize).forEach((value, index) => {
      worst = Math.max(worst, Math.abs(value - expected.tokenProjections[index]) / Math.sqrt(hiddenSize))
    })
  })
  return worst
}

async function checkCase(goldens: EncoderGoldens, name: string, make: MakeModel, precision: Precision) {
  const golden = goldens.cases[name]
  await using model = await make(golden.heads, precision)
  const batch = packedBatch(goldens.batch, golden.heads)
  const losses = await (await model.step(batch)).read()
  const gradients = await model.readTensors('gradient')
  const worst = { loss: 0, gradient: 0, gradientName: '', logits: 0 }
  for (const [head, expected] of Object.entries(golden.losses)) {
    worst.loss = Math.max(worst.loss, Math.abs(losses[head].loss - expected) / expected)
    const logits = await model.headLogits(batch, head)
    worst.logits = Math.max(worst.logits, relativeError(digestOf(logits.values, logits.shape), golden.logits[head]))
  }
  // Key biases have no gradient in exact arithmetic, hence a floor of 1e-6 of the global norm.
  const floor = 1e-6 * globalNorm(golden.gradients)
  assert.deepEqual(Object.keys(gradients).sort(), Object.keys(golden.gradients).sort())
  for (const [parameter, expected] of Object.entries(golden.gradients)) {
    const error = relativeError(digestOf(gradients[parameter], expected.shape), expected, floor)
    if (!(error <= worst.gradient)) Object.assign(worst, { gradient: error, gradientName: parameter })
  }
  return worst
}

async function checkTraining(goldens: EncoderGoldens, name: string, make: MakeModel) {
  const { heads, settings, trace, parameters } = goldens.training[name]
  await using model = await make(heads, 'fp64')
  await using optimizer = await Optimizer.create(model, {
    kind: 'adamw',
    beta1: settings.beta1,
    beta2: settings.beta2,
    epsilon: settings.epsilon,
    groups: parameterGroups(model.parameters(), { weightDecay: settings.weightDecay, layerDecay: 1 }),
  })
  let worstLoss = 0
  for (let step = 0; step < settings.steps; step++) {
    const batch = packedBatch(goldens.trainingBatches[step % goldens.trainingBatches.length], heads)
    const losses = await (await model.step(batch)).read()
    const learningRate = settings.learningRate * Math.min(1, (step + 1) / settings.warmupSteps)
    const update = await (await optimizer.step({ learningRate, maxGradNorm: settings.maxGradNorm })).read()
    const total = heads.reduce((sum, head) => sum + head.weight * losses[head.name].loss, 0)
    worstLoss = Math.max(worstLoss, Math.abs(total - trace[step].loss) / trace[step].loss)
    worstLoss = Math.max(worstLoss, Math.abs(update.gradNorm - trace[step].gradNorm) / trace[step].gradNorm)
  }
  const values = await model.readTensors('value')
  let worst = 0
  for (const [parameter, expected] of Object.entries(parameters))
    worst = Math.max(worst, relativeError(digestOf(values[parameter], expected.shape), expected))
  return { worst, worstLoss }
}

function goldenSuite(goldens: EncoderGoldens, make: MakeModel): void {
  for (const precision of ['fp64', 'fp32'] as const) {
    const limits =
      precision === 'fp64'
        ? { hidden: 1e-9, loss: 1e-9, gradient: 1e-9, logits: 1e-9 }
        : { hidden: 1e-5, loss: 1e-6, gradient: 1e-4, logits: 1e-5 }

    it(`${precision}: hidden states of every layer`, async () => {
      await using model = await make([], precision)
      const worst = await checkHiddenStates(goldens, model, packedBatch(goldens.batch, []), precision === 'fp64')
      assert.ok(worst <= limits.hidden, `worst difference ${worst}`)
    })

    for (const name of Object.keys(goldens.cases))
      it(`${precision}: ${name}: losses, logits, gradient of every parameter`, async () => {
        const worst = await checkCase(goldens, name, make, precision)
        assert.ok(worst.loss <= limits.loss, `loss ${worst.loss}`)
        assert.ok(worst.logits <= limits.logits, `logits ${worst.logits}`)
        assert.ok(worst.gradient <= limits.gradient, `gradient of ${worst.gradientName}: ${worst.gradient}`)
      })
  }

  for (const name of Object.keys(goldens.training))
    it(`fp64: ${name}: 50 AdamW steps with warm-up and clipping`, async function () {
      this.timeout(180_000)
      const { worst, worstLoss } = await checkTraining(goldens, name, make)
      assert.ok(worst <= 1e-8, `parameters ${worst}`)
      assert.ok(worstLoss <= 1e-8, `losses and gradient norms ${worstLoss}`)
    })
}

describe('goldens: random 4 × 256 encoder', function () {
  this.timeout(60_000)
  const goldens = readGoldens<EncoderGoldens>(FIXTURE)
  before(() => {
    computeThreads(1)
  })
  const make: MakeModel = async (heads, precision) => {
    const model = await Model.create({ encoder: goldenEncoder(goldens.encoder), heads }, { precision, device: 'cpu' })
    await writeFormula(model, () => true)
    return model
  }
  goldenSuite(goldens, make)

  it('a sequence alone has the states that it has in the batch', async () => {
    await using model = await make([], 'fp64')
    const batch = packedBatch(goldens.batch, [])
    const together = (await model.hiddenStates(batch)).at(-1)!
    const hiddenSize = model.config.encoder.hiddenSize
    for (let sequence = 0; sequence + 1 < batch.sequenceOffsets.length; sequence++) {
      const [begin, end] = [batch.sequenceOffsets[sequence], batch.sequenceOffsets[sequence + 1]]
      const alone = (
        await model.hiddenStates({
          tokenIds: batch.tokenIds.slice(begin, end),
          segmentIds: batch.segmentIds.slice(begin, end),
          sequenceOffsets: Int32Array.of(0, end - begin),
          labels: {},
        })
      ).at(-1)!
      const part = together.subarray(begin * hiddenSize, end * hiddenSize)
      alone.forEach((value, index) => {
        assert.ok(
          Math.abs(value - part[index]) <= 1e-12,
          `sequence ${sequence}, value ${index}: ${value}, ${part[index]}`,
        )
      })
    }
  })
})

describe('goldens: random 4 × 256 crammed encoder', function () {
  this.timeout(60_000)
  const goldens = readGoldens<EncoderGoldens & { publishedShapeParameters: number }>(
    path.join(__dirname, 'golden/crammed.json.gz'),
  )
  before(() => {
    computeThreads(1)
  })
  goldenSuite(goldens, async (heads, precision) => {
    const model = await Model.create({ encoder: goldenEncoder(goldens.encoder), heads }, { precision, device: 'cpu' })
    await writeFormula(model, () => true)
    return model
  })

  it('the published shape has the parameters of the independent script', () => {
    const encoder = encoderConfig({
      kind: 'crammed',
      vocabSize: 32_768,
      layers: 16,
      hiddenSize: 768,
      intermediateSize: 3072,
    })
    const shapes = Object.values(modelParameterShapes({ encoder, heads: [] }))
    const count = shapes.reduce((sum, shape) => sum + shape.reduce((product, size) => product * size, 1), 0)
    assert.equal(count, goldens.publishedShapeParameters)
  })
})

describe('goldens: minilm_l6', function () {
  this.timeout(400_000)
  const folder = path.join(sharedData(), 'minilm_l6')
  if (!existsSync(folder)) {
    it('needs the shared data')
    return
  }
  let goldens: EncoderGoldens
  before(() => {
    const python = process.env.STRATABERT_RECOMPUTE ? pythonPeer() : undefined
    if (!python) {
      goldens = readGoldens<EncoderGoldens>(path.join(__dirname, 'golden/minilm_l6.json.gz'))
      return
    }
    const scratch = mkdtempSync(path.join(tmpdir(), 'stratabert-goldens-'))
    try {
      const output = path.join(scratch, 'minilm.json.gz')
      const done = spawnSync(python, [SCRIPT, '--folder', folder, '--output', output], { encoding: 'utf8' })
      assert.equal(done.status, 0, done.stderr)
      goldens = readGoldens<EncoderGoldens>(output)
    } finally {
      rmSync(scratch, { recursive: true, force: true })
    }
  })

  const make: MakeModel = async (heads, precision) => {
    const { model } = await loadModel(folder, { heads, precision, device: 'cpu' })
    await writeFormula(model, (name) => name.startsWith('heads.'))
    return model
  }
  // The names of the cases must be known before the goldens are.
  for (const precision of ['fp64', 'fp32'] as const)
    it(`${precision}: hidden states, losses, logits and every gradient`, async () => {
      const fp64 = precision === 'fp64'
      await using model = await make([], precision)
      const hidden = await checkHiddenStates(goldens, model, packedBatch(goldens.batch, []), fp64)
      assert.ok(hidden <= (fp64 ? 1e-9 : 1e-5), `hidden states ${hidden}`)
      for (const name of Object.keys(goldens.cases)) {
        const worst = await checkCase(goldens, name, make, precision)
        assert.ok(worst.loss <= (fp64 ? 1e-9 : 1e-6), `${name}: loss ${worst.loss}`)
        assert.ok(
          worst.gradient <= (fp64 ? 1e-9 : 1e-4),
          `${name}: gradient of ${worst.gradientName}: ${worst.gradient}`,
        )
      }
    })

  it('fp64: 50 AdamW steps with warm-up and clipping', async () => {
    const { worst, worstLoss } = await checkTraining(goldens, 'plain', make)
    assert.ok(worst <= 1e-8, `parameters ${worst}`)
    assert.ok(worstLoss <= 1e-8, `losses and gradient norms ${worstLoss}`)
  })
})
