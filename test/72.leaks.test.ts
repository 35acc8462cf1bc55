/** Models made, trained and disposed of leave nothing: 60 by default, 500 with STRATABERT_LONG=1. */
import assert from 'node:assert/strict'
import { runChild } from './helpers/run-child.js'

const LONG = process.env.STRATABERT_LONG === '1'
const WARM_UP = LONG ? 50 : 20
const MODELS = LONG ? 500 : 60
const LARGEST_GROWTH = 0.05

describe('memory over the life of many models', function () {
  this.timeout(LONG ? 1_800_000 : 180_000)

  it(`${MODELS} models created, stepped and disposed: resident memory grows by at most 5 %, counters return to zero`, async function () {
    if (process.platform !== 'linux') this.skip() // reads /proc
    const { code, signal, out, err } = await runChild('leak-child', {
      args: [String(WARM_UP), String(MODELS)],
      nodeOptions: ['--expose-gc'],
      timeoutMs: LONG ? 1_700_000 : 170_000,
    })
    assert.deepEqual([code, signal], [0, null], err)
    const { readings, counters } = JSON.parse(out) as { readings: number[]; counters: Record<string, number> }
    const { liveModels, liveOptimizers, queuedJobs, nativeBytes } = counters
    assert.deepEqual(
      { liveModels, liveOptimizers, queuedJobs, nativeBytes },
      {
        liveModels: 0,
        liveOptimizers: 0,
        queuedJobs: 0,
        nativeBytes: 0,
      },
    )
    // A single reading swings with what the collector and malloc hold at the moment: means of ten are compared.
    const mean = (part: number[]) => part.reduce((sum, value) => sum + value, 0) / part.length
    const [first, last] = [mean(readings.slice(0, 10)), mean(readings.slice(-10))]
    const growth = last / first - 1
    const megabytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MB`
    console.log(`      ${MODELS} models: ${megabytes(first)} → ${megabytes(last)}, ${(100 * growth).toFixed(2)} %`)
    assert.ok(growth <= LARGEST_GROWTH, `${(100 * growth).toFixed(2)} % of growth`)
  })
})
