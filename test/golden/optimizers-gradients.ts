/**
 * A tiny model whose gradients at fixed weights drive every optimiser of test/golden/optimizers.py.
 * Run: `npx tsx test/golden/optimizers-gradients.ts` writes optimizers-gradients.json; then optimizers.py.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { PackedBatch } from '../../lib/data/packed-batch.js'
import { stream } from '../../lib/data/random.js'
import {
  computeThreads,
  encoderConfig,
  type HeadConfig,
  Model,
  Optimizer,
  type Precision,
} from '../../lib/model/index.js'

export const GRADIENT_STEPS = 50
const VOCABULARY = 9
const HEADS: HeadConfig[] = [
  { name: 'nsp', kind: 'next-sentence', tap: { layer: 1 }, weight: 1 },
  { name: 'mlm', kind: 'masked-lm', tap: { layer: 1 }, weight: 1 },
]

export type Tensors = Record<string, Float64Array>

export interface GradientFixture {
  names: string[]
  shapes: number[][]
  /** All tensors one after another, float64 little-endian, base64. */
  values: string
  /** (GRADIENT_STEPS, weights) */
  gradients: string
}

export async function gradientModel(precision: Precision = 'fp64'): Promise<Model> {
  computeThreads(1)
  const sizes = { vocabSize: VOCABULARY, layers: 1, hiddenSize: 4, heads: 1, intermediateSize: 6, maxPositions: 6 }
  const model = await Model.create(
    { encoder: encoderConfig({ ...sizes, initializerRange: 0.4 }), heads: HEADS },
    { device: 'cpu', seed: 5, precision },
  )
  return model
}

/** The attention's biases stay out: the key's gradient is 0 but for rounding, which Adam's rules would blow up. */
export function trainedNames(model: Model): string[] {
  return model
    .parameters()
    .map(({ name }) => name)
    .filter((name) => !/self\.(query|key|value)\.bias$/.test(name))
}

/** Adds the gradient of step `index` to the model's; its size goes from far below to far above the usual limit of 1. */
export async function addGradient(model: Model, index: number): Promise<void> {
  const random = stream(31, index)
  const lengths = [6, 3, 5]
  const offsets = [0]
  for (const length of lengths) offsets.push(offsets.at(-1)! + length)
  const tokens = offsets.at(-1)!
  const batch: PackedBatch = {
    tokenIds: Int32Array.from({ length: tokens }, () => random.below(VOCABULARY)),
    segmentIds: Int32Array.from({ length: tokens }, () => random.below(2)),
    sequenceOffsets: Int32Array.from(offsets),
    labels: {
      nsp: { labels: Int32Array.from(lengths, () => random.below(2)) },
      mlm: {
        positions: Int32Array.of(1, 4, 7, 9, 12),
        labels: Int32Array.from({ length: 5 }, () => random.below(VOCABULARY)),
      },
    },
  }
  const divisor = 10 ** (3 * random.float() - 1)
  await model.step(batch, { lossDivisors: { nsp: divisor, mlm: divisor } })
}

export async function readAll(model: Model, what: 'value' | 'gradient', names: string[]): Promise<Tensors> {
  return (await model.readTensors(what, names)) as Tensors
}

export function decode(base64: string): Float64Array {
  const bytes = Buffer.from(base64, 'base64')
  return Float64Array.from({ length: bytes.length / 8 }, (_, i) => bytes.readDoubleLE(8 * i))
}

function encode(tensors: readonly Float64Array[]): string {
  return Buffer.concat(
    tensors.map((tensor) => Buffer.from(tensor.buffer, tensor.byteOffset, tensor.byteLength)),
  ).toString('base64')
}

async function main(): Promise<void> {
  await using model = await gradientModel()
  const names = trainedNames(model)
  const shapes = names.map((name) => model.parameters().find((parameter) => parameter.name === name)!.shape)
  const list = (tensors: Tensors) => names.map((name) => tensors[name])
  const values = list(await readAll(model, 'value', names))
  await using optimizer = await Optimizer.create(model, {
    kind: 'sgd',
    groups: [{ names, weightDecay: 0, learningRateFactor: 1 }],
  })
  const gradients: Float64Array[] = []
  for (let index = 0; index < GRADIENT_STEPS; index++) {
    await addGradient(model, index)
    gradients.push(...list(await readAll(model, 'gradient', names)))
    await optimizer.step({ learningRate: 0 })
  }
  const fixture: GradientFixture = { names, shapes, values: encode(values), gradients: encode(gradients) }
  writeFileSync(join(__dirname, 'optimizers-gradients.json'), `${JSON.stringify(fixture)}\n`)
  console.log(`${values.reduce((sum, tensor) => sum + tensor.length, 0)} weights`)
}

if (require.main === module) {
  main().catch((error) => {
    console.error(error)
    process.exitCode = 1
  })
}
