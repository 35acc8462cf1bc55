/** Heads of labelled tasks, layer mixes and adapters on a device, measured against the CPU's own kernels. */
import type { PackedBatch } from '../../lib/data/packed-batch.js'
import { stream } from '../../lib/data/random.js'
import {
  type AdapterConfig,
  encoderConfig,
  type HeadConfig,
  type MixConfig,
  Model,
  type ModelOptions,
  Optimizer,
  type Precision,
  type Tap,
} from '../../lib/model/index.js'
import { writeFormula } from '../golden/golden.js'
import { atLeast, atMost, type Check, isTrue, largestDifference, type Side, worstTensor } from './device-bounds.js'
import { normOf, relativeDistance, smallBatch, VOCABULARY } from './small-model.js'

const CLASSES = 3

/** Every kind of head with every kind of pooler, all at one tap. */
export function taskHeads(tap: Tap, dropout = 0): HeadConfig[] {
  const base = { tap, weight: 1, dropout }
  return [
    { ...base, kind: 'classifier', name: 'own', classes: CLASSES, pooler: 'own' },
    { ...base, kind: 'classifier', name: 'shared', classes: CLASSES, pooler: 'shared', weight: 0.5 },
    { ...base, kind: 'classifier', name: 'plain', classes: CLASSES, pooler: 'none' },
    { ...base, kind: 'regressor', name: 'number', pooler: 'shared' },
    { ...base, kind: 'san', name: 'answer', classes: CLASSES, steps: 3, predictionDropout: dropout },
    { ...base, kind: 'ranker', name: 'rank', pooler: 'none' },
    { ...base, kind: 'span', name: 'place' },
    { ...base, kind: 'tagger', name: 'tags', classes: CLASSES },
  ]
}

/** Pairs of different lengths with labels for every head of {@link taskHeads}; two questions of two and three candidates. */
export function taskBatch(seed: number, heads: readonly HeadConfig[] = taskHeads({ layer: 0 })): PackedBatch {
  const lengths = [17, 5, 32, 9, 12]
  const { labels: plain, ...batch } = smallBatch(seed, lengths)
  const random = stream(seed, 'task-batch')
  const classes = (count: number) => Int32Array.from({ length: count }, () => random.below(CLASSES))
  const count = lengths.length
  const starts = Int32Array.from(lengths, (length, i) => batch.sequenceOffsets[i] + random.below(length - 1))
  const { positions } = plain.mlm
  const all: PackedBatch['labels'] = {
    own: { labels: classes(count) },
    shared: { labels: classes(count).with(1, -100) },
    plain: { labels: classes(count) },
    number: { labels: new Int32Array(count), values: Float32Array.from(lengths, () => 2 * random.float() - 1) },
    answer: { labels: classes(count) },
    rank: { labels: Int32Array.of(0, 1, 1, 0, 0), groups: Int32Array.of(3, 3, 8, 8, 8) },
    place: { labels: new Int32Array(count), spanStarts: starts, spanEnds: starts.map((start) => start + 2) },
    tags: { positions, labels: classes(positions!.length) },
  }
  return { ...batch, labels: Object.fromEntries(heads.map(({ name }) => [name, all[name]])) }
}

const MIXES: MixConfig[] = [
  { name: 'm', includeEmbeddings: true, layerNorm: false, init: 'uniform' },
  { name: 'normed', includeEmbeddings: false, layerNorm: true, init: 'last' },
]

export const ADAPTERS: AdapterConfig[] = [
  { name: 'pal', kind: 'pal', size: 12 },
  { name: 'low-rank', kind: 'low-rank', size: 4 },
  { name: 'houlsby', kind: 'houlsby', size: 3 },
  { name: 'lhuc', kind: 'lhuc' },
  { name: 'top-attention', kind: 'top-attention', size: 12, blocks: 2 },
  { name: 'top-layer', kind: 'top-layer' },
  { name: 'lora', kind: 'lora', size: 2, alpha: 4 },
]

