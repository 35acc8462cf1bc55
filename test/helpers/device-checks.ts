/**
 * What must hold on every device, measured against the CPU's own kernels. On a GPU the other side is `{ device: 'cuda' }`; without one
 * `{ device: 'cpu', kernels: 'portable' }` runs the same operators that a GPU would run. Used by test/90.cuda.test.ts and
 * scripts/gpu-check.ts.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readBatchFile } from '../../benchmarks/batch-file.js'
import type { PackedBatch } from '../../lib/data/packed-batch.js'
import { StrataError } from '../../lib/errors.js'
import {
  counters,
  deviceMemory,
  type EncoderConfig,
  encoderConfig,
  type HeadConfig,
  Model,
  type ModelOptions,
  Optimizer,
  type OptimizerOptions,
  type Precision,
} from '../../lib/model/index.js'
import { parameterGroups, train } from '../../lib/training/index.js'
import { type LossCurve, writeFormula } from '../golden/golden.js'
import { atLeast, atMost, type Check, isTrue, largestDifference, type Side, worstTensor } from './device-bounds.js'
import { adaptersAreRight, taskHeadsAreRight } from './device-task-checks.js'
import { HEADS, relativeDistance, smallBatch, VOCABULARY } from './small-model.js'
import { TINY_CONFIG, tinySettings, tinyStage } from './tiny-training.js'
import { RULES, type Rule } from './update-rules.js'

export type { Check, Side } from './device-bounds.js'

const GOLDEN = join(__dirname, '..', 'golden')

function allNames(model: Model): string[] {
  return model.parameters().map(({ name }) => name)
}

/** The variants whose paths differ: transfers, readings, and a head size that the flash kernel does not take. */
function variants(): { name: string; heads: HeadConfig[]; encoder?: Partial<EncoderConfig> }[] {
  const heads = (
    transfer: 'concat' | 'add' | 'label' | 'none',
    read: 'mean' | 'cls',
    stopGradient = false,
  ): HeadConfig[] =>
    HEADS.map((head) => {
      if (head.kind === 'masked-lm') {
        const { transfer: _, ...plain } = head
        return transfer === 'none' ? plain : { ...plain, transfer: { from: 'nsp', mode: transfer, stopGradient } }
      }
      return head.name === 'swap' && head.kind === 'bigram-shift' ? { ...head, read } : head
    })
  return [
    { name: 'concat', heads: heads('concat', 'mean') },
    { name: 'add', heads: heads('add', 'cls') },
    { name: 'label', heads: heads('label', 'mean', true) },
    { name: 'none, heads of 12', heads: heads('none', 'cls'), encoder: { hiddenSize: 24 } },
    { name: 'none, heads of 64', heads: heads('none', 'mean'), encoder: { hiddenSize: 128, activation: 'gelu_tanh' } },
  ]
}

interface Seen {
  hidden: ArrayLike<number>[]
  losses: number[]
  gradients: Record<string, ArrayLike<number>>
  embedding: ArrayLike<number>
  logits: ArrayLike<number>
  correct: number
}

async function look(options: ModelOptions, heads: HeadConfig[], encoder: Partial<EncoderConfig> = {}): Promise<Seen> {
  const sizes = { vocabSize: VOCABULARY, layers: 2, hiddenSize: 32, heads: 2, maxPositions: 32, ...encoder }
  await using model = await Model.create({ encoder: encoderConfig(sizes), heads }, { seed: 11, ...options })
  await writeFormula(model, () => true)
  const batch = smallBatch(1, [17, 5, 32, 1, 9])
  const hidden = await model.hiddenStates(batch)
  const embedding = await model.embed(batch, { pooling: 'max', normalize: true })
  const logits = (await model.headLogits(batch, 'mlm')).values
  const evaluation = await model.evaluate(batch)
  await model.step(batch)
  const losses = await (await model.step(smallBatch(2, [4, 32, 8]))).read()
  const gradients = await model.readTensors('gradient')
  const correct = Object.values(evaluation).reduce((sum, { correct }) => sum + correct, 0)
  return { hidden, losses: Object.values(losses).map(({ loss }) => loss), gradients, embedding, logits, correct }
}

