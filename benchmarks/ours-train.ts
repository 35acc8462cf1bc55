/** Our side of the training benchmark: see ours-steps.ts. */
import { encoderConfig, Model, type ModelConfig, Optimizer } from '../lib/model/index.js'
import { parameterGroups } from '../lib/training/index.js'
import { readBatchFile } from './batch-file.js'
import { serveSteps } from './ours-steps.js'

const SIZES = {
  mini: { layers: 6, hiddenSize: 256, heads: 4, vocabSize: 8192 },
  small: { layers: 4, hiddenSize: 512, heads: 8 },
  base: { layers: 12, hiddenSize: 768, heads: 12 },
} as const

const LEARNING_RATE = 1e-4

async function main(): Promise<void> {
  const [batchFile, shape, precision] = process.argv.slice(2) as [string, keyof typeof SIZES, 'bf16' | 'fp32']
  const batches = readBatchFile(batchFile)
  const config: ModelConfig = {
    encoder: encoderConfig({ vocabSize: 30522, ...SIZES[shape] }),
    heads: [
      { kind: 'masked-lm', name: 'mlm', tap: { layer: SIZES[shape].layers }, weight: 1 },
      { kind: 'next-sentence', name: 'nsp', tap: { layer: SIZES[shape].layers }, weight: 1 },
    ],
  }
  await using model = await Model.create(config, { precision, device: 'cpu', seed: 0 })
  await using optimizer = await Optimizer.create(model, {
    kind: 'adamw',
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    groups: parameterGroups(model.parameters(), { weightDecay: 0.01, layerDecay: 1 }),
  })
  await serveSteps({
    model,
    optimizer,
    batchOf: (step) => batches[step % batches.length],
    learningRateOf: () => LEARNING_RATE,
    maxGradNorm: 1,
  })
}

main().catch((error) => {
  console.error(error)
  process.exitCode = 1
})
