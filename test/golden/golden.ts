import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import type { PackedBatch } from '../../lib/data/packed-batch.js'
import type { EncoderConfig, encoderConfig, HeadConfig } from '../../lib/model/config.js'
import type { Model } from '../../lib/model/index.js'

/** What test/golden/encoder.py writes. Legend: T tokens, H hidden size, L layers. */
export interface EncoderGoldens {
  encoder: Record<string, unknown>
  batch: GoldenBatch
  hiddenRows: number[]
  hidden: HiddenDigest[]
  cases: Record<string, GoldenCase>
  training: Record<string, GoldenTraining>
  trainingBatches: GoldenBatch[]
}

export interface GoldenBatch {
  tokenIds: number[]
  segmentIds: number[]
  sequenceOffsets: number[]
  labels: Record<
    string,
    {
      labels: number[]
      positions?: number[]
      spanStarts?: number[]
      spanEnds?: number[]
      values?: number[]
      groups?: number[]
      heads?: number[]
      tags?: number[]
    }
  >
}

export interface Digest {
  shape: number[]
  norm: number
  projections: number[]
  sample: number[]
}

export interface HiddenDigest extends Digest {
  /** Two projections a token, (T, 2) row-major. */
  tokenProjections: number[]
  /** Whole states of the tokens in `hiddenRows`. */
  rows: number[][]
}

export interface GoldenCase {
  heads: HeadConfig[]
  total: number
  losses: Record<string, number>
  logits: Record<string, Digest>
  gradients: Record<string, Digest>
}

export interface GoldenTraining {
  heads: HeadConfig[]
  settings: {
    learningRate: number
    warmupSteps: number
    steps: number
    beta1: number
    beta2: number
    epsilon: number
    weightDecay: number
    maxGradNorm: number
  }
  trace: { loss: number; gradNorm: number }[]
  parameters: Record<string, Digest>
}

type Numbers = Float32Array | Float64Array

const SAMPLES = 24

export function readGoldens<Goldens>(path: string): Goldens {
  return JSON.parse(gunzipSync(readFileSync(path)).toString('utf8')) as Goldens
}

/** murmur3's finaliser; reference.py has the same. */
function mix32(value: number): number {
  let x = value
  x ^= x >>> 16
  x = Math.imul(x, 0x85ebca6b)
  x ^= x >>> 13
  x = Math.imul(x, 0xc2b2ae35)
  x ^= x >>> 16
  return x >>> 0
}

function fnv1a(text: string): number {
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193)
  return hash >>> 0
}

/** The parameter values of reference.py's `formula`: exact in float32, none at 0, no LayerNorm weight at 1. */
export function formulaValues(name: string, count: number): Float64Array {
  const seed = fnv1a(name)
  const centre = name.endsWith('LayerNorm.weight') ? 1 : 0
  const values = new Float64Array(count)
  for (let index = 0; index < count; index++) {
    const hash = mix32((Math.imul(index, 0x9e3779b1) + seed) | 0)
    values[index] = centre + (2 * (hash >>> 12) + 1 - 2 ** 20) * 2 ** -23
  }
  return values
}

/** Fills the wanted parameters of a model by the formula. */
export async function writeFormula(model: Model, wanted: (name: string) => boolean): Promise<void> {
  const values: Record<string, Numbers> = {}
  for (const { name, shape } of model.parameters()) {
    if (!wanted(name)) continue
    const count = shape.reduce((product, size) => product * size, 1)
    const exact = formulaValues(name, count)
    values[name] = model.precision === 'fp64' ? exact : Float32Array.from(exact)
  }
  await model.writeTensors(values)
}