/** Hidden states, logits, losses and accumulated gradients of every kind of head. */
export async function sameNumbers(side: Side): Promise<Check[]> {
  const bounds: [Precision, { hidden: number; losses: number; gradients: number }][] = [
    ['fp64', { hidden: 1e-11, losses: 1e-11, gradients: 1e-9 }],
    ['fp32', { hidden: 1e-5, losses: 1e-5, gradients: 1e-4 }],
    ['bf16', { hidden: 0.1, losses: 1e-2, gradients: 3e-2 }],
  ]
  const checks: Check[] = []
  for (const { name, heads, encoder } of variants()) {
    for (const [precision, bound] of bounds) {
      const theirs = await look({ device: 'cpu', precision }, heads, encoder)
      const ours = await look({ ...side, precision }, heads, encoder)
      const what = `${precision}, ${name}`
      const hidden = Math.max(...ours.hidden.map((states, layer) => largestDifference(states, theirs.hidden[layer])))
      checks.push(
        atMost(`${what}: hidden states, absolute`, hidden, bound.hidden),
        atMost(`${what}: losses, absolute`, largestDifference(ours.losses, theirs.losses), bound.losses),
        atMost(
          `${what}: embedding, absolute`,
          largestDifference(ours.embedding, theirs.embedding),
          Math.max(bound.hidden, 1e-6),
        ),
        // In bf16 a tensor alone may be mostly rounding; all of them together are not.
        precision === 'bf16'
          ? atMost(`${what}: gradients, relative`, relativeDistance(ours.gradients, theirs.gradients), bound.gradients)
          : atMost(`${what}: gradients, worst tensor`, worstTensor(ours.gradients, theirs.gradients), bound.gradients),
      )
      if (precision === 'bf16') continue
      checks.push(
        atMost(`${what}: logits, absolute`, largestDifference(ours.logits, theirs.logits), 10 * bound.hidden),
        atMost(`${what}: hits of evaluation`, Math.abs(ours.correct - theirs.correct), 0),
      )
    }
  }
  return checks
}

function storedCurve(): LossCurve {
  return JSON.parse(readFileSync(join(GOLDEN, 'loss_curve.json'), 'utf8')) as LossCurve
}

/** Losses by head of the first `steps` exported batches, and how many updates were applied. */
async function curve(
  options: ModelOptions,
  steps: number,
): Promise<{ losses: Record<string, number[]>; applied: number }> {
  const { settings, heads } = storedCurve()
  const batches = readBatchFile(join(GOLDEN, 'loss-curve-batches.safetensors.gz')).slice(0, steps)
  await using model = await Model.create({ encoder: encoderConfig(settings.encoder), heads }, options)
  await writeFormula(model, () => true)
  await using optimizer = await Optimizer.create(model, {
    kind: 'adamw',
    beta1: settings.beta1,
    beta2: settings.beta2,
    epsilon: settings.epsilon,
    groups: parameterGroups(model.parameters(), { weightDecay: settings.weightDecay, layerDecay: 1 }),
  })
  const losses: Record<string, number[]> = Object.fromEntries(heads.map(({ name }) => [name, []]))
  let applied = 0
  for (const [step, batch] of batches.entries()) {
    const values = await model.step(batch)
    const learningRate = settings.learningRate * Math.min(1, (step + 1) / settings.warmupSteps)
    const update = await optimizer.step({ learningRate, maxGradNorm: settings.maxGradNorm })
    for (const [head, { loss }] of Object.entries(await values.read())) losses[head].push(loss)
    applied += (await update.read()).applied ? 1 : 0
  }
  return { losses, applied }
}

function curveDifference(a: Record<string, number[]>, b: Record<string, number[]>): number {
  return Math.max(...Object.keys(a).map((head) => largestDifference(a[head], b[head].slice(0, a[head].length))))
}

/** 50 steps of training on exported batches, the same initial weights, no dropout. */
export async function sameCurves(side: Side, steps = 50): Promise<Check[]> {
  const stored = storedCurve().losses
  const single = await curve({ ...side, precision: 'fp32' }, steps)
  const reference = await curve({ device: 'cpu', precision: 'fp32' }, steps)
  const half = await curve({ ...side, precision: 'bf16' }, steps)
  const halfReference = await curve({ device: 'cpu', precision: 'bf16' }, steps)
  return [
    atMost(`losses of ${steps} steps, fp32`, curveDifference(single.losses, reference.losses), 1e-3),
    atMost(`losses of ${steps} steps, fp32, against PyTorch's`, curveDifference(single.losses, stored), 1e-3),
    atMost(`losses of ${steps} steps, bf16`, curveDifference(half.losses, halfReference.losses), 2e-2),
    atLeast('fall of the masked-LM loss meanwhile', single.losses.mlm[0] - single.losses.mlm.at(-1)!, 0.1),
  ]
}

