/**
 * Latency and throughput of a model that answers, by tokens, precision and path, without tokenisation: what Model.embed takes.
 *
 *   npx tsx benchmarks/inference.ts --model DIR [--threads 2] [--rounds 7] [--tokens 16,128,2048,4096] [--configurations fp32,int8] [--seconds 0.4]
 *
 * Configurations take turns within each round. A time is the median over rounds of the mean of a turn; p50 of single calls stands beside.
 * 16 and 128 tokens are one sequence; more are sequences of 6 to 60 tokens, as sentences are. Prints one JSON document.
 */
import { parseArgs } from 'node:util'
import type { PackedBatch } from '../lib/data/packed-batch.js'
import { stream } from '../lib/data/random.js'
import { computeThreads, loadModel, type Model, type ModelOptions } from '../lib/model/index.js'

const CONFIGURATIONS: Record<string, ModelOptions> = {
  // As models that train answer: no kernel for inference.
  'fp32-training': {},
  fp32: { inference: true },
  'bf16-training': { precision: 'bf16' },
  bf16: { precision: 'bf16', inference: true },
  int8: { precision: 'int8', inference: true },
  // libtorch's quantized::linear_dynamic and attention.
  'int8-libtorch': { precision: 'int8', inference: true, kernels: 'portable' },
}

const { values: flags } = parseArgs({
  options: {
    model: { type: 'string' },
    threads: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '7' },
    seconds: { type: 'string', default: '0.4' },
    tokens: { type: 'string', default: '16,128,2048,4096' },
    configurations: { type: 'string', default: Object.keys(CONFIGURATIONS).join(',') },
  },
})

/** One sequence up to 128 tokens, above that sequences of 6 to 60. */
function batchOf(tokens: number, vocabulary: number): PackedBatch {
  const random = stream(1, tokens)
  const offsets = [0]
  while (offsets.at(-1)! < tokens) {
    const length = tokens <= 128 ? tokens : 6 + random.below(55)
    offsets.push(Math.min(tokens, offsets.at(-1)! + length))
  }
  return {
    tokenIds: Int32Array.from({ length: tokens }, () => random.below(vocabulary)),
    segmentIds: new Int32Array(tokens),
    sequenceOffsets: Int32Array.from(offsets),
    labels: {},
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return (sorted[Math.floor((sorted.length - 1) / 2)] + sorted[Math.ceil((sorted.length - 1) / 2)]) / 2
}

interface Row {
  configuration: string
  tokens: number
  /** Median over rounds of a turn's mean. */
  ms: number
  p50Ms: number
  /** Processor time of a call in all threads of this process: what other work on the machine disturbs least. */
  cpuMs: number
  tokensPerSecond: number
}

async function main(): Promise<void> {
  if (!flags.model) throw new Error('--model DIR is missing: a model folder was expected')
  const threads = computeThreads(Number(flags.threads))
  const models: [string, Model][] = []
  for (const name of flags.configurations.split(',')) {
    const options = CONFIGURATIONS[name]
    if (!options)
      throw new Error(`--configurations names ${name}; ${Object.keys(CONFIGURATIONS).join(', ')} were expected`)
    models.push([name, (await loadModel(flags.model, { device: 'cpu', heads: [], ...options })).model])
  }
  const rows: Row[] = []
  for (const tokens of flags.tokens.split(',').map(Number)) {
    const batch = batchOf(tokens, models[0][1].config.encoder.vocabSize)
    const noTimes = () => Object.fromEntries(models.map(([name]): [string, number[]] => [name, []]))
    const [means, calls, processor] = [noTimes(), noTimes(), noTimes()]
    for (let round = -1; round < Number(flags.rounds); round++) {
      for (const [name, model] of models) {
        const times: number[] = []
        const used = process.cpuUsage()
        const started = performance.now()
        while (performance.now() - started < 1000 * Number(flags.seconds) || times.length < 3) {
          const before = performance.now()
          await model.embed(batch)
          times.push(performance.now() - before)
        }
        const { user, system } = process.cpuUsage(used)
        if (round < 0) continue // warms up
        processor[name].push((user + system) / 1000 / times.length)
        means[name].push(times.reduce((a, b) => a + b) / times.length)
        calls[name].push(...times)
      }
    }
    for (const [name] of models) {
      const ms = median(means[name])
      rows.push({
        configuration: name,
        tokens,
        ms,
        p50Ms: median(calls[name]),
        cpuMs: median(processor[name]),
        tokensPerSecond: (1000 * tokens) / ms,
      })
    }
  }
  for (const [, model] of models) await model.dispose()
  process.stdout.write(
    `${JSON.stringify({ model: flags.model, threads, date: new Date().toISOString(), rows }, null, 1)}\n`,
  )
}

void main()
