/**
 * Program, a process of its own because the first use of libtorch decides whether CUDA is loaded:
 *   available                    prints { cuda, reason } and loads no model
 *   check <device> <kernels> [names…]   prints { <group>: Check[] | { error } }
 *   leave-open <device> return|exit     trains a step and leaves with everything alive
 */
import { loadRuntime } from '../../lib/runtime/index.js'
import { DEVICE_CHECKS, type Side } from './device-checks.js'
import { adamw, smallBatch, smallModel } from './small-model.js'

function available(): { cuda: boolean; reason: string } {
  try {
    const { device, cudaProblem } = loadRuntime({ device: 'auto' })
    return { cuda: device === 'cuda', reason: cudaProblem ?? '' }
  } catch (error) {
    return { cuda: false, reason: (error as Error).message }
  }
}

async function check(device: Side['device'], kernels: Side['kernels'], names: string[]): Promise<object> {
  // The CPU's side of a comparison needs no other order of loading, CUDA's does.
  loadRuntime({ device })
  const results: Record<string, unknown> = {}
  for (const [name, group] of Object.entries(DEVICE_CHECKS)) {
    if (names.length > 0 && !names.includes(name)) continue
    const started = performance.now()
    try {
      results[name] = await group({ device, kernels })
    } catch (error) {
      results[name] = { error: String((error as Error).stack) }
    }
    process.stderr.write(`${name}: ${((performance.now() - started) / 1000).toFixed(1)} s\n`)
  }
  return results
}

async function leaveOpen(device: Side['device'], way: string): Promise<void> {
  const model = await smallModel({ device })
  const optimizer = await adamw(model)
  await model.step(smallBatch())
  await (await optimizer.step({ learningRate: 1e-3 })).read()
  if (way === 'exit') process.exit(7)
}

async function main(): Promise<void> {
  const [command, device, way, ...rest] = process.argv.slice(2) as [string, Side['device'], string, ...string[]]
  if (command === 'available') console.log(JSON.stringify(available()))
  else if (command === 'check') console.log(JSON.stringify(await check(device, way as Side['kernels'], rest)))
  else await leaveOpen(device, way)
}

void main()