/** fp16 learns under loss scaling: updates that overflow are left out, the others follow fp32. */
export async function halfPrecisionTrains(side: Side, steps = 50): Promise<Check[]> {
  const half = await curve({ ...side, precision: 'fp16' }, steps)
  const single = await curve({ ...side, precision: 'fp32' }, steps)
  const fall = (losses: Record<string, number[]>) => losses.mlm[0] - losses.mlm.at(-1)!
  return [
    atLeast('fp16: updates applied', half.applied, steps - 10),
    atLeast('fp16: fall of the masked-LM loss over that of fp32', fall(half.losses) / fall(single.losses), 0.8),
    atMost('fp16: first losses against fp32', curveDifference({ mlm: [half.losses.mlm[0]] }, single.losses), 1e-2),
    ...(await overflowIsSurvived(side)),
  ]
}

/** A loss weight so large that the first gradients overflow: the scale is halved until they fit. */
async function overflowIsSurvived(side: Side): Promise<Check[]> {
  const sizes = { vocabSize: VOCABULARY, layers: 1, hiddenSize: 32, heads: 2, maxPositions: 32 }
  const heads = [{ ...HEADS[0], weight: 1e4 }]
  await using model = await Model.create(
    { encoder: encoderConfig(sizes), heads },
    { seed: 1, ...side, precision: 'fp16' },
  )
  await using optimizer = await Optimizer.create(model, {
    kind: 'adamw',
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    groups: [{ names: allNames(model), weightDecay: 0, learningRateFactor: 1 }],
  })
  const { labels, ...rest } = smallBatch()
  const batch = { ...rest, labels: { nsp: labels.nsp } }
  const outcomes: boolean[] = []
  for (let step = 0; step < 30; step++) {
    await model.step(batch)
    outcomes.push((await (await optimizer.step({ learningRate: 1e-4 })).read()).applied)
  }
  const firstApplied = outcomes.indexOf(true)
  return [
    atLeast('fp16: updates left out at first when the scale is too large', firstApplied, 1),
    isTrue('fp16: all later ones applied', firstApplied > 0 && outcomes.slice(firstApplied).every(Boolean)),
  ]
}

/** Updates of every rule in float64 with both kinds of clipping, layer factors and frozen parameters; a gradient that is not finite. */
export async function sameUpdates(side: Side): Promise<Check[]> {
  const trained = async (rule: Rule, options: ModelOptions) => {
    const sizes = { vocabSize: VOCABULARY, layers: 2, hiddenSize: 32, heads: 2, maxPositions: 32 }
    await using model = await Model.create({ encoder: encoderConfig(sizes), heads: HEADS }, { seed: 11, ...options })
    await writeFormula(model, () => true)
    const names = allNames(model)
    const [encoder, heads] = [
      names.filter((name) => name.includes('.layer.')),
      names.filter((name) => name.startsWith('heads.')),
    ]
    const groups = [
      { names: encoder, weightDecay: 0.1, learningRateFactor: 0.5 },
      { names: heads, weightDecay: 0, learningRateFactor: 1 },
    ]
    await using optimizer = await Optimizer.create(model, { ...rule, groups } as OptimizerOptions)
    const norms: number[] = []
    for (let step = 0; step < 20; step++) {
      await model.step(smallBatch(step))
      if (step % 3 === 2) await model.step(smallBatch(100 + step, [3, 30]))
      const limits = [
        { maxGradNorm: 0.5 },
        { maxTensorGradNorm: 0.05 },
        { maxGradNorm: 0.5, maxTensorGradNorm: 0.2 },
        {},
      ]
      const update = await optimizer.step({ learningRate: 1e-3, ...limits[step % 4] })
      norms.push((await update.read()).gradNorm)
    }
    return { values: await model.readTensors('value'), norms }
  }
  const checks: Check[] = []
  for (const [label, rule] of Object.entries({ ...RULES, adamw: { ...RULES.adamw, beta2: 0.98, epsilon: 1e-6 } })) {
    const ours = await trained(rule, { ...side, precision: 'fp64' })
    const theirs = await trained(rule, { device: 'cpu', precision: 'fp64' })
    const single = await trained(rule, { ...side, precision: 'fp32' })
    const updated = `${label}: parameters after 20 updates, worst tensor`
    checks.push(
      atMost(`fp64: ${updated}`, worstTensor(ours.values, theirs.values), 1e-8),
      atMost(`fp64: ${label}: gradient norms, absolute`, largestDifference(ours.norms, theirs.norms), 1e-9),
      atMost(`fp32: ${updated}`, worstTensor(single.values, theirs.values), 1e-3),
    )
  }
  for (const [label, rule] of Object.entries(RULES)) {
    for (const check of await notFinite(side, rule)) checks.push({ ...check, name: `${label}: ${check.name}` })
  }
  return checks
}

