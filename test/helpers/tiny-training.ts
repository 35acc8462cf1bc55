import { computeThreads, encoderConfig, Model, type ModelConfig, type ModelOptions } from '../../lib/model/index.js'
import { pretrainingSource } from '../../lib/objectives/index.js'
import type { RunSettings, Stage, TrainingTask } from '../../lib/training/index.js'
import { SPECIAL, syntheticCorpus } from './synthetic-corpus.js'

/** Dropout is on: a run that is resumed without its state would show. */
export const TINY_CONFIG: ModelConfig = {
  encoder: encoderConfig({
    vocabSize: SPECIAL.vocabSize,
    layers: 2,
    hiddenSize: 32,
    heads: 2,
    maxPositions: 48,
    hiddenDropout: 0.1,
    attentionDropout: 0.1,
  }),
  heads: [
    { name: 'nsp', kind: 'next-sentence', tap: { layer: 1 }, weight: 1 },
    {
      name: 'mlm',
      kind: 'masked-lm',
      tap: { layer: 2 },
      weight: 1,
      transfer: { from: 'nsp', mode: 'concat', stopGradient: false },
    },
  ],
}

/** One thread: a model this small gains nothing from two, and loses much on a busy machine. */
export function tinyModel(config: ModelConfig = TINY_CONFIG, options: ModelOptions = {}, threads = 1): Promise<Model> {
  computeThreads(threads)
  return Model.create(config, { device: 'cpu', precision: 'fp32', seed: 3, ...options })
}

/** Masked LM and next sentence over a corpus of random words, with held-out batches. */
export function tinyTask(options: { name?: string; seed?: number; heads?: ('mlm' | 'nsp')[] } = {}): TrainingTask {
  const { name = 'joint', seed = 5, heads = ['mlm', 'nsp'] } = options
  const of = (documents: number, corpusSeed: number, evaluation: boolean) =>
    pretrainingSource({
      corpus: syntheticCorpus({ documents, sentences: [2, 8], words: [3, 9], seed: corpusSeed }),
      special: SPECIAL,
      heads: { mlm: { name: 'mlm' }, ...(heads.includes('nsp') ? { nsp: { name: 'nsp' } } : {}) },
      batchTokens: 256,
      maxSequenceTokens: 48,
      seed,
      evaluation,
    })
  return { name, heads, source: of(40, seed, false), evaluation: of(10, seed + 1, true) }
}

export function tinyStage(part: Partial<Stage> = {}): Stage {
  return {
    name: 'main',
    tasks: [tinyTask()],
    sampler: { kind: 'proportional' },
    optimizer: {
      kind: 'adamw',
      learningRate: 1e-3,
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
      weightDecay: 0.01,
      layerDecay: 1,
    },
    schedule: { kind: 'linear', warmup: 3, finalFactor: 0 },
    clip: { maxGradNorm: 1, maxTensorGradNorm: 0 },
    budget: { steps: 12 },
    accumulation: 1,
    freeze: [],
    ...part,
  }
}

export function tinySettings(part: Partial<RunSettings> = {}): RunSettings {
  return {
    seed: 3,
    evaluateEverySteps: 0,
    checkpoint: { everySteps: 3, keep: 2 },
    logEverySteps: 1,
    onNonFinite: 'stop',
    prefetchWorkers: 0,
    ...part,
  }
}

/** All weights, in the order of the names. */
export async function weightsOf(model: Model): Promise<Record<string, number[]>> {
  const tensors = await model.readTensors('value')
  return Object.fromEntries(
    Object.entries(tensors)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, values]) => [name, [...values]]),
  )
}
