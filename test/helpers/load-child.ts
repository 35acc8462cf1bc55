/** Program: loads the runtime as its JSON argument says (`{ device, libtorch, workers, workerLibtorch, failing, afterwards }`) and prints what came of it. */
import { once } from 'node:events'
import { loadedRuntime, loadRuntime, resolveDevice, spawnWorker } from '../../lib/runtime/index.js'

async function main(): Promise<void> {
  const { device, libtorch, workers = 0, workerLibtorch, failing, afterwards } = JSON.parse(process.argv[2])
  const warnings: string[] = []
  process.on('warning', (warning) => warnings.push(warning.message))
  const answer = await load().catch(({ code, message, details }) => ({ code, message, details }))
  // Warnings come in a turn of their own.
  await new Promise((resolve) => setImmediate(resolve))
  console.log(JSON.stringify({ ...answer, warnings }))

  async function load(): Promise<object> {
    if (failing) {
      try {
        loadRuntime({ device, libtorch: failing })
      } catch (error) {
        warnings.push((error as Error).message)
      }
    }
    const started = performance.now()
    const runtime = loadRuntime({ device, libtorch })
    const milliseconds = performance.now() - started
    const answers: unknown[] = []
    if (workerLibtorch) {
      const worker = spawnWorker(__dirname, 'load-worker', { workerData: { libtorch: workerLibtorch } })
      const [answer] = await once(worker, 'message')
      throw answer
    }
    await Promise.all(
      Array.from({ length: workers }, async () => {
        const worker = spawnWorker(__dirname, 'load-worker')
        answers.push((await once(worker, 'message'))[0])
        await worker.terminate()
      }),
    )
    loadRuntime({ device })
    const { tree, cudaProblem, trace } = runtime
    const facts = {
      device: runtime.device,
      resolved: resolveDevice('auto'),
      directory: tree.directory,
      version: tree.version,
      cudaProblem,
      trace,
    }
    const same = loadedRuntime() === runtime
    if (afterwards) loadRuntime(afterwards)
    return { ...facts, milliseconds, torchVersion: runtime.core.torchVersion, answers, same }
  }
}

void main()
