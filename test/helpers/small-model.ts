/** A model of a few thousand weights with every kind of head, and packed batches drawn from a seed. */

import type { PackedBatch } from '../../lib/data/packed-batch.js'
import { stream } from '../../lib/data/random.js'
import {
  computeThreads,
  type EncoderConfig,
  encoderConfig,
  type HeadConfig,
  Model,
  type ModelOptions,
  Optimizer,
} from '../../lib/model/index.js'

export const VOCABULARY = 61

export const HEADS: HeadConfig[] = [
  { name: 'nsp', kind: 'next-sentence', tap: { layer: 1 }, weight: 0.7 },
  {
    name: 'mlm',
    kind: 'masked-lm',
    tap: { layer: 2 },
    weight: 1,
    transfer: { from: 'nsp', mode: 'concat', stopGradient: false },
  },
  { name: 'swap', kind: 'bigram-shift', tap: { layer: 1 }, weight: 0.5, level: 'sentence', read: 'mean' },
  { name: 'token', kind: 'bigram-shift', tap: { layer: 2 }, weight: 0.5, level: 'token', read: 'mean' },
]

export async function smallModel(
  options: ModelOptions = {},
  encoder: Partial<EncoderConfig> = {},
  heads: HeadConfig[] = HEADS,
): Promise<Model> {
  // More threads only wait for each other in a model this small.
  computeThreads(1)
  const sizes = { vocabSize: VOCABULARY, layers: 2, hiddenSize: 32, heads: 2, maxPositions: 32, ...encoder }
  return Model.create({ encoder: encoderConfig(sizes), heads }, { device: 'cpu', seed: 11, ...options })
}

/** AdamW over all parameters but those whose name the filter refuses. */
export function adamw(model: Model, trained: (name: string) => boolean = () => true): Promise<Optimizer> {
  const names = model
    .parameters()
    .map(({ name }) => name)
    .filter(trained)
  return Optimizer.create(model, {
    kind: 'adamw',
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    groups: [{ names, weightDecay: 0.01, learningRateFactor: 1 }],
  })
}

/** Sequences of the given lengths with labels for every head of {@link HEADS}. */
export function smallBatch(seed = 1, lengths: readonly number[] = [17, 5, 32, 9]): PackedBatch {
  const random = stream(seed, 1)
  const offsets = [0]
  for (const length of lengths) offsets.push(offsets.at(-1)! + length)
  const tokens = offsets.at(-1)!
  const tokenIds = Int32Array.from({ length: tokens }, () => random.below(VOCABULARY))
  const segmentIds = new Int32Array(tokens)
  const spans: [number, number][] = []
  const positions: number[] = []
  lengths.forEach((length, index) => {
    const middle = offsets[index] + Math.ceil(length / 2)
    segmentIds.fill(1, middle, offsets[index + 1])
    spans.push([offsets[index], middle])
    if (middle < offsets[index + 1]) spans.push([middle, offsets[index + 1]])
    for (let at = offsets[index]; at < offsets[index + 1]; at += 3) positions.push(at)
  })
  const bits = (count: number) => Int32Array.from({ length: count }, () => random.below(2))
  const nsp = bits(lengths.length)
  return {
    tokenIds,
    segmentIds,
    sequenceOffsets: Int32Array.from(offsets),
    labels: {
      nsp: { labels: nsp },
      mlm: {
        positions: Int32Array.from(positions),
        labels: Int32Array.from(positions, () => random.below(VOCABULARY)),
      },
      swap: {
        spanStarts: Int32Array.from(spans, ([start]) => start),
        spanEnds: Int32Array.from(spans, ([, end]) => end),
        labels: bits(spans.length),
      },
      token: { positions: Int32Array.from(positions), labels: bits(positions.length) },
    },
  }
}

/** ‖a − b‖ / ‖b‖ over all tensors together. */
export function relativeDistance(
  a: Record<string, ArrayLike<number>>,
  b: Record<string, ArrayLike<number>>,
  names: readonly string[] = Object.keys(b),
): number {
  let difference = 0
  let norm = 0
  for (const name of names) {
    if (a[name].length !== b[name].length) return Number.POSITIVE_INFINITY
    for (let i = 0; i < b[name].length; i++) {
      difference += (a[name][i] - b[name][i]) ** 2
      norm += b[name][i] ** 2
    }
  }
  return Math.sqrt(difference / norm)
}

export function normOf(...tensors: ArrayLike<number>[]): number {
  let sum = 0
  for (const tensor of tensors) for (let i = 0; i < tensor.length; i++) sum += tensor[i] ** 2
  return Math.sqrt(sum)
}

/** Moves every weight a little, so that no path hides behind zeros and ones. */
export async function perturb(model: Model): Promise<void> {
  const values = await model.readTensors('value')
  const random = stream(7, 2)
  for (const tensor of Object.values(values))
    for (let i = 0; i < tensor.length; i++) tensor[i] += 0.05 * random.normal()
  await model.writeTensors(values)
}
