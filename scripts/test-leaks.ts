/**
 * Memory over a long life of serving:
 *   npm run test:leaks [-- --cycles 2000 --calls 1000000 --model DIR --json]
 * Loads an encoder, asks it and disposes of it again and again; then answers short calls on a small encoder, 64 of them open at a time.
 * Resident memory after the first tenth and at the end may differ by 5 %; no native handle stays alive. `--model` is the encoder of
 * the cycles; default all-MiniLM-L6 beside the checkout (STRATABERT_SHARED), else a small one. Linux (it reads /proc).
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { Encoder } from '../lib/inference/index.js'
import { counters } from '../lib/model/index.js'
import { writeServingFolder } from '../test/helpers/serving-folder.js'

const LARGEST_GROWTH = 0.05
const READINGS = 200
const OPEN_CALLS = 64
const TEXTS = [
  'the cat is dancing in the city',
  'a woman',
  'a man and the river',
  'in the of the a city and is the cat .',
]

interface Measured {
  what: string
  rounds: number
  /** Means of resident bytes over the second tenth and over the last. */
  earlyBytes: number
  lateBytes: number
  growth: number
  seconds: number
}

function resident(): number {
  global.gc?.()
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1]) * 1024
}

/** Runs `round` so many times and compares what is resident early and late. */
async function measured(what: string, rounds: number, round: (number: number) => Promise<void>): Promise<Measured> {
  const readings: number[] = []
  const every = Math.max(1, Math.floor(rounds / READINGS))
  const started = performance.now()
  for (let number = 0; number < rounds; number++) {
    await round(number)
    if ((number + 1) % every === 0) readings.push(resident())
  }
  const tenth = Math.max(1, Math.floor(readings.length / 10))
  const mean = (part: readonly number[]): number => part.reduce((sum, value) => sum + value, 0) / part.length
  const [earlyBytes, lateBytes] = [mean(readings.slice(tenth, 2 * tenth)), mean(readings.slice(-tenth))]
  return {
    what,
    rounds,
    earlyBytes,
    lateBytes,
    growth: lateBytes / earlyBytes - 1,
    seconds: (performance.now() - started) / 1000,
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      cycles: { type: 'string', default: '2000' },
      calls: { type: 'string', default: '1000000' },
      model: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  })
  const folder = mkdtempSync(join(tmpdir(), 'stratabert-leaks-'))
  try {
    await writeServingFolder(folder)
    const shared = process.env.STRATABERT_SHARED ?? resolve(__dirname, '../../shared/data')
    const miniLm = join(shared, 'minilm_l6')
    const model = values.model ?? (existsSync(miniLm) ? miniLm : folder)
    const cycles = await measured(
      `load, embed, dispose: ${model === folder ? 'a small encoder' : model}`,
      Number(values.cycles),
      async (number) => {
        const encoder = await Encoder.load(model, { device: 'cpu' })
        await Promise.all(TEXTS.map((text) => encoder.embed(`${text} ${number}`)))
        await encoder.dispose()
      },
    )
    const encoder = await Encoder.load(folder, { device: 'cpu', threads: 1 })
    const calls = await measured(
      'short calls on a small encoder',
      Math.ceil(Number(values.calls) / OPEN_CALLS),
      async (number) => {
        await Promise.all(
          Array.from({ length: OPEN_CALLS }, (_, place): Promise<unknown> => {
            const text = TEXTS[(number + place) % TEXTS.length]
            return place % 8 === 0 ? encoder.classify(text, { task: 'tone' }) : encoder.embed(text)
          }),
        )
      },
    )
    await encoder.dispose()
    const { liveModels, queuedJobs, nativeBytes } = counters()
    const passed =
      [cycles, calls].every(({ growth }) => growth <= LARGEST_GROWTH) &&
      liveModels === 0 &&
      queuedJobs === 0 &&
      nativeBytes === 0
    if (values.json)
      process.stdout.write(
        `${JSON.stringify({ passed, cycles, calls, liveModels, queuedJobs, nativeBytes }, null, 2)}\n`,
      )
    else {
      const megabytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MB`
      for (const { what, rounds, earlyBytes, lateBytes, growth, seconds } of [cycles, calls])
        console.log(
          `${what}: ${rounds} rounds, ${megabytes(earlyBytes)} → ${megabytes(lateBytes)}, ${(100 * growth).toFixed(2)} % (${seconds.toFixed(0)} s)`,
        )
      console.log(
        `live models ${liveModels}, queued jobs ${queuedJobs}, native bytes ${nativeBytes}: ${passed ? 'passed' : 'FAILED'}`,
      )
    }
    if (!passed) process.exitCode = 1
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

void main()
