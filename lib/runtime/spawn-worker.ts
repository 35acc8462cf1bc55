import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Worker, type WorkerOptions } from 'node:worker_threads'

/**
 * Starts `<directory>/<name>.js`, or in a source checkout `<name>.ts` through tsx. The path of tsx is absolute: the caller's
 * working folder does not matter. `options.execArgv` is kept behind ours.
 */
export function spawnWorker(directory: string, name: string, options: WorkerOptions = {}): Worker {
  const compiled = join(directory, `${name}.js`)
  if (existsSync(compiled)) return new Worker(compiled, options)
  const tsx = pathToFileURL(require.resolve('tsx')).href
  return new Worker(join(directory, `${name}.ts`), {
    ...options,
    execArgv: ['--import', tsx, ...(options.execArgv ?? [])],
  })
}
