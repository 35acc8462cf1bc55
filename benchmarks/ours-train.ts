/** Our side of the training benchmark: a long-lived process that trains some steps on command, as the Python peers do. */
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { encoderConfig, Model, type ModelConfig, Optimizer } from '../lib/model/index.js'
import { parameterGroups } from '../lib/training/index.js'
import { readBatchFile } from './batch-file.js'

const SIZES = {
  mini: { layers: 6, hiddenSize: 256, heads: 4, vocabSize: 8192 },
  small: { layers: 4, hiddenSize: 512, heads: 8 },
  base: { layers: 12, hiddenSize: 768, heads: 12 },
} as const

const LEARNING_RATE = 1e-4

function answer(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}

function peakRssBytes(): number {
  const line = /VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))
  return Number(line?.[1] ?? 0) * 1024
}

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
  answer({ ready: true })
  for await (const line of createInterface({ input: process.stdin })) {
    const command = JSON.parse(line) as { command: string; first: number; count: number }
    if (command.command === 'steps') {
      const seconds: number[] = []
      let tokens = 0
      let loss = Number.NaN
      for (let index = command.first; index < command.first + command.count; index++) {
        const batch = batches[index % batches.length]
        const start = performance.now()
        const losses = await model.step(batch)
        await (await optimizer.step({ learningRate: LEARNING_RATE, maxGradNorm: 1 })).read()
        const values = await losses.read()
        loss = Object.values(values).reduce((sum, head) => sum + head.loss, 0)
        seconds.push((performance.now() - start) / 1000)
        tokens += batch.tokenIds.length
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