async function notFinite(side: Side, rule: Rule): Promise<Check[]> {
  const sizes = { vocabSize: VOCABULARY, layers: 1, hiddenSize: 32, heads: 2, maxPositions: 32 }
  await using model = await Model.create({ encoder: encoderConfig(sizes), heads: [HEADS[0]] }, { seed: 11, ...side })
  await using optimizer = await Optimizer.create(model, {
    ...rule,
    groups: [{ names: allNames(model), weightDecay: 0.01, learningRateFactor: 1 }],
  } as OptimizerOptions)
  const { labels, ...batch } = smallBatch()
  const nsp: PackedBatch = { ...batch, labels: { nsp: labels.nsp } }
  const name = 'heads.nsp.pooler.bias'
  const good = await model.readTensors('value', [name])
  await model.writeTensors({ [name]: Float32Array.from(good[name], (value, i) => (i === 3 ? Number.NaN : value)) })
  const before = await model.readTensors('value')
  await model.step(nsp)
  const refused = await (await optimizer.step({ learningRate: 0.1, maxGradNorm: 1 })).read()
  const after = await model.readTensors('value')
  const moved = allNames(model).filter(
    (tensor) => tensor !== name && largestDifference(after[tensor], before[tensor]) > 0,
  )
  await model.writeTensors({ [name]: good[name] })
  await model.step(nsp)
  const applied = await (await optimizer.step({ learningRate: 0.1, maxGradNorm: 1 })).read()
  const restored = await model.readTensors('value')
  const step = largestDifference(restored[name], good[name])
  const checks = [
    isTrue('an update with a gradient that is not finite is left out', !refused.applied && moved.length === 0),
    isTrue('the next one is applied', applied.applied && Number.isFinite(applied.gradNorm) && step > 0),
  ]
  if (rule.kind !== 'adamw' && (rule.kind !== 'adamax' || rule.variant)) return checks
  // With bias correction the first update moves a weight by the learning rate: a left-out step that was counted would change that.
  const first = 'it is the first one that is counted: |largest move / learning rate - 1|'
  return [...checks, atMost(first, Math.abs(step / 0.1 - 1), 1e-3)]
}

/**
 * Dropout as seen by a head at the embedding output: with zero weights in the classifier and one labelled token, its gradient is
 * ±0.5 · dropped state, number by number.
 */
