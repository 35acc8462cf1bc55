/** What our sides of the training benchmarks share: a long-lived process that trains some steps on command, as the Python peers do. */
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { PackedBatch } from '../lib/data/packed-batch.js'
import type { Model, Optimizer } from '../lib/model/index.js'

export interface TrainedSteps {
  model: Model
  optimizer: Optimizer
  /** Batch of step k; building it counts as part of the step. */
  batchOf(step: number): PackedBatch
  learningRateOf(step: number): number
  maxGradNorm: number
  /** What the first answer tells beside `ready`. */
  facts?: Record<string, unknown>
}

function answer(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}

function peakRssBytes(): number {
  const line = /VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))
  return Number(line?.[1] ?? 0) * 1024
}

/** Answers commands until `quit` or the end of stdin. */
export async function serveSteps(trained: TrainedSteps): Promise<void> {
  const { model, optimizer, batchOf, learningRateOf, maxGradNorm, facts } = trained
  answer({ ready: true, ...facts })
  for await (const line of createInterface({ input: process.stdin })) {
    const command = JSON.parse(line) as { command: string; first: number; count: number }
    if (command.command === 'steps') {
      const seconds: number[] = []
      let tokens = 0
      let loss = Number.NaN
      for (let step = command.first; step < command.first + command.count; step++) {
        const start = performance.now()
        const batch = batchOf(step)
        const losses = await model.step(batch)
        await (await optimizer.step({ learningRate: learningRateOf(step), maxGradNorm })).read()
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
