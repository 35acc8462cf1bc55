/**
 * The event loop stays free while a model trains. By default a small shape; BERT-small's (4 layers, 512) with STRATABERT_LONG=1.
 * On a machine that is busy with other work the idle loop is late, too, and the scheduler's delays are not ours: the measurement is
 * made again up to four times, each is printed, and the last word is the smallest difference. A loop that we block fails every time.
 */
import assert from 'node:assert/strict'
import { availableParallelism, loadavg } from 'node:os'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { computeThreads } from '../lib/model/index.js'
import { adamw, smallBatch, smallModel, VOCABULARY } from './helpers/small-model.js'

const LONG = process.env.STRATABERT_LONG === '1'
const SHAPE = LONG
  ? { vocabSize: 30522, layers: 4, hiddenSize: 512, heads: 8, maxPositions: 128 }
  : { vocabSize: 8000, layers: 4, hiddenSize: 256, heads: 4, maxPositions: 128 }
const SECONDS = LONG ? 20 : 3
const RESOLUTION_MS = 1
const LARGEST_DIFFERENCE_MS = 20
const ATTEMPTS = 5

interface Delays {
  p50: number
  p99: number
  longest: number
}

/** Delays of the event loop while `busy` runs, in milliseconds beyond the resolution's own timer. */
async function measure(busy: Promise<unknown>): Promise<Delays> {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  histogram.enable()
  await busy
  histogram.disable()
  const milliseconds = (nanoseconds: number) => nanoseconds / 1e6
  return {
    p50: milliseconds(histogram.percentile(50)),
    p99: milliseconds(histogram.percentile(99)),
    longest: milliseconds(histogram.max),
  }
}

describe('event loop', function () {
  this.timeout(300_000)

  it(`training keeps its 99th percentile of delay within ${LARGEST_DIFFERENCE_MS} ms of the idle one`, async () => {
    assert.ok(SHAPE.vocabSize >= VOCABULARY)
    await using model = await smallModel({ precision: 'fp32' }, SHAPE)
    await using optimizer = await adamw(model)
    computeThreads(Math.min(2, availableParallelism()))
    const batch = smallBatch(1, new Array<number>(LONG ? 16 : 8).fill(128))
    let steps = 0
    const train = async () => {
      const end = performance.now() + SECONDS * 1000
      // On a slow machine at least three steps, however long they take.
      for (let own = 0; own < 3 || performance.now() < end; own++) {
        const losses = await model.step(batch)
        await optimizer.step({ learningRate: 1e-4, maxGradNorm: 1 })
        await losses.read()
        steps++
      }
    }
    // Caches, allocator and compiled code are warm afterwards.
    await model.step(batch)
    await optimizer.step({ learningRate: 1e-4 })
    let smallest = Number.POSITIVE_INFINITY
    for (let attempt = 1; attempt <= ATTEMPTS && smallest > LARGEST_DIFFERENCE_MS; attempt++) {
      const idle = await measure(delay(SECONDS * 1000))
      const training = await measure(train())
      smallest = Math.min(smallest, training.p99 - idle.p99)
      const show = ({ p50, p99, longest }: Delays) =>
        `p50 ${p50.toFixed(1)}, p99 ${p99.toFixed(1)}, longest ${longest.toFixed(1)}`
      const load = loadavg()[0]
      const busy = load > availableParallelism() + 1 ? `; the machine is busy: load ${load.toFixed(1)}` : ''
      console.log(
        `      attempt ${attempt}, resolution ${RESOLUTION_MS} ms: idle ${show(idle)}; training ${show(training)} ms` +
          ` (${steps} steps so far${busy})`,
      )
    }
    assert.ok(steps >= 3, `${steps} steps`)
    assert.ok(smallest <= LARGEST_DIFFERENCE_MS, `p99 while training is ${smallest.toFixed(1)} ms above the idle one`)
  })
})