export async function dropoutIsRight(side: Side): Promise<Check[]> {
  const p = 0.25
  const hiddenSize = 256
  const sizes = { vocabSize: VOCABULARY, layers: 1, hiddenSize, heads: 4, maxPositions: 32, hiddenDropout: p }
  const heads: HeadConfig[] = [
    { name: 'token', kind: 'bigram-shift', tap: { layer: 0 }, weight: 1, level: 'token', read: 'mean' },
  ]
  const weight = 'heads.token.classifier.weight'
  await using model = await Model.create({ encoder: encoderConfig(sizes), heads }, { seed: 5, ...side })
  await writeFormula(model, (name) => name.startsWith('bert.'))
  await model.writeTensors({ [weight]: new Float32Array(2 * hiddenSize) })
  await using optimizer = await Optimizer.create(model, {
    kind: 'adamw',
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    groups: [{ names: allNames(model), weightDecay: 0, learningRateFactor: 1 }],
  })
  const batch: PackedBatch = {
    ...smallBatch(1, [8]),
    labels: { token: { positions: Int32Array.of(3), labels: Int32Array.of(1) } },
  }
  const [states] = await model.hiddenStates(batch, [0])
  const state = states.slice(3 * hiddenSize, 4 * hiddenSize)
  /** What each number of the state was multiplied with. */
  const factors = async (): Promise<number[]> => {
    await model.step(batch)
    const gradient = (await model.readTensors('gradient', [weight]))[weight]
    await optimizer.step({ learningRate: 0 })
    return Array.from(state, (value, i) => (2 * Math.abs(gradient[i])) / Math.abs(value))
  }
  const start = model.dropoutState()
  const draws: number[][] = []
  for (let step = 0; step < 80; step++) draws.push(await factors())
  model.setDropoutState(start)
  const replay = [await factors(), await factors()]
  const all = draws.flat()
  const kept = all.filter((factor) => factor !== 0)
  let alike = 0
  for (let step = 1; step < draws.length; step++)
    for (let i = 0; i < hiddenSize; i++) alike += (draws[step][i] === 0) === (draws[step - 1][i] === 0) ? 1 : 0
  const expected = p * p + (1 - p) * (1 - p)
  return [
    // 20,480 draws: one standard deviation is 0.003.
    atMost('dropout: |keep rate - 0.75|', Math.abs(kept.length / all.length - (1 - p)), 0.013),
    atMost('dropout: scale of what is kept', Math.max(...kept.map((factor) => Math.abs(factor * (1 - p) - 1))), 1e-5),
    atMost(
      'dropout: masks of neighbouring steps alike beyond chance',
      Math.abs(alike / (79 * hiddenSize) - expected),
      0.015,
    ),
    atMost('dropout: replay from the seed', largestDifference(replay.flat(), draws.slice(0, 2).flat()), 0),
    ...(await attentionDropout(side)),
  ]
}

async function attentionDropout(side: Side): Promise<Check[]> {
  const sizes = { vocabSize: VOCABULARY, layers: 2, hiddenSize: 32, heads: 2, maxPositions: 32, attentionDropout: 0.5 }
  await using model = await Model.create({ encoder: encoderConfig(sizes), heads: [HEADS[0]] }, { seed: 5, ...side })
  await writeFormula(model, () => true)
  const { labels, ...rest } = smallBatch()
  const batch = { ...rest, labels: { nsp: labels.nsp } }
  const loss = async () => (await (await model.step(batch)).read()).nsp.loss
  const start = model.dropoutState()
  const [first, second] = [await loss(), await loss()]
  model.setDropoutState(start)
  const again = await loss()
  return [
    atMost('attention dropout: replay from the seed', Math.abs(again - first), 1e-6),
    isTrue('attention dropout: another step draws another mask', Math.abs(second - first) > 1e-5),
  ]
}

/** Out of memory is a typed error after which the model computes as before; dispose() gives memory back. */
export async function memoryIsKept(side: Side): Promise<Check[]> {
  const device = side.device ?? 'cpu'
  const heads: HeadConfig[] = [{ name: 'mlm', kind: 'masked-lm', tap: { layer: 1 }, weight: 1 }]
  const batch = (rows: number, vocabulary: number): PackedBatch => ({
    tokenIds: new Int32Array(4),
    segmentIds: new Int32Array(4),
    sequenceOffsets: Int32Array.of(0, 4),
    labels: {
      mlm: { positions: new Int32Array(rows), labels: Int32Array.from({ length: rows }, (_, i) => i % vocabulary) },
    },
  })
  const checks: Check[] = []
  /** Rows × vocabulary of scores that cannot fit. */
  const failing = async (name: string, rows: number, vocabulary: number) => {
    const sizes = { vocabSize: vocabulary, layers: 1, hiddenSize: 2, heads: 1, intermediateSize: 2, maxPositions: 8 }
    await using model = await Model.create({ encoder: encoderConfig(sizes), heads }, { seed: 1, ...side })
    const gradientsOf = async () => {
      await model.step(batch(3, vocabulary))
      return model.readTensors('gradient')
    }
    let code = 'none'
    try {
      await (await model.step(batch(rows, vocabulary))).read()
    } catch (error) {
      code = error instanceof StrataError ? error.code : String(error)
    }
    const after = await gradientsOf()
    await using fresh = await Model.create({ encoder: encoderConfig(sizes), heads }, { seed: 1, ...side })
    await fresh.step(batch(3, vocabulary))
    checks.push(
      isTrue(`${name}: OUT_OF_MEMORY (${code})`, code === 'OUT_OF_MEMORY'),
      atMost(`${name}: gradients of the next step`, worstTensor(after, await fresh.readTensors('gradient')), 1e-6),
    )
  }
  await failing('scores larger than any address space', 2e7, 2_000_000)
  if (device !== 'cpu') {
    // The scores alone fit, and what the loss makes of them does not: the step fails in its middle, once on the way back.
    const total = deviceMemory(device).totalBytes
    for (const [share, where] of [
      [0.6, 'forward'],
      [0.36, 'backward'],
    ] as const) {
      await failing(`scores of ${share} of the memory (${where})`, Math.floor((share * total) / (4 * 30522)), 30522)
    }
  }
  return [...checks, ...(await givenBack(side))]
}

