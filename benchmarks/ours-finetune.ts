/** Our side of the fine-tuning benchmark: see ours-steps.ts. */
import { loadModel, Optimizer, type Precision } from '../lib/model/index.js'
import { openTask } from '../lib/tasks/index.js'
import { Tokenizer } from '../lib/text/index.js'
import { parameterGroups, scheduleFactor } from '../lib/training/index.js'
import { type FinetuneTask, taskOptions } from './finetune-task.js'
import { serveSteps } from './ours-steps.js'

const LEARNING_RATE = 1e-4
/** The schedule's length: five passes. */
const EPOCHS = 5
const SCHEDULE = { kind: 'linear', warmup: 0.1, finalFactor: 0 } as const

async function main(): Promise<void> {
  const [name, init, precision] = process.argv.slice(2) as [FinetuneTask, string, Precision]
  const task = await openTask(taskOptions(name, await Tokenizer.load(init)))
  const train = task.train!
  const batchesPerPass = train.batchCount(0)
  const { model } = await loadModel(init, {
    precision,
    device: 'cpu',
    seed: 1,
    hiddenDropout: 0.1,
    attentionDropout: 0.1,
    heads: [
      {
        kind: 'classifier',
        name: task.head,
        tap: { layer: 6 },
        weight: 1,
        classes: task.labels!.length,
        dropout: 0.1,
        pooler: 'shared',
      },
    ],
  })
  await using _model = model
  await using optimizer = await Optimizer.create(model, {
    kind: 'adamw',
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-6,
    groups: parameterGroups(model.parameters(), { weightDecay: 0.01, layerDecay: 1 }),
  })
  await serveSteps({
    model,
    optimizer,
    batchOf: (step) => train.build(Math.floor(step / batchesPerPass), step % batchesPerPass),
    learningRateOf: (step) =>
      LEARNING_RATE * scheduleFactor(SCHEDULE, { step, progress: step / (EPOCHS * batchesPerPass) }),
    maxGradNorm: 1,
  })
}

main().catch((error) => {
  console.error(error)
  process.exitCode = 1
})
