/**
 * A serving process under hard conditions: ended in the middle of calls in every way, in clusters and worker pools, under Node's
 * strict flags, with 10,000 calls at once, disposed while busy, aborted while queued, collected all the time. Two runs of each
 * ending; twenty with STRATABERT_LONG=1.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { packSequences } from '../lib/data/packed-batch.js'
import { StrataError } from '../lib/errors.js'
import { Encoder } from '../lib/inference/index.js'
import { counters, encoderConfig, Model } from '../lib/model/index.js'
import { writeServingFolder } from './helpers/serving-folder.js'

const LONG = process.env.STRATABERT_LONG === '1'
const RUNS = LONG ? 20 : 2
const WORKERS = LONG ? 4 : 2
const LANES = 3
/** Built by `npm test`; else the sources. */
const BUILT = process.env.STRATABERT_TEST_CLI
const LIBRARY = BUILT ? resolve(BUILT, '../..') : resolve(__dirname, '../lib')
const LEFT = '{"liveModels":0,"queuedJobs":0,"nativeBytes":0}'

interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
  told: string
}

describe('the life of a serving process', function () {
  this.timeout(LONG ? 1_800_000 : 120_000)
  let folder: string
  let wide: string
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-serving-'))
    wide = join(folder, 'wide')
    await writeServingFolder(join(folder, 'small'))
    // Batches of some milliseconds: an end falls into one.
    await writeServingFolder(wide, 128)
    folder = join(folder, 'small')
    for (const start of starts) start()
  })
  after(() => rmSync(join(folder, '..'), { recursive: true, force: true }))

  function run(
    mode: string,
    options: {
      flags?: string[]
      path?: string
      rounds?: number
      watch?: (line: string, child: ChildProcess) => void
    } = {},
  ): Promise<Ended> {
    const { flags = [], path = folder, rounds = 1, watch } = options
    const loader = BUILT ? [] : ['--import', require.resolve('tsx')]
    const script = join(__dirname, 'helpers', 'serving-child.cjs')
    const child = spawn(process.execPath, [...flags, ...loader, script, LIBRARY, mode, path, String(rounds)], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let told = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      told += text
      for (const line of text.split('\n')) watch?.(line, child)
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      told += text
    })
    const timer = setTimeout(() => child.kill('SIGKILL'), LONG ? 600_000 : 60_000)
    return new Promise((done, failed) => {
      child.on('error', failed)
      child.on('close', (code, signal) => {
        clearTimeout(timer)
        done({ code, signal, told })
      })
    })
  }

  /** Runs of all tests wait for a lane here: most of a run's time is the start of a process. */
  let running = 0
  const waiting: (() => void)[] = []
  async function inLane<Result>(work: () => Promise<Result>): Promise<Result> {
    if (running >= LANES) await new Promise<void>((free) => waiting.push(free))
    running++
    try {
      return await work()
    } finally {
      running--
      waiting.shift()?.()
    }
  }

  /** Starts a mode's runs, which must all end like this, with the suite's first test; the test waits for them. */
  function ends(
    runs: number,
    mode: string,
    expected: [number | null, NodeJS.Signals | null],
    parts: (string | RegExp)[],
    options: Omit<Parameters<typeof run>[1] & object, 'path'> & { busy?: boolean } = {},
  ): () => Promise<void> {
    let all: Promise<unknown> | undefined
    starts.push(() => {
      const once = async (): Promise<void> => {
        const { code, signal, told } = await run(mode, { ...options, path: options.busy ? wide : folder })
        assert.deepEqual([code, signal], expected, told)
        for (const part of parts) assert.match(told, typeof part === 'string' ? new RegExp(escaped(part)) : part)
      }
      all = Promise.all(Array.from({ length: runs }, () => inLane(once)))
      all.catch(() => {})
    })
    return async () => void (await all)
  }
  const starts: (() => void)[] = []
  const escaped = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')

  const terminated = (line: string, child: ChildProcess) => {
    if (line === 'running') setTimeout(() => child.kill('SIGTERM'), Math.random() * 40)
  }

  it(
    `process.exit(7) in the middle of embed and classify: code 7, ${RUNS} times`,
    ends(RUNS, 'exit', [7, null], ['running'], { busy: true }),
  )

  it(
    `an uncaught exception in the middle of calls: code 1 and its message, ${RUNS} times`,
    ends(RUNS, 'uncaught', [1, null], ['running', 'thrown on purpose'], { busy: true }),
  )

  it(
    `SIGTERM in the middle of calls: ended by SIGTERM, ${RUNS} times`,
    ends(RUNS, 'signal', [null, 'SIGTERM'], ['running'], { busy: true, watch: terminated }),
  )

  it(
    `SIGTERM with a handler that disposes: every accepted call is answered, ${LONG ? 20 : 1} times`,
    ends(LONG ? 20 : 1, 'signal-drain', [0, null], ['{"lost":0,"live":0}'], { watch: terminated }),
  )

  it(
    `worker.terminate() in the middle of calls, ${RUNS} workers: the process goes on, nothing stays alive`,
    ends(1, 'terminate', [0, null], [new RegExp(`(terminated 1\\n){${RUNS}}`), '"finite":true', LEFT], {
      busy: true,
      rounds: RUNS,
    }),
  )

  it(
    `a pool of ${WORKERS} workers answers as the main thread does`,
    ends(1, 'pool', [0, null], [`{"pool":${5 * WORKERS}}`, LEFT], { rounds: WORKERS }),
  )

  it(
    'cluster mode: a killed worker takes no other with it',
    ends(1, 'cluster', [0, null], [/"cluster":true,"exits":\["SIGKILL"(,0)+\]/], { rounds: WORKERS }),
  )

  it(
    'a second model that asks for CUDA is refused in words where there is none; another precision works beside',
    ends(
      1,
      'flavours',
      [0, null],
      [/"refused":"(StrataError DEVICE_UNAVAILABLE|loaded)","same":true,"near":true/, LEFT],
    ),
  )

  const flags = ['--frozen-intrinsics', '--disallow-code-generation-from-strings', '--disable-proto=delete']
  for (const some of LONG ? [...flags.map((flag) => [flag]), flags, ['--disable-proto=throw']] : [flags]) {
    const strict = BUILT ? ends(1, 'strict', [0, null], ['{"strict":12}', LEFT], { flags: some }) : undefined
    it(`under ${some.join(' ')}`, function () {
      // The TypeScript loader does not run under them.
      return strict ? strict() : this.skip()
    })
  }

  it(
    'collections in the middle of calls; encoders that nobody disposed give their memory back',
    ends(1, 'collected', [0, null], [LEFT], { flags: ['--expose-gc'], rounds: LONG ? 100 : 2 }),
  )

  describe('in one process', () => {
    const TEXTS = ['the cat is dancing', 'a woman', 'the city of the river', 'a man and a man and a man']
    const load = () => Encoder.load(folder, { device: 'cpu', threads: 1, maxQueueTokens: 10_000_000 })

    it('10,000 calls at once: each gets its own answer', async () => {
      await using encoder = await load()
      const alone = await Promise.all(TEXTS.map(async (text) => (await encoder.embed(text)).vectors[0]))
      const [kinds] = await Promise.all([encoder.classify(TEXTS, { task: 'tone' })])
      const calls = Array.from({ length: 10_000 }, async (_, number) => {
        const place = number % TEXTS.length
        if (number % 10 === 0) {
          const [{ label, score }] = await encoder.classify(TEXTS[place], { task: 'tone' })
          assert.equal(label, kinds[place].label)
          assert.ok(Math.abs(score - kinds[place].score) < 1e-4)
        } else {
          const [vector] = (await encoder.embed(TEXTS[place])).vectors
          assert.ok(vector.every((value, at) => Math.abs(value - alone[place][at]) < 1e-4))
        }
      })
      await Promise.all(calls)
      const { queuedCalls, queuedTokens, runningCalls, rejected, failed } = encoder.stats()
      assert.deepEqual([queuedCalls, queuedTokens, runningCalls, rejected, failed], [0, 0, 0, 0, 0])
    })

    it('disposed while busy: accepted calls are answered, later ones refused; with abort the queued ones end', async () => {
      for (const abort of [false, true]) {
        const encoder = await load()
        const calls = Array.from({ length: 400 }, (_, number) => encoder.embed(TEXTS[number % 4]))
        const outcomes = Promise.allSettled(calls)
        await delay(2)
        const gone = encoder.dispose({ abort })
        await assert.rejects(encoder.embed('a'), { name: 'StrataError', code: 'DISPOSED' })
        await assert.rejects(encoder.replace(folder), { name: 'StrataError', code: 'DISPOSED' })
        await Promise.all([gone, encoder.dispose()])
        for (const outcome of await outcomes) {
          if (outcome.status === 'fulfilled') assert.equal(outcome.value.vectors.length, 1)
          else assert.ok(abort && outcome.reason instanceof StrataError && outcome.reason.code === 'DISPOSED')
        }
        if (!abort) assert.ok((await outcomes).every(({ status }) => status === 'fulfilled'))
        assert.equal(counters().queuedJobs, 0)
      }
    })

    it('aborted while queued: those end at once, the others are answered', async () => {
      await using encoder = await load()
      const controllers = Array.from({ length: 600 }, () => new AbortController())
      const calls = controllers.map(({ signal }, number) => encoder.embed(TEXTS[number % 4], { signal }))
      const outcomes = Promise.allSettled(calls)
      controllers.forEach((controller, number) => {
        if (number % 2) controller.abort()
      })
      const settled = await outcomes
      settled.forEach((outcome, number) => {
        if (number % 2 === 0) assert.equal(outcome.status, 'fulfilled')
        else assert.equal((outcome as PromiseRejectedResult).reason.code, 'ABORTED')
      })
      const { queuedTokens, aborted } = encoder.stats()
      assert.deepEqual([queuedTokens, aborted], [0, 300])
    })

    it('40 encoders loaded, asked and disposed of, two at a time: nothing stays alive', async () => {
      const before = counters()
      const cycle = async () => {
        for (let number = 0; number < 20; number++) {
          const encoder = await load()
          await Promise.all(TEXTS.map((text) => encoder.embed(text)))
          await (number % 2 ? encoder.dispose() : encoder[Symbol.asyncDispose]())
        }
      }
      await Promise.all([cycle(), cycle()])
      const { liveModels, queuedJobs, nativeBytes } = counters()
      assert.deepEqual(
        { liveModels, queuedJobs, nativeBytes },
        { liveModels: before.liveModels, queuedJobs: 0, nativeBytes: before.nativeBytes },
      )
    })

    it('batches of ever new sizes: kept memory is bounded', async () => {
      const encoder = encoderConfig({ vocabSize: 20_000, layers: 1, hiddenSize: 8, heads: 1, maxPositions: 512 })
      const heads = [{ kind: 'masked-lm' as const, name: 'mlm', tap: { layer: 1 }, weight: 1 }]
      await using model = await Model.create({ encoder, heads }, { device: 'cpu' })
      let most = 0
      for (let length = 100; length < 340; length += 10) {
        const batch = packSequences([new Int32Array(length).fill(5)])
        // Scores of `length` places, 8 to 27 MB.
        await model.predictMasked(
          batch,
          'mlm',
          Int32Array.from({ length }, (_, at) => at),
          1,
        )
        most = Math.max(most, counters().cachedBytes ?? 0)
      }
      // One block of each size would be 420 MB, and there are several; one that serves all sizes is what the largest batch needs, twice at most.
      assert.ok(most <= 110e6, `${most} bytes kept`)
    })

    it('a queue that is full refuses in words and serves the rest', async () => {
      await using encoder = await Encoder.load(folder, { device: 'cpu', threads: 1, maxQueueTokens: 100 })
      const settled = await Promise.allSettled(
        Array.from({ length: 200 }, (_, number) => encoder.embed(TEXTS[number % 4])),
      )
      const refused = settled.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[]
      assert.ok(refused.length > 0 && refused.length < 200, `${refused.length} refused`)
      for (const { reason } of refused) assert.equal(reason.code, 'OVERLOADED')
      assert.equal((await encoder.embed(TEXTS)).vectors.length, 4)
    })
  })
})