interface Variant {
  name: string
  heads: HeadConfig[]
  mixes?: MixConfig[]
  adapter?: AdapterConfig
}

const HEAD_VARIANTS: Variant[] = [
  { name: 'a layer', heads: taskHeads({ layer: 1 }) },
  { name: 'a mix', heads: taskHeads({ mix: 'm' }), mixes: MIXES },
  { name: 'a mix of normed layers', heads: taskHeads({ mix: 'normed' }), mixes: MIXES },
]

const ADAPTER_VARIANTS: Variant[] = ADAPTERS.map((adapter) => ({
  name: adapter.kind,
  heads: taskHeads({ layer: 2 }).filter(({ name }) => name === 'own' || name === 'tags'),
  adapter,
}))

function makeModel(
  { heads, mixes, adapter }: Variant,
  options: ModelOptions,
  encoder: { hiddenDropout?: number; attentionDropout?: number } = {},
): Promise<Model> {
  const sizes = { vocabSize: VOCABULARY, layers: 2, hiddenSize: 32, heads: 2, maxPositions: 32, ...encoder }
  const adapters = adapter && [adapter]
  return Model.create({ encoder: encoderConfig(sizes), heads, mixes, adapters }, { seed: 11, ...options })
}

function batchOf({ heads, adapter }: Variant, seed: number): PackedBatch {
  return { ...taskBatch(seed, heads), adapter: adapter?.name }
}

async function look(variant: Variant, options: ModelOptions) {
  await using model = await makeModel(variant, options)
  await writeFormula(model, () => true)
  const evaluation = await model.evaluate(batchOf(variant, 1))
  const losses = await (await model.step(batchOf(variant, 2))).read()
  return {
    scores: Object.fromEntries(Object.entries(evaluation).map(([head, { logits }]) => [head, logits!.values])),
    losses: Object.fromEntries(Object.entries(losses).map(([head, { loss }]) => [head, loss])),
    gradients: await model.readTensors('gradient'),
  }
}

/**
 * These move all scores of a softmax alike: in exact arithmetic their gradient is 0, what is left is the rounding of a sum of terms as
 * large as those of the layer's weight.
 */
const SHIFTS = /answer\.start\.bias|(rank|place)\.classifier\.bias|key\.bias/

function worstGradient(a: Record<string, ArrayLike<number>>, b: Record<string, ArrayLike<number>>): number {
  return worstTensor(a, b, (name) => (SHIFTS.test(name) ? 1e-2 * normOf(b[name.replace('.bias', '.weight')]) : 0))
}

const relative = (a: Record<string, number>, b: Record<string, number>): number =>
  Math.max(...Object.keys(b).map((head) => Math.abs(a[head] / b[head] - 1)))

/** Scores, losses and gradients of one batch. bf16's bound is on all gradients together: a tensor alone may be mostly rounding. */
async function sameTaskNumbers(side: Side, variant: Variant): Promise<Check[]> {
  const bounds: [Precision, { scores: number; losses: number; gradients: number }][] = [
    ['fp64', { scores: 1e-9, losses: 1e-11, gradients: 1e-9 }],
    ['fp32', { scores: 1e-4, losses: 1e-4, gradients: 1e-4 }],
    ['bf16', { scores: 5e-2, losses: 2e-2, gradients: 5e-2 }],
  ]
  const checks: Check[] = []
  for (const [precision, bound] of bounds) {
    const theirs = await look(variant, { device: 'cpu', precision })
    const ours = await look(variant, { ...side, precision })
    const what = `${precision}, ${variant.name}`
    const gradients = (precision === 'bf16' ? relativeDistance : worstGradient)(ours.gradients, theirs.gradients)
    checks.push(
      atMost(`${what}: scores, relative`, worstTensor(ours.scores, theirs.scores), bound.scores),
      atMost(`${what}: losses, relative`, relative(ours.losses, theirs.losses), bound.losses),
      atMost(`${what}: gradients, relative`, gradients, bound.gradients),
    )
  }
  return checks
}

