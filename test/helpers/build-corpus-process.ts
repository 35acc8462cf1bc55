import { runWorkerJob } from '../../lib/data/corpus-job.js'
import type { CorpusDone, CorpusJob } from '../../lib/data/corpus-worker.js'

/** Builds a corpus in small parts in a process of its own, to be killed: argument is the job without `stop` as JSON. */
async function main([job]: string[]): Promise<void> {
  const whole: CorpusJob = { ...JSON.parse(job), stop: new SharedArrayBuffer(4) }
  await runWorkerJob<CorpusDone, unknown>('corpus-worker', whole, 'prepare the corpus', {})
}

void main(process.argv.slice(2))
