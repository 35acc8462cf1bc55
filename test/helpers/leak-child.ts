/** Creates, steps and disposes of models again and again; prints resident memory along the way and the counters at the end. */
import { readFileSync } from 'node:fs'
import { counters } from '../../lib/model/index.js'
import { adamw, smallBatch, smallModel } from './small-model.js'

const [warmUp, measured] = process.argv.slice(2).map(Number)

/** Resident bytes now; process.memoryUsage() says the same, but not everywhere in one unit. */
function resident(): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1]) * 1024
}

async function live(seed: number): Promise<void> {
  const model = await smallModel({ seed }, { hiddenSize: 128, heads: 4, vocabSize: 2000 })
  const optimizer = await adamw(model)
  for (let step = 0; step < 2; step++) {
    const losses = await model.step(smallBatch(seed + step))
    const update = await optimizer.step({ learningRate: 1e-3, maxGradNorm: 1 })
    // Every other model's results are never read.
    if (seed % 2 === 0) await Promise.all([losses.read(), update.read()])
  }
  await model.evaluate(smallBatch(seed))
  await (seed % 3 === 0 ? Promise.all([model.dispose(), optimizer.dispose()]) : optimizer.dispose())
  await model.dispose()
}

async function main(): Promise<void> {
  const readings: number[] = []
  for (let i = 0; i < warmUp + measured; i++) {
    await live(i)
    if (i >= warmUp - 1) {
      global.gc!()
      readings.push(resident())
    }
  }
  process.stdout.write(JSON.stringify({ readings, counters: counters() }))
}

void main()
