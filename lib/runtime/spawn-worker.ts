import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Worker, type WorkerOptions } from 'node:worker_threads'

/**
 * Starts `<directory>/<name>.js`, or in a source checkout `<name>.ts` through tsx. The source is required through tsx's
 * CommonJS hook: on Node 20 its ESM hook does not reach a worker's first file.
 */
export function spawnWorker(directory: string, name: string, options: WorkerOptions = {}): Worker {
  const compiled = join(directory, `${name}.js`)
  if (existsSync(compiled)) return new Worker(compiled, options)
  const [hook, source] = [require.resolve('tsx/cjs'), join(directory, `${name}.ts`)].map((path) => JSON.stringify(path))
  return new Worker(`require(${hook}); require(${source})`, { ...options, eval: true })
}