async function givenBack(side: Side): Promise<Check[]> {
  const device = side.device ?? 'cpu'
  const used = () => (device === 'cpu' ? counters().bufferBytes : deviceMemory(device).bytesInUse)
  const sizes = { vocabSize: 8000, layers: 2, hiddenSize: 256, heads: 4, maxPositions: 64 }
  const heads: HeadConfig[] = [{ name: 'mlm', kind: 'masked-lm', tap: { layer: 2 }, weight: 1 }]
  const batch: PackedBatch = {
    ...smallBatch(3, [60, 20]),
    labels: { mlm: { positions: Int32Array.of(1, 2, 3), labels: Int32Array.of(7, 8, 9) } },
  }
  let [weights, held] = [0, 0]
  const cycle = async () => {
    await using model = await Model.create({ encoder: encoderConfig(sizes), heads }, side)
    await using optimizer = await Optimizer.create(model, {
      kind: 'adamw',
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
      groups: [{ names: allNames(model), weightDecay: 0, learningRateFactor: 1 }],
    })
    for (let step = 0; step < 3; step++) {
      await model.step(batch)
      await (await optimizer.step({ learningRate: 1e-4 })).read()
    }
    weights = model.parameters().reduce((sum, { shape }) => sum + 4 * shape.reduce((a, b) => a * b, 1), 0)
    held = used()
  }
  await cycle() // libraries allocate their workspaces once
  const first = used()
  for (let round = 0; round < 10; round++) await cycle()
  const last = used()
  return [
    atLeast('memory of a living model over its weights and moments', (held - last) / (3 * weights), 0.9),
    // A GPU's libraries may take one more workspace; one model that stays is ten times that.
    atMost('memory that ten more models left behind, in bytes', last - first, device === 'cpu' ? 0 : 80e6),
    ...(device === 'cpu'
      ? []
      : [atMost('memory kept from other processes, in bytes', deviceMemory(device).cachedBytes, 64e6)]),
  ]
}

/** A run of the trainer on random words with dropout and held-out batches. */
export async function trainerRuns(side: Side): Promise<Check[]> {
  const results: Record<string, number>[] = []
  for (const precision of ['fp32', 'bf16'] as const) {
    await using model = await Model.create(TINY_CONFIG, { seed: 3, ...side, precision })
    const stage = tinyStage({ budget: { steps: 80 }, optimizer: { ...tinyStage().optimizer, learningRate: 3e-3 } })
    const result = await train({ model, stages: [stage], settings: tinySettings() })
    const { source } = stage.tasks[0]
    const [untrained, trained] = [await Model.create(TINY_CONFIG, { seed: 3, ...side, precision }), model]
    await using _ = untrained
    const batch = source.build(0, 0)
    const loss = async (of: Model) => {
      const { mlm } = await of.evaluate(batch)
      return mlm.lossSum / mlm.count
    }
    results.push({ steps: result.state.step, fall: (await loss(untrained)) - (await loss(trained)) })
  }
  return results.flatMap(({ steps, fall }, index) => [
    atLeast(`trainer, ${['fp32', 'bf16'][index]}: steps`, steps, 80),
    atLeast(`trainer, ${['fp32', 'bf16'][index]}: fall of the masked-LM loss`, fall, 0.3),
  ])
}

export const DEVICE_CHECKS: Record<string, (side: Side) => Promise<Check[]>> = {
  numbers: sameNumbers,
  curves: sameCurves,
  'task heads': taskHeadsAreRight,
  adapters: adaptersAreRight,
  updates: sameUpdates,
  dropout: dropoutIsRight,
  memory: memoryIsKept,
  'half precision': halfPrecisionTrains,
  trainer: trainerRuns,
}