async function trainedLosses(variant: Variant, options: ModelOptions, steps: number): Promise<number[]> {
  await using model = await makeModel(variant, options)
  await writeFormula(model, () => true)
  const names = model.parameters().map(({ name }) => name)
  await using optimizer = await Optimizer.create(model, {
    kind: 'adamw',
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-6,
    groups: [{ names, weightDecay: 0.01, learningRateFactor: 1 }],
  })
  const losses: number[] = []
  for (let step = 0; step < steps; step++) {
    // Three batches again and again, so that the losses fall.
    const read = await (await model.step(batchOf(variant, step % 3))).read()
    await optimizer.step({ learningRate: 1e-3, maxGradNorm: 1 })
    losses.push(...Object.values(read).map(({ loss }) => loss))
  }
  return losses
}

/** Steps of training, the same initial weights, no dropout. */
async function sameTaskTraining(side: Side, variant: Variant, steps = 20): Promise<Check[]> {
  const ours = await trainedLosses(variant, { ...side, precision: 'fp32' }, steps)
  const theirs = await trainedLosses(variant, { device: 'cpu', precision: 'fp32' }, steps)
  const heads = variant.heads.length
  const sum = (values: number[]) => values.reduce((total, value) => total + value, 0)
  const fall = 1 - sum(ours.slice(-3 * heads)) / sum(ours.slice(0, 3 * heads))
  return [
    atMost(`fp32, ${variant.name}: losses of ${steps} steps, absolute`, largestDifference(ours, theirs), 1e-3),
    atLeast(`fp32, ${variant.name}: share by which the losses fall meanwhile`, fall, 0.02),
  ]
}

/** Dropout inside heads, adapters and encoder: the state alone decides the masks. */
async function taskDropout(side: Side, variant: Variant): Promise<Check[]> {
  const { adapter } = variant
  const dropping: Variant = {
    ...variant,
    heads: variant.heads.map((head) => ({
      ...head,
      dropout: 0.3,
      ...(head.kind === 'san' && { predictionDropout: 0.5 }),
    })) as HeadConfig[],
    adapter: adapter?.kind === 'lora' ? { ...adapter, dropout: 0.3 } : adapter,
  }
  await using model = await makeModel(dropping, { ...side, precision: 'fp32' }, adapter && { attentionDropout: 0.3 })
  await writeFormula(model, () => true)
  const batch = batchOf(dropping, 1)
  const losses = async () => {
    const read = await (await model.step(batch)).read()
    return Object.fromEntries(Object.entries(read).map(([head, { loss }]) => [head, loss]))
  }
  const start = model.dropoutState()
  const [first, second] = [await losses(), await losses()]
  model.setDropoutState(start)
  const again = [await losses(), await losses()]
  const heads = Object.keys(first)
  return [
    atMost(
      `dropout, ${variant.name}: replay from the state, absolute`,
      Math.max(
        ...heads.map((head) =>
          Math.max(Math.abs(again[0][head] - first[head]), Math.abs(again[1][head] - second[head])),
        ),
      ),
      1e-6,
    ),
    isTrue(
      `dropout, ${variant.name}: every head's next loss is another`,
      heads.every((head) => Math.abs(second[head] - first[head]) > 1e-5),
    ),
  ]
}

async function rightVariants(side: Side, variants: readonly Variant[]): Promise<Check[]> {
  const checks: Check[] = []
  for (const variant of variants) {
    checks.push(...(await sameTaskNumbers(side, variant)))
    checks.push(...(await sameTaskTraining(side, variant)))
    checks.push(...(await taskDropout(side, variant)))
  }
  return checks
}

/** Every kind of task head at a layer and at learned mixes of layers. */
export function taskHeadsAreRight(side: Side): Promise<Check[]> {
  return rightVariants(side, HEAD_VARIANTS)
}

/** Every kind of adapter, under a sequence head and a token head. */
export function adaptersAreRight(side: Side): Promise<Check[]> {
  return rightVariants(side, ADAPTER_VARIANTS)
}
