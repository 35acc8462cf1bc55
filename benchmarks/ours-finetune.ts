/** Our side of the fine-tuning benchmark: a long-lived process that fine-tunes some steps on command, as the Python peers do. */
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { tokenCount } from '../lib/data/index.js'
import { loadModel, Optimizer, type Precision } from '../lib/model/index.js'
import { openTask } from '../lib/tasks/index.js'
import { Tokenizer } from '../lib/text/index.js'
import { parameterGroups, scheduleFactor } from '../lib/training/index.js'
import { type FinetuneTask, taskOptions } from './finetune-task.js'

const LEARNING_RATE = 1e-4
/** The schedule's length: five passes. */
const EPOCHS = 5
const SCHEDULE = { kind: 'linear', warmup: 0.1, finalFactor: 0 } as const

function answer(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}

function peakRssBytes(): number {
  const line = /VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))
  return Number(line?.[1] ?? 0) * 1024
}

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
  answer({ ready: true })
  for await (const line of createInterface({ input: process.stdin })) {
    const command = JSON.parse(line) as { command: string; first: number; count: number }
    if (command.command === 'steps') {
      const seconds: number[] = []
      let tokens = 0
      let loss = Number.NaN
      for (let step = command.first; step < command.first + command.count; step++) {
        const start = performance.now()
        const batch = train.build(Math.floor(step / batchesPerPass), step % batchesPerPass)
        const losses = await model.step(batch)
        const factor = scheduleFactor(SCHEDULE, { step, progress: step / (EPOCHS * batchesPerPass) })
        await (await optimizer.step({ learningRate: LEARNING_RATE * factor, maxGradNorm: 1 })).read()
        loss = (await losses.read())[task.head].loss
        seconds.push((performance.now() - start) / 1000)
        tokens += tokenCount(batch)
      }
      answer({ seconds, tokens, slots: tokens, loss })
    } else if (command.command === 'memory') {
      answer({ peakRssBytes: peakRssBytes() })
    } else {
      answer({ bye: true })
      break
    }
  }
}

main().catch((error) => {
  console.error(error)
  process.exitCode = 1
})
