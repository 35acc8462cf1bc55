/** What a GPU computes against what the CPU's own kernels compute; without a GPU the same operators on the CPU. */
import assert from 'node:assert/strict'
import { computeThreads } from '../lib/model/index.js'
import {
  type Check,
  DEVICE_CHECKS,
  dropoutIsRight,
  halfPrecisionTrains,
  sameCurves,
  sameNumbers,
  sameUpdates,
} from './helpers/device-checks.js'
import { adaptersAreRight, taskHeadsAreRight } from './helpers/device-task-checks.js'
import { runChild } from './helpers/run-child.js'

function holds(checks: Check[] | { error: string } | undefined): void {
  assert.ok(checks, 'the checks ran')
  if (!Array.isArray(checks)) throw new Error(checks.error)
  assert.ok(checks.length > 0)
  const broken = checks.filter(({ ok }) => !ok)
  assert.deepEqual(
    broken.map(({ name, value, rule, bound }) => `${name}: ${value}, ${rule} ${bound}`),
    [],
  )
}

describe('the operators that a GPU runs, on the CPU', function () {
  this.timeout(120_000)
  const portable = { device: 'cpu', kernels: 'portable' } as const
  // More threads only wait for each other in models this small.
  before(() => computeThreads(1))

  it('hidden states, losses and gradients of every kind of head in fp64, fp32 and bf16', async () => {
    holds(await sameNumbers(portable))
  })
  it('every task head at a layer and at learned mixes: numbers, 20 steps, dropout', async () => {
    holds(await taskHeadsAreRight(portable))
  })
  it('every kind of adapter: numbers, 20 steps, dropout', async () => {
    holds(await adaptersAreRight(portable))
  })
  it('updates with the skip and the scale left to the fused kernel', async () => {
    holds(await sameUpdates(portable))
  })
  it('loss curves in fp32 and bf16', async () => {
    holds(await sameCurves(portable, 20))
  })
  it('fp16 under loss scaling', async () => {
    holds(await halfPrecisionTrains(portable, 20))
  })
  it('dropout: keep rate, scale, independence, replay', async () => {
    holds(await dropoutIsRight(portable))
  })
})

// libtorch sees CUDA only when it is loaded before its first use, which other files have had in this process: children ask.
describe('CUDA', function () {
  this.timeout(600_000)
  let results: Record<string, Check[] | { error: string }> = {}
  before(async function () {
    const { out, err } = await runChild('device-child', { args: ['available'] })
    const { cuda, reason } = JSON.parse(out || '{"cuda":false}') as { cuda: boolean; reason: string }
    if (!cuda) {
      console.log(`    skipped: ${reason || err}`.split('\n')[0])
      this.skip()
    }
    const child = await runChild('device-child', { args: ['check', 'cuda', 'fast'], timeoutMs: 550_000 })
    assert.equal(child.code, 0, child.err)
    results = JSON.parse(child.out)
  })

  for (const name of Object.keys(DEVICE_CHECKS)) it(`${name} as on the CPU`, () => holds(results[name]))

  for (const [way, code] of [
    ['return', 0],
    ['exit', 7],
  ] as const) {
    it(`a process that leaves by ${way} with a living context ends with ${code}`, async () => {
      const child = await runChild('device-child', { args: ['leave-open', 'cuda', way] })
      assert.deepEqual([child.code, child.signal], [code, null], child.err)
    })
  }
})
