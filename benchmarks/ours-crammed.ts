/** Our side of the benchmark of Cramming's training step: see ours-steps.ts. */
import { Model, Optimizer, type Precision } from '../lib/model/index.js'
import { parameterGroups } from '../lib/training/index.js'
import { readBatchFile } from './batch-file.js'
import {
  CRAMMED_ADAMW,
  CRAMMED_ENCODER,
  CRAMMED_HEAD,
  CRAMMED_MAX_GRAD_NORM,
  CRAMMED_WEIGHT_DECAY,
} from './crammed-shape.js'
import { serveSteps } from './ours-steps.js'

const LEARNING_RATE = 1e-4

async function main(): Promise<void> {
  const [batchFile, precision] = process.argv.slice(2) as [string, Precision]
  const batches = readBatchFile(batchFile)
  const config = { encoder: CRAMMED_ENCODER, heads: [CRAMMED_HEAD] }
  await using model = await Model.create(config, { precision, device: 'cpu', seed: 0 })
  const parameters = model.parameters()
  const groups = parameterGroups(parameters, { weightDecay: CRAMMED_WEIGHT_DECAY, layerDecay: 1 })
  await using optimizer = await Optimizer.create(model, { ...CRAMMED_ADAMW, groups })
  const count = parameters.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0)
  await serveSteps({
    model,
    optimizer,
    batchOf: (step) => batches[step % batches.length],
    learningRateOf: () => LEARNING_RATE,
    maxGradNorm: CRAMMED_MAX_GRAD_NORM,
    facts: { parameters: count },
  })
}

main().catch((error) => {
  console.error(error)
  process.exitCode = 1
})
