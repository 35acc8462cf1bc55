/** Trains under ever wider limits of the address space and prints { failures, successes, same }. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { StrataError } from '../../lib/errors.js'
import { adamw, relativeDistance, smallBatch, smallModel } from './small-model.js'

function addressSpace(): number {
  return Number(/VmSize:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1]) * 1024
}

function limitAddressSpace(bytes: number | 'unlimited'): void {
  execFileSync('prlimit', ['--pid', String(process.pid), `--as=${bytes}:`])
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
  const counts = { failures: 0, successes: 0, same: 0 }
  const base = addressSpace()
  for (const megabytes of [64, 80, 96, 128, 160, 200, 240, 280, 320, 400, Number.POSITIVE_INFINITY]) {
    limitAddressSpace(Number.isFinite(megabytes) ? base + megabytes * 2 ** 20 : 'unlimited')
    try {
      await model.step(large)
      await optimizer.step({ learningRate: 0 })
      counts.successes++
    } catch (error) {
      if (!(error instanceof StrataError) || error.code !== 'OUT_OF_MEMORY') throw error
      process.stderr.write(`${megabytes} MB: ${error.message}\n`)
      counts.failures++
      if (relativeDistance(await gradientsOfSmall(), fresh) === 0) counts.same++
    }
  }
  process.stdout.write(JSON.stringify(counts))
  await optimizer.dispose()
  await model.dispose()
}

void main()