/** reference.py's `digest` of one tensor. */
export function digestOf(values: Numbers, shape: number[]): Digest {
  const projections = new Float64Array(8)
  let squares = 0
  for (let index = 0; index < values.length; index++) {
    const value = values[index]
    squares += value * value
    const hash = mix32((Math.imul(index, 0x9e3779b1) + 0x7f4a7c15) | 0)
    for (let bit = 0; bit < 8; bit++) projections[bit] += (hash >>> bit) & 1 ? -value : value
  }
  const stride = Math.max(1, Math.floor(values.length / SAMPLES))
  const sample: number[] = []
  for (let index = 0; index < values.length && sample.length < SAMPLES; index += stride) sample.push(values[index])
  return { shape, norm: Math.sqrt(squares), projections: [...projections], sample }
}

/** Estimate of ‖a − b‖ from the digests: root mean square of the projections' differences, at least the sample's own. */
export function digestDistance(a: Digest, b: Digest): number {
  const meanSquare = a.projections.reduce((sum, value, j) => sum + (value - b.projections[j]) ** 2, 0) / 8
  const sampleSquare = a.sample.reduce((sum, value, j) => sum + (value - b.sample[j]) ** 2, 0)
  return Math.sqrt(Math.max(meanSquare, sampleSquare, (a.norm - b.norm) ** 2))
}

/** Two projections of each row of a (T, H) array, as in reference.py's `hidden_digest`. */
export function tokenProjections(values: Numbers, hiddenSize: number): Float64Array {
  const tokens = values.length / hiddenSize
  const signs = Uint32Array.from({ length: hiddenSize }, (_, column) => mix32(Math.imul(column, 0x9e3779b1) | 0))
  const result = new Float64Array(tokens * 2)
  for (let token = 0; token < tokens; token++)
    for (let column = 0; column < hiddenSize; column++) {
      const value = values[token * hiddenSize + column]
      result[2 * token] += signs[column] & 1 ? -value : value
      result[2 * token + 1] += signs[column] & 2 ? -value : value
    }
  return result
}

/** The golden's batch with the labels of the given heads only. */
export function packedBatch(golden: GoldenBatch, heads: readonly { name: string }[]): PackedBatch {
  const labels: PackedBatch['labels'] = {}
  for (const { name } of heads) {
    const head = golden.labels[name]
    labels[name] = { labels: Int32Array.from(head.labels) }
    if (head.positions) labels[name].positions = Int32Array.from(head.positions)
    if (head.spanStarts) labels[name].spanStarts = Int32Array.from(head.spanStarts)
    if (head.spanEnds) labels[name].spanEnds = Int32Array.from(head.spanEnds)
    if (head.values) labels[name].values = Float32Array.from(head.values)
    if (head.groups) labels[name].groups = Int32Array.from(head.groups)
    if (head.heads) labels[name].heads = Int32Array.from(head.heads)
    if (head.tags) labels[name].tags = Int32Array.from(head.tags)
  }
  return {
    tokenIds: Int32Array.from(golden.tokenIds),
    segmentIds: Int32Array.from(golden.segmentIds),
    sequenceOffsets: Int32Array.from(golden.sequenceOffsets),
    labels,
  }
}

/** Our encoder configuration from the golden's Hugging Face one. */
export function goldenEncoder(config: Record<string, any>): EncoderConfig {
  return {
    kind: config.model_type === 'stratabert-crammed' ? 'crammed' : 'bert',
    vocabSize: config.vocab_size,
    layers: config.num_hidden_layers,
    hiddenSize: config.hidden_size,
    heads: config.num_attention_heads,
    intermediateSize: config.intermediate_size,
    maxPositions: config.max_position_embeddings,
    segmentTypes: config.type_vocab_size,
    layerNormEpsilon: config.layer_norm_eps,
    hiddenDropout: 0,
    attentionDropout: 0,
    activation: 'gelu',
    initializerRange: 0.02,
  }
}

/** What loss_curve.json holds: the settings of the PyTorch loop and each head's loss at every step. */
export interface LossCurve {
  settings: {
    encoder: Parameters<typeof encoderConfig>[0]
    learningRate: number
    warmupSteps: number
    beta1: number
    beta2: number
    epsilon: number
    weightDecay: number
    maxGradNorm: number
  }
  heads: HeadConfig[]
  losses: Record<string, number[]>
}
