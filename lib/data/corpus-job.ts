import { isStrataErrorCode, StrataError } from '../errors.js'
import { spawnWorker } from '../runtime/index.js'

type JobMessage<Progress> =
  | { kind: 'progress'; progress: Progress }
  | { kind: 'done' }
  | { kind: 'failed'; code: string; message: string; details: Record<string, unknown> }

/** Without a limit V8 lets hundreds of MB of garbage pile up. Preparing text keeps some 40 MB alive, with the longest allowed line some 200. */
const HEAP_MEGABYTES = 256

/**
 * Runs one job in its own worker thread until it answers. The job holds a shared word `stop`, which is set when `signal`
 * aborts; the worker then cleans up and fails with ABORTED.
 */
export function runWorkerJob<Done extends { kind: 'done' }, Progress>(
  name: string,
  job: { stop: SharedArrayBuffer },
  doing: string,
  options: { onProgress?: (progress: Progress) => void; signal?: AbortSignal; heapMegabytes?: number },
): Promise<Done> {
  const stop = (): void => {
    Atomics.store(new Int32Array(job.stop), 0, 1)
  }
  const { onProgress, signal, heapMegabytes = HEAP_MEGABYTES } = options
  return new Promise((resolve, reject) => {
    const worker = spawnWorker(__dirname, name, {
      workerData: job,
      resourceLimits: { maxYoungGenerationSizeMb: 16, maxOldGenerationSizeMb: heapMegabytes },
    })
    if (signal?.aborted) stop()
    signal?.addEventListener('abort', stop, { once: true })
    worker.on('message', (message: JobMessage<Progress>) => {
      if (message.kind === 'progress') onProgress?.(message.progress)
      else if (message.kind === 'done') resolve(message as Done)
      else {
        const { code, details } = message
        reject(new StrataError(isStrataErrorCode(code) ? code : 'IO_ERROR', message.message, { details }))
      }
    })
    worker.on('error', (error) => {
      const text = error instanceof Error ? error.message : String(error)
      const code = (error as NodeJS.ErrnoException).code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'OUT_OF_MEMORY' : 'IO_ERROR'
      reject(new StrataError(code, `the worker thread that was to ${doing} failed: ${text}`, { cause: error }))
    })
    worker.on('exit', (code) => {
      signal?.removeEventListener('abort', stop)
      // Without effect when an answer came before.
      reject(new StrataError('IO_ERROR', `the worker thread that was to ${doing} ended early with code ${code}`))
    })
  })
}
