/** Trains under ever wider limits of its writable memory and prints { failures, successes, same }. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { StrataError } from '../../lib/errors.js'
import { adamw, relativeDistance, smallBatch, smallModel } from './small-model.js'

function writableBytes(): number {
  return Number(/VmData:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1]) * 1024
}

function limitWritable(bytes: number | 'unlimited'): void {
  execFileSync('prlimit', ['--pid', String(process.pid), `--data=${bytes}:`])
}

/** Room that is left in any case: what JavaScript itself asks for on the way. */
const LEAST_ROOM = 16 * 2 ** 20

/** Runs with at most `bytes` of private writable memory (RLIMIT_DATA; addresses that are only reserved do not count); what it throws. The limit is gone when it is over. */
async function underLimit(bytes: number, run: () => Promise<void>): Promise<unknown> {
  // V8 shall not begin to collect under the limit.
  globalThis.gc!()
  if (Number.isFinite(bytes)) limitWritable(Math.max(bytes, writableBytes() + LEAST_ROOM))
  try {
    await run()
    return undefined
  } catch (error) {
    return error
  } finally {
    limitWritable('unlimited')
  }
}

async function main(): Promise<void> {
  const model = await smallModel({}, { hiddenSize: 128, maxPositions: 512, heads: 4 })
  const optimizer = await adamw(model)
  const small = smallBatch()
  const large = smallBatch(2, new Array<number>(60).fill(256))
  const gradientsOfSmall = async () => {
    await model.step(small)
    const gradients = await model.readTensors('gradient')
    await optimizer.step({ learningRate: 0 }) // drops the gradients, moves nothing
    return gradients
  }
  const fresh = await gradientsOfSmall()
  globalThis.gc!()
  const base = writableBytes()
  const counts = { failures: 0, successes: 0, same: 0 }
  for (const megabytes of [64, 80, 96, 128, 160, 200, 240, 280, 320, 400, Number.POSITIVE_INFINITY]) {
    const failure = await underLimit(base + megabytes * 2 ** 20, async () => {
      await model.step(large)
      await optimizer.step({ learningRate: 0 })
    })
    if (failure === undefined) {
      counts.successes++
      continue
    }
    if (!(failure instanceof StrataError) || failure.code !== 'OUT_OF_MEMORY') throw failure
    process.stderr.write(`${megabytes} MB: ${failure.message}\n`)
    counts.failures++
    if (relativeDistance(await gradientsOfSmall(), fresh) === 0) counts.same++
  }
  process.stdout.write(JSON.stringify(counts))
  await optimizer.dispose()
  await model.dispose()
}

void main()
