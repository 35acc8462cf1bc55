/** Concurrent calls on one encoder: shared batches, fairness, bounds, abort, streams, hot swap, dispose. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, utimesSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import { type Embeddings, Encoder, type EncoderOptions } from '../lib/inference/index.js'
import { loadParts } from '../lib/inference/load-parts.js'
import { ServingEngine } from '../lib/inference/serving/engine.js'
import { FairQueue } from '../lib/inference/serving/fair-queue.js'
import { LatencyHistogram } from '../lib/inference/serving/latency-histogram.js'
import { MicroBatcher } from '../lib/inference/serving/micro-batcher.js'
import { Lease, ModelSlot } from '../lib/inference/serving/model-slot.js'
import type { Question, Sequence } from '../lib/inference/serving/question.js'
import { CallSession } from '../lib/inference/serving/session.js'
import { type Flow, WaitingCall } from '../lib/inference/serving/waiting-call.js'
import { warmUp } from '../lib/inference/serving/warm-up.js'
import {
  type AdapterConfig,
  computeThreads,
  counters,
  encoderConfig,
  type HeadConfig,
  Model,
  type SavedTask,
  saveModelFolder,
} from '../lib/model/index.js'
import { Tokenizer } from '../lib/text/index.js'
import { writeFormula } from './golden/golden.js'
import { servedTask, writeServingFolder } from './helpers/serving-folder.js'

const WORDS =
  'the a man woman is dancing riding horse hat hard river city of in , . ! ##s where caf\u00e9 \u6771'.split(' ')
const tokenizer = Tokenizer.fromVocabulary(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', ...WORDS])
const head = { tap: { layer: 2 }, weight: 1, dropout: 0 }
const HEADS: HeadConfig[] = [
  { ...head, kind: 'classifier', name: 'tone', classes: 3, pooler: 'own' },
  { ...head, kind: 'regressor', name: 'likeness', pooler: 'own' },
  { ...head, kind: 'span', name: 'squad' },
  { ...head, kind: 'tagger', name: 'words', classes: 3, tap: { layer: 1 } },
  { kind: 'masked-lm', name: 'mlm', tap: { layer: 1 }, weight: 1 },
]
const TASKS: SavedTask[] = [
  servedTask('tone', 'classification', { labels: ['bad', 'plain', 'good'], pair: false }),
  servedTask('likeness', 'regression'),
  servedTask('squad', 'span', { definition: { stride: 4, questionTokens: 5 } }),
  servedTask('words', 'tagging', { labels: ['O', 'NOUN', 'VERB'] }),
]

async function writeModel(
  folder: string,
  seed: number,
  heads = HEADS,
  adapters?: AdapterConfig[],
  more: { segmentTypes?: number } = {},
): Promise<void> {
  const { vocabSize } = tokenizer
  const sizes = { vocabSize, layers: 2, hiddenSize: 16, heads: 2, maxPositions: 48, initializerRange: 0.3, ...more }
  await using model = await Model.create({ encoder: encoderConfig(sizes), heads, adapters }, { device: 'cpu', seed })
  if (adapters) await writeFormula(model, (name) => name.startsWith('adapters.'))
  await saveModelFolder(model, folder, {
    tasks: TASKS.filter(({ name }) => heads.some((one) => one.name === name)),
    tokenizer: { save: async (path) => void (await tokenizer.save(path)) },
  })
}

/** The same numbers in every run (mulberry32). */
function randomNumbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let value = Math.imul(state ^ (state >>> 15), 1 | state)
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32
  }
}

function randomText(random: () => number, longest = 30): string {
  const words = 1 + Math.floor(random() ** 2 * longest)
  return Array.from({ length: words }, () => WORDS[Math.floor(random() * 17)]).join(' ')
}

type Call = (encoder: Encoder, options?: { signal?: AbortSignal }) => Promise<unknown>

/** A call of a random kind on random texts. */
function randomCall(random: () => number): Call {
  const text = randomText(random)
  const texts = Array.from({ length: Math.floor(random() * 5) }, () => randomText(random))
  const kinds: Call[] = [
    (one, options) => one.embed(text, options),
    (one, options) => one.embed(text, { normalize: true, ...options }),
    (one, options) => one.embed(texts, { pooling: 'max', layer: 1, ...options }),
    (one, options) => one.classify(text, { task: 'tone', ...options }),
    (one, options) => one.classify(texts, { task: 'tone', topK: 2, ...options }),
    (one, options) => one.score(text, { task: 'likeness', ...options }),
    (one, options) => one.tag([text, ...texts], { task: 'words', ...options }),
    (one, options) => one.answer('where is the hat', text, { task: 'squad', ...options }),
    (one, options) => one.fillMask(`${randomText(random, 9)} [MASK] .`, options),
    (one, options) => one.hiddenStates(text, { layers: [0, 2], ...options }),
    (one, options) => one.ask(text, { tasks: ['tone', 'words', 'likeness'], embed: { pooling: 'cls' }, ...options }),
    (one, options) =>
      one.answer(
        [text, `${text} ${text}`].map((context) => ({ question: 'the man', context })),
        options,
      ),
  ]
  const call = kinds[Math.floor(random() * kinds.length)]
  // The random text of a mask must be the same whenever the call is made.
  const masked = `${randomText(random, 9)} [MASK] .`
  return call === kinds[8] ? (one, options) => one.fillMask(masked, options) : call
}

/** Throws unless both have the same shape and words, and numbers that are equal to 1e-5. */
function same(a: unknown, b: unknown, path = 'result'): void {
  if (typeof a === 'number' && typeof b === 'number') {
    assert.ok(Math.abs(a - b) <= 1e-5 * Math.max(1, Math.abs(b)), `${path}: ${a} is not ${b}`)
  } else if (a !== null && typeof a === 'object' && b !== null && typeof b === 'object') {
    const [keys, others] = [Object.keys(a), Object.keys(b)]
    assert.deepEqual(keys, others, path)
    for (const key of keys) same((a as any)[key], (b as any)[key], `${path}.${key}`)
  } else assert.equal(a, b, path)
}

function isSame(a: unknown, b: unknown): boolean {
  try {
    same(a, b)
    return true
  } catch {
    return false
  }
}

/** Nothing is left of the calls, once the batch that an ended call had a part in is computed. */
async function idle(encoder: Encoder): Promise<void> {
  for (let waited = 0; encoder.stats().runningCalls > 0 && waited < 5000; waited++) await delay(1)
  const { queuedCalls, queuedTokens, runningCalls } = encoder.stats()
  assert.deepEqual({ queuedCalls, queuedTokens, runningCalls }, { queuedCalls: 0, queuedTokens: 0, runningCalls: 0 })
}

describe('serving', function () {
  this.timeout(120_000)
  let folder: string
  let first: string
  let second: string
  const load = (options: EncoderOptions = {}, path = first) => Encoder.load(path, { device: 'cpu', ...options })
  before(async () => {
    computeThreads(1)
    folder = mkdtempSync(join(tmpdir(), 'stratabert-serving-'))
    first = join(folder, 'first')
    second = join(folder, 'second')
    await writeModel(first, 3)
    await writeModel(second, 4)
    await writeModel(join(folder, 'other'), 5, [HEADS[0]])
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  describe('queue', () => {
    const slot = new ModelSlot({ model: { answer: async (_: unknown, asked: unknown[]) => asked } } as any)
    const question = (read: Question<number>['read'], adapter?: string): Question<number> => ({
      key: 'lengths',
      adapter,
      depth: 0,
      ask: () => ({ kind: 'states', layers: Int32Array.of(0) }),
      read,
    })
    const work = question((_, sequences) => sequences.map(() => 0))
    const sequence = (length: number): Sequence => ({
      tokenIds: new Int32Array(length),
      segmentIds: new Int32Array(length),
    })
    const call = (lengths: number[], asked: Question<unknown> = work, flow = { tag: 0 }): WaitingCall =>
      new WaitingCall([asked], lengths.map(sequence), new Lease(slot), flow, { resolve() {}, reject() {} })
    const limits = { maxBatchTokens: 64, patienceTokens: 0 }
    const taken = (queue: FairQueue, more = limits) =>
      queue.take(more)?.slices.map(({ call: { number }, tokens }) => [number, tokens])

    it('a bulk call enters in slices; a short one that comes later overtakes it, and both go on', () => {
      const queue = new FairQueue(64)
      const bulk = call(new Array(100).fill(8))
      queue.add(bulk)
      assert.deepEqual(taken(queue), new Array(4).fill([bulk.number, 16]))
      const short = [call([3]), call([4])]
      for (const one of short) queue.add(one)
      // 16 tokens would hold the short ones up: they come next, by themselves.
      assert.deepEqual(taken(queue), [
        [short[0].number, 3],
        [short[1].number, 4],
      ])
      let batches = 0
      for (; bulk.waits && batches < 100; batches++) {
        queue.add(call([8]))
        taken(queue)
      }
      // 736 tokens of the bulk, a slice or two a turn beside a short call each.
      assert.ok(batches >= 12 && batches <= 48, `${batches}`)
    })

    it('beside others a bulk call’s own batches are one slice long, alone they are full again', () => {
      const queue = new FairQueue(64)
      const bulk = call(new Array(200).fill(8))
      queue.add(bulk)
      assert.equal(taken(queue)!.length, 4)
      queue.add(call([3]))
      assert.equal(taken(queue)![0][1], 3)
      const lengths = Array.from({ length: 20 }, () => taken(queue)!.length)
      assert.deepEqual(lengths, [...new Array(15).fill(1), ...new Array(5).fill(4)])
    })

    it('much longer texts come in a batch of their own unless they take little time', () => {
      const queue = new FairQueue(1024)
      const calls = [call([200]), call([10]), call([12]), call([39])]
      const tokens = (patienceTokens: number): number[][] => {
        for (const one of calls) queue.add(call(one.sequences.map(({ tokenIds }) => tokenIds.length)))
        const batches: number[][] = []
        for (;;) {
          const batch = queue.take({ maxBatchTokens: 1024, patienceTokens })
          if (!batch) return batches
          batches.push(batch.slices.map((slice) => slice.tokens))
        }
      }
      assert.deepEqual(tokens(0), [[10, 12, 39], [200]])
      assert.deepEqual(tokens(300), [[10, 12, 39, 200]])
    })

    it('lanes take turns, closed calls are skipped and swept', () => {
      const queue = new FairQueue(64)
      const other = question(() => [], 'other')
      const calls = [call([8, 8]), call([9], other), call([7])]
      for (const one of calls) queue.add(one)
      assert.deepEqual(taken(queue), [
        [calls[2].number, 7],
        [calls[0].number, 16],
      ])
      const many = Array.from({ length: 500 }, () => call([3]))
      for (const one of many) queue.add(one)
      for (const one of many.slice(1)) {
        one.closed = true
        queue.closed(one)
      }
      assert.deepEqual(taken(queue), [[calls[1].number, 9]])
      assert.deepEqual(taken(queue), [[many[0].number, 3]])
      assert.equal(taken(queue), undefined)
    })

    it('a long list that is refused is not tokenised, not even in part', async () => {
      const batcher = new MicroBatcher({ maxBatchTokens: 64, maxQueueTokens: 400, maxWaitMs: 2, batchesAhead: 0 })
      let tokenised = 0
      const counted = new Proxy(tokenizer, {
        get: (target, key) => {
          if (String(key).startsWith('encode')) tokenised++
          const value = (target as any)[key]
          return typeof value === 'function' ? value.bind(target) : value
        },
      })
      const lease = { slot: { parts: { tokenizer: counted } } } as unknown as Lease
      const texts = new Array(3000).fill('the man')
      const embed = (flow: Flow): Promise<unknown> =>
        new CallSession(batcher, lease, flow, false).inBlocks(
          texts,
          ({ length }) => length,
          (session, block) => session.encode(block as string[]),
        )
      batcher.reserve(400, { tag: 0 })
      await assert.rejects(embed({ tag: 1 }), { code: 'OVERLOADED' })
      await delay(20)
      assert.equal(tokenised, 0)
    })

    it('bulk callers take half of the room, in turn, and go on beside a queue full of single calls', async () => {
      const batcher = new MicroBatcher({ maxBatchTokens: 64, maxQueueTokens: 400, maxWaitMs: 2, batchesAhead: 0 })
      const [bulk, single] = [{ tag: 0, bulk: true }, { tag: 0 }]
      const admitted: number[] = []
      const wait = async (tokens: number, wanted = true): Promise<void> => {
        if (await batcher.reserveWhenFree(tokens, bulk, () => wanted)) admitted.push(tokens)
      }
      const taken = async (): Promise<number[]> => {
        await turn()
        return admitted.splice(0).sort((a, b) => a - b)
      }
      for (const tokens of [30, 31, 32, 33, 34, 35, 36, 150, 37]) void wait(tokens, tokens !== 36)
      assert.deepEqual(await taken(), [30, 31, 32, 33, 34, 35])
      for (let call = 0; call < 20; call++) batcher.reserve(10, single)
      assert.throws(() => batcher.reserve(10, single), { code: 'OVERLOADED' })
      // What is no longer wanted is passed over; what is larger than a batch waits until it is alone, and is not overtaken.
      for (const tokens of [30, 31, 32, 33, 34]) batcher.release(tokens, bulk)
      assert.deepEqual(await taken(), [])
      batcher.release(35, bulk)
      assert.deepEqual(await taken(), [150])
      batcher.release(150, bulk)
      for (const tokens of [20, 20]) void wait(tokens)
      assert.deepEqual(await taken(), [20, 37])
      for (let call = 0; call < 20; call++) batcher.release(10, single)
      assert.deepEqual(await taken(), [20])
      for (const tokens of [37, 20, 20]) batcher.release(tokens, bulk)
      assert.equal(batcher.figures().queuedTokens, 0)
    })

    it('a batch that fails is tried call by call: nobody fails for a neighbour', async () => {
      const fails = question((_, sequences) => {
        if (sequences.some(({ tokenIds }) => tokenIds.length === 3)) throw new Error('too much')
        return sequences.map(({ tokenIds }) => tokenIds.length)
      })
      const batcher = new MicroBatcher({ maxBatchTokens: 64, maxQueueTokens: 1000, maxWaitMs: 2, batchesAhead: 0 })
      const results = await Promise.allSettled(
        [2, 3, 4].map((length) =>
          batcher.compute([fails], [sequence(length)], { lease: new Lease(slot), flow: { tag: 0 }, onQueued() {} }),
        ),
      )
      assert.deepEqual(
        results.map((result) => (result.status === 'fulfilled' ? result.value[0][0] : result.reason.message)),
        [2, 'too much', 4],
      )
      assert.deepEqual([batcher.figures().queuedTokens, batcher.figures().runningCalls], [0, 0])
    })
  })

  it('a waiting call moves only to the same words, heads and tasks', async () => {
    const parts = (name: string, part: object = {}) => {
      const model = { config: { heads: [] }, answer: async () => [name], dispose: async () => {} }
      return { model, tokenizer: { fingerprint: 'words' }, tasks: [{ name: 'tone' }], ...part } as any
    }
    const question: Question<string> = {
      key: 'name',
      adapter: undefined,
      depth: 0,
      ask: () => ({ kind: 'states', layers: Int32Array.of(0) }),
      read: (name, sequences) => sequences.map(() => String(name)),
    }
    const sequence = { tokenIds: new Int32Array(3), segmentIds: new Int32Array(3) }
    const { model } = parts('second')
    for (const [part, expected] of [
      [{}, 'second'],
      [{ tokenizer: { fingerprint: 'others' } }, 'first'],
      [{ tasks: [{ name: 'tone', labels: ['b', 'a'] }] }, 'first'],
      [{ model: { ...model, config: { heads: [HEADS[0]] } } }, 'first'],
    ] as const) {
      const engine = new ServingEngine(parts('first'), {
        maxBatchTokens: 64,
        maxQueueTokens: 1000,
        maxWaitMs: 2,
        batchesAhead: 0,
      })
      const waiting = engine.serve((session) => session.compute([question], [sequence]), undefined)
      engine.replace(parts('second', part))
      assert.deepEqual(await waiting, [[expected]])
      await engine.dispose()
    }
  })

  it('latency percentiles in fixed memory, of the last minutes', () => {
    let now = 0
    const histogram = new LatencyHistogram(() => now)
    assert.deepEqual(histogram.percentiles([0.5, 0.99]), [0, 0])
    for (let value = 1; value <= 1000; value++) histogram.add(value)
    for (const [share, expected] of [
      [0.5, 500],
      [0.9, 900],
      [0.99, 990],
    ]) {
      const [found] = histogram.percentiles([share])
      assert.ok(Math.abs(found / expected - 1) < 0.026, `${share}: ${found}`)
    }
    now += 90_000
    histogram.add(7)
    assert.ok(histogram.percentiles([0.5])[0] > 400)
    now += 60_000
    assert.ok(Math.abs(histogram.percentiles([0.99])[0] / 7 - 1) < 0.026)
    now += 300_000
    assert.deepEqual(histogram.percentiles([0.5]), [0])
  })

  it('500 calls of all kinds at once answer as each does alone; every call keeps its own result', async () => {
    await using encoder = await load({ maxBatchTokens: 256 })
    const random = randomNumbers(1)
    const calls = Array.from({ length: 500 }, () => randomCall(random))
    const alone: unknown[] = []
    for (const call of calls) alone.push(await call(encoder))
    const before = encoder.stats()
    const together = await Promise.all(
      calls.map(async (call, index) => {
        if (index % 7 === 0) await delay(random() * 20)
        return call(encoder)
      }),
    )
    together.forEach((result, index) => {
      same(result, alone[index], `call ${index}`)
    })
    const after = encoder.stats()
    assert.equal(after.completed - before.completed, 500)
    assert.ok(after.mixedBatches > before.mixedBatches + 10, `${after.mixedBatches} mixed batches`)
    assert.ok(after.batches - before.batches < 200, `${after.batches - before.batches} batches for 500 calls`)
    assert.ok(after.meanBatchTokens <= 256 && after.latencyMs.p50 > 0 && after.latencyMs.p50 <= after.latencyMs.p99)
    assert.ok(after.tokensPerSecond > 0 && after.nativeBytes > 0)
    await idle(encoder)
  })

  it('a call’s vectors are views, and share no memory with another call’s', async () => {
    await using encoder = await load()
    const [a, b] = await Promise.all([encoder.embed(['hat', 'the man']), encoder.embed(['city', 'a woman'])])
    assert.equal(encoder.stats().batches, 1)
    assert.equal(a.vectors[0].buffer, a.vectors[1].buffer)
    assert.notEqual(a.vectors[0].buffer, b.vectors[0].buffer)
    assert.equal(a.vectors[0].buffer.byteLength, 2 * 16 * 4)
    // Handed over one by one, as to another thread.
    const texts = ['hat', 'the man', 'city']
    const expected = (await encoder.embed(texts)).vectors
    for await (const vector of encoder.embed(toStream(texts))) {
      same(vector, expected.shift())
      structuredClone(vector, { transfer: [vector.buffer as ArrayBuffer] })
    }
    for await (const { states } of encoder.hiddenStates(toStream(texts), { layers: [0, 2] }))
      assert.equal(states[0].buffer.byteLength, 2 * 4 * states[0].length)
  })

  it('what comes in one turn is one batch; what comes meanwhile is the next', async () => {
    await using encoder = await load()
    const calls = (count: number) => Array.from({ length: count }, () => encoder.embed('the man'))
    const early = calls(20)
    // The model has begun by now; whether it is still at it does not matter.
    await turn()
    await turn()
    const late = calls(30)
    await Promise.all([...early, ...late])
    assert.equal(encoder.stats().batches, 2)
  })

  it('abort storms: an aborted call ends at once, the others are right, the queue is empty after', async () => {
    await using encoder = await load({ maxBatchTokens: 64 })
    const random = randomNumbers(2)
    const calls = Array.from({ length: 300 }, () => randomCall(random))
    const alone: unknown[] = []
    for (const call of calls) alone.push(await call(encoder))
    let aborted = 0
    await Promise.all(
      calls.map(async (call, index) => {
        const controller = new AbortController()
        const answer = call(encoder, { signal: controller.signal })
        if (index % 2 === 0) return same(await answer, alone[index], `call ${index}`)
        await delay(random() * 15)
        controller.abort(new Error('the client has gone'))
        // The rejection is there before the event loop turns: nothing is waited for.
        const settled = await Promise.race([answer.catch((error) => error), turn('waits')])
        if (settled instanceof Error) {
          assert.equal((settled as any).code, 'ABORTED')
          assert.match(String((settled as any).cause), /the client has gone/)
          aborted++
        } else same(settled, alone[index], `call ${index}`)
      }),
    )
    assert.equal(encoder.stats().aborted, aborted)
    assert.ok(aborted > 20, `${aborted} were aborted in time`)
    await idle(encoder)
  })

  it('one signal for many calls: all end, and Node sees one listener', async () => {
    await using encoder = await load()
    const controller = new AbortController()
    const warnings: Error[] = []
    const onWarning = (warning: Error): number => warnings.push(warning)
    process.on('warning', onWarning)
    const calls = Array.from({ length: 50 }, () => encoder.embed('hat', { signal: controller.signal }))
    controller.abort()
    for (const result of await Promise.allSettled(calls)) assert.equal((result as any).reason?.code, 'ABORTED')
    await turn()
    process.off('warning', onWarning)
    assert.deepEqual(warnings, [])
    await idle(encoder)
  })

  it('a full queue refuses with numbers and takes calls again when there is room', async () => {
    await using encoder = await load({ maxQueueTokens: 100 })
    const results = await Promise.allSettled(Array.from({ length: 60 }, () => encoder.embed('the man is riding')))
    const refused = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []))
    const [one] = await encoder.embed('the man is riding').then(({ vectors }) => vectors)
    for (const result of results) if (result.status === 'fulfilled') same(result.value.vectors[0], one)
    assert.ok(refused.length >= 20 && refused.length < 60, `${refused.length} of 60 were refused`)
    for (const { code, details } of refused) {
      assert.equal(code, 'OVERLOADED')
      assert.equal(details.maxQueueTokens, 100)
      assert.ok(details.queuedTokens + details.tokens > 100)
    }
    assert.equal(encoder.stats().rejected, refused.length)
    // More than the queue by itself: taken when it is empty.
    const long = await encoder.embed(new Array(200).fill('the man is riding'))
    same(long.vectors[199], one)
    await idle(encoder)
  })

  it('a long list is read in blocks, and single calls come between them', async () => {
    await using encoder = await load({ maxBatchTokens: 128, maxQueueTokens: 20_000 })
    const random = randomNumbers(3)
    const texts = Array.from({ length: 2500 }, () => randomText(random, 6))
    let finished = false
    const bulk = encoder.embed(texts).then((result) => {
      finished = true
      return result
    })
    let singles = 0
    while (!finished) {
      await encoder.classify('hat', { task: 'tone' })
      singles++
    }
    const { vectors, truncated, tokenCount } = await bulk
    assert.deepEqual([vectors.length, truncated, tokenCount > 5000], [2500, [], true])
    assert.ok(singles > 10, `${singles} single calls while the list was computed`)
    for (const index of [0, 1023, 1024, 2047, 2048, 2499])
      same(vectors[index], (await encoder.embed(texts[index])).vectors[0])
    await assert.rejects(encoder.embed([...texts.slice(0, 1500), 'the man '.repeat(60)], { truncate: false }), {
      code: 'BAD_ARGUMENT',
      message: /texts\[1500\] has more than 48 tokens/,
    })
    await idle(encoder)
  })

  it('a stream and a long list leave room for single calls', async () => {
    await using encoder = await load({ maxBatchTokens: 64, maxQueueTokens: 400 })
    // The first text is a block by itself.
    const list = ['the man '.repeat(1 << 15), ...new Array(100).fill('the man is riding')]
    const bulk = [encoder.embed(list), count(encoder.embed(toStream(new Array(60).fill('the man '.repeat(15)))))]
    let open = bulk.length
    for (const one of bulk as Promise<unknown>[]) void one.finally(() => open--)
    let singles = 0
    for (; open > 0; singles++) {
      await encoder.embed('hat')
      assert.ok(encoder.stats().queuedTokens <= 400)
    }
    assert.ok(singles > 20, `${singles} single calls beside them`)
    assert.equal(((await bulk[0]) as Embeddings).vectors.length, 101)
    assert.equal(await bulk[1], 60)
    await idle(encoder)
  })

  describe('streams', () => {
    it('answer in order, look ahead within bounds, and close the source when the reader leaves', async () => {
      await using encoder = await load()
      let pulled = 0
      let closed = false
      async function* source() {
        try {
          for (;;) yield WORDS[pulled++ % 17]
        } finally {
          closed = true
        }
      }
      const expected = (await encoder.embed(WORDS.slice(0, 17))).vectors
      let seen = 0
      for await (const vector of encoder.embed(source())) {
        same(vector, expected[seen % 17])
        assert.ok(pulled - seen <= 257, `${pulled} were pulled at ${seen}`)
        if (++seen === 700) break
      }
      assert.ok(closed)
      await turn()
      await idle(encoder)
      const classes = []
      for await (const { label } of encoder.classify(toStream(['hat', 'the man']), { task: 'tone' }))
        classes.push(label)
      const listed = await encoder.classify(['hat', 'the man'], { task: 'tone' })
      assert.deepEqual(
        classes,
        listed.map(({ label }) => label),
      )
      for await (const words of encoder.tag(toStream([['hat', 'man']]), { task: 'words' }))
        assert.equal(words.length, 2)
    })

    it('a slow source gets each answer before it gives the next text', async () => {
      await using encoder = await load()
      const answered: string[] = []
      async function* source() {
        for (const text of ['hat', 'city', 'river']) {
          yield text
          while (answered.length === 0 || answered.at(-1) !== text) await delay(1)
        }
      }
      const texts = ['hat', 'city', 'river']
      for await (const _ of encoder.embed(source())) answered.push(texts[answered.length])
      assert.deepEqual(answered, texts)
    })

    it('a signal and dispose are heard while the source is silent', async () => {
      async function* silent() {
        yield 'hat'
        await new Promise(() => {})
      }
      for (const [end, expected] of [
        [({ controller }) => controller.abort(new Error('too late')), [1, 'ABORTED', 'too late']],
        [({ encoder }) => encoder.dispose(), [1, 'DISPOSED', undefined]],
        [({ encoder }) => encoder.dispose({ abort: true }), [1, 'DISPOSED', undefined]],
      ] as [(given: { controller: AbortController; encoder: Encoder }) => unknown, unknown[]][]) {
        await using encoder = await load()
        const controller = new AbortController()
        const read = async (): Promise<unknown[]> => {
          let count = 0
          try {
            for await (const _ of encoder.embed(silent(), { signal: controller.signal })) count++
            return [count]
          } catch (error: any) {
            return [count, error.code, error.cause?.message]
          }
        }
        const reading = read()
        while (encoder.stats().completed === 0) await turn()
        await turn()
        await end({ controller, encoder })
        assert.deepEqual(await Promise.race([reading, delay(2000, 'still waits')]), expected)
      }
    })

    it('errors come in their turn: of the source, of a text, of the signal', async () => {
      await using encoder = await load()
      const read = async (texts: AsyncIterable<string>, signal?: AbortSignal): Promise<[number, any]> => {
        let count = 0
        try {
          for await (const _ of encoder.embed(texts, { signal })) count++
        } catch (error) {
          return [count, error]
        }
        return [count, undefined]
      }
      async function* broken() {
        yield 'hat'
        yield 'city'
        throw new Error('the disk is gone')
      }
      // Not even a promise: the loop that pulls must not go round for ever.
      const thrown = {
        [Symbol.asyncIterator]: () => ({
          next: () => {
            throw new Error('no disk')
          },
        }),
      }
      assert.deepEqual(
        (await read(thrown as any)).map((one) => one?.message ?? one),
        [0, 'no disk'],
      )
      const [before, error] = await read(broken())
      assert.deepEqual([before, error.message], [2, 'the disk is gone'])
      const [good, wrong] = await read(toStream(['hat', 'city', 7 as any, 'man']))
      assert.deepEqual([good, wrong.code], [2, 'BAD_ARGUMENT'])
      assert.match(wrong.message, /^texts\[2\] came as number/)
      assert.deepEqual((await read(toStream(['hat']), AbortSignal.abort()))[1].code, 'ABORTED')
      const controller = new AbortController()
      async function* endless() {
        for (let count = 0; ; count++) {
          if (count === 300) controller.abort()
          yield 'hat'
        }
      }
      assert.equal((await read(endless(), controller.signal))[1].code, 'ABORTED')
      await idle(encoder)
    })
  })

  it('blocks of a long question take room for all its tasks at once, and do not wait for each other', async () => {
    await using encoder = await load({ maxQueueTokens: 2000 })
    const texts = Array.from({ length: 4100 }, (_, index) => ['hat', 'city', 'river'][index % 3])
    const { classes, tags } = await encoder.ask(texts, { tasks: ['tone', 'likeness', 'words'] })
    assert.deepEqual([classes.tone.length, classes.likeness.length, tags.words.length], [4100, 4100, 4100])
    same(classes.tone.slice(-3), await encoder.classify(texts.slice(-3), { task: 'tone' }))
    await idle(encoder)
  })

  it('several tasks and vectors in one question: as each alone, heads of one sequence in one pass', async () => {
    await using encoder = await load()
    const texts = ['the man is riding a horse .', 'hat', 'a woman in the city']
    const options = { tasks: ['tone', 'likeness', 'words'], topK: 2 }
    const before = encoder.stats().batches
    const asked = await encoder.ask(texts, options)
    assert.equal(encoder.stats().batches - before, 1)
    same(asked.classes.tone, await encoder.classify(texts, { task: 'tone', topK: 2 }))
    same(asked.classes.likeness, await encoder.classify(texts, { task: 'likeness' }))
    same(asked.tags.words, await encoder.tag(texts, { task: 'words' }))
    const { embeddings } = await encoder.ask(texts, { tasks: ['tone'], embed: { normalize: true } })
    same(embeddings, await encoder.embed(texts, { normalize: true }))
    await assert.rejects(encoder.ask(texts, { tasks: [] }), { code: 'BAD_ARGUMENT' })
    await assert.rejects(encoder.ask(texts, { tasks: ['squad'] }), { code: 'UNSUPPORTED', message: /ask needs a head/ })
    await assert.rejects(encoder.ask([['a', 'b']], { tasks: ['likeness', 'words'] }), {
      code: 'BAD_ARGUMENT',
      message: /texts\[0\] came as a pair, expected a string: task words/,
    })
  })

  it('a text that is cut is told by its place in the whole list, also behind the first block', async () => {
    await using encoder = await load()
    const texts = [...new Array(1030).fill('hat'), 'the man '.repeat(30)]
    const { embeddings } = await encoder.ask(texts, { tasks: ['tone'], embed: {} })
    assert.deepEqual([embeddings!.truncated, embeddings!.vectors.length], [[1030], 1031])
    assert.deepEqual((await encoder.embed(texts)).truncated, [1030])
  })

  it('states of every token, whose mean is the vector', async () => {
    await using encoder = await load()
    const [{ tokens, tokenIds, states }] = await encoder.hiddenStates('the man', { layers: [2, 0] })
    assert.deepEqual(tokens, ['[CLS]', 'the', 'man', '[SEP]'])
    assert.deepEqual([tokenIds.length, states.map(({ length }) => length)], [4, [64, 64]])
    for (const [layer, values] of [
      [2, states[0]],
      [0, states[1]],
    ] as const) {
      const mean = Array.from({ length: 16 }, (_, unit) => {
        return [0, 1, 2, 3].reduce((sum, token) => sum + values[token * 16 + unit] / 4, 0)
      })
      same([...(await encoder.embed('the man', { layer })).vectors[0]], mean)
    }
    await assert.rejects(encoder.hiddenStates('hat', { layers: [3] }), { code: 'BAD_ARGUMENT', message: /0 … 2/ })
  })

  it('texts through different adapters at once: each through its own', async () => {
    const path = join(folder, 'adapters')
    const adapters: AdapterConfig[] = ['left', 'right'].map((name) => ({ name, kind: 'houlsby', size: 4 }))
    await writeModel(path, 3, [HEADS[0]], adapters)
    await using encoder = await load({}, path)
    const names = [undefined, 'left', 'right']
    const call = (index: number) => encoder.embed('the man is riding', { adapter: names[index % 3] })
    const alone = [await call(0), await call(1), await call(2)]
    const together = await Promise.all(Array.from({ length: 30 }, (_, index) => call(index)))
    together.forEach((result, index) => {
      same(result, alone[index % 3])
    })
    assert.ok(!isSame(alone[0], alone[1]) && !isSame(alone[1], alone[2]))
    const [{ states }] = await encoder.hiddenStates('the man is riding', { layers: [2], adapter: 'right' })
    const mean = Array.from({ length: 16 }, (_, unit) => {
      return [0, 1, 2, 3, 4, 5].reduce((sum, token) => sum + states[0][token * 16 + unit] / 6, 0)
    })
    same([...alone[2].vectors[0]], mean)
    await assert.rejects(encoder.embed('hat', { adapter: 'up' }), { code: 'BAD_ARGUMENT', message: /left, right/ })
  })

  it('hot swap under load: no call fails, each is answered by one model, later ones by the new', async () => {
    await using encoder = await load({ maxBatchTokens: 64 })
    await using old = await load()
    await using new_ = await load({}, second)
    const random = randomNumbers(4)
    const calls = Array.from({ length: 200 }, () => randomCall(random))
    let swapped: Promise<void> | undefined
    const answers = calls.map(async (call, index) => {
      await delay(index / 4)
      if (index === 60) swapped = encoder.replace(second)
      return call(encoder)
    })
    const results = await Promise.all(answers)
    await swapped
    let ofNew = 0
    for (const [index, call] of calls.entries()) {
      const matches = [await call(old), await call(new_)].map((expected) => isSame(results[index], expected))
      assert.ok(matches.includes(true), `call ${index} is neither model’s`)
      if (matches[1]) ofNew++
    }
    same(await encoder.embed('hat'), await new_.embed('hat'))
    assert.ok(ofNew > 0, `${ofNew}`)
    assert.equal(encoder.stats().replaced, 1)
    assert.equal(encoder.stats().failed, 0)
    // The old model's memory is given back.
    await turn()
    assert.equal(counters().liveModels, 3)
    await assert.rejects(encoder.replace(join(folder, 'none')), { code: 'NOT_FOUND' })
    same(await encoder.embed('hat'), await new_.embed('hat'))
    await idle(encoder)
  })

  it('a folder that changes while it is loaded is refused, and the old model stays', async () => {
    await using encoder = await load()
    const before = await encoder.embed('hat')
    let loading = true
    const done = encoder.replace(second).finally(() => {
      loading = false
    })
    const touched = assert.rejects(done, { code: 'BAD_CHECKPOINT', message: /was changed while it was loaded/ })
    for (let seconds = 1e9; loading; seconds++) {
      utimesSync(join(second, 'stratabert.json'), seconds, seconds)
      await turn()
    }
    await touched
    same(await encoder.embed('hat'), before)
    await encoder.replace(second)
  })

  it('waiting calls move to a model that answers alike, and stay where it does not', async () => {
    for (const [path, moves] of [
      [second, true],
      [join(folder, 'other'), false],
    ] as const) {
      await using encoder = await load({ maxBatchTokens: 16 })
      await using old = await load()
      const texts = Array.from({ length: 40 }, (_, index) => WORDS[index % 17])
      let answered = 0
      let before = 0
      // Busy for as long as the new model takes to load.
      let calls: Promise<unknown>[] = []
      const keep = (): void => {
        calls = texts.map((text) => encoder.tag(text, { task: 'words' }).finally(() => answered++))
      }
      keep()
      const swap = encoder.replace(path).then(() => {
        before = answered
      })
      while (before === 0 && answered < 100_000) {
        await Promise.race([swap, Promise.all(calls)])
        if (before === 0) keep()
      }
      const results = await Promise.all(calls)
      await swap
      const expected = await Promise.all(texts.map((text) => old.tag(text, { task: 'words' })))
      const ofOld = results.filter((result, index) => isSame(result, expected[index])).length
      if (!moves) assert.equal(ofOld, 40)
      await idle(encoder)
    }
  })

  it('dispose lets accepted calls end, with abort only what has begun; models and queue are gone after', async () => {
    const live = counters().liveModels
    for (const abort of [false, true]) {
      const encoder = await load({ maxBatchTokens: 32 })
      const random = randomNumbers(5)
      const calls = Array.from({ length: 120 }, () => randomCall(random)(encoder))
      await turn()
      await turn()
      const disposed = encoder.dispose({ abort })
      await assert.rejects(encoder.embed('hat'), { code: 'DISPOSED' })
      await assert.rejects(encoder.replace(second), { code: 'DISPOSED' })
      const results = await Promise.allSettled(calls)
      await Promise.all([disposed, encoder.dispose()])
      const codes = results.map((result) => (result.status === 'fulfilled' ? 'answered' : result.reason.code))
      if (abort) assert.ok(codes.includes('DISPOSED'))
      else assert.deepEqual(new Set(codes), new Set(['answered']))
      assert.ok(codes.every((code) => code === 'answered' || code === 'DISPOSED'))
      await idle(encoder)
    }
    assert.equal(counters().liveModels, live)
  })

  it('dispose waits for a replacement that is under way, and gives its model back', async () => {
    const live = counters().liveModels
    for (const turns of [0, 3, 9]) {
      const encoder = await load()
      const replaced = encoder.replace(second).catch(({ code }) => code)
      for (let count = 0; count < turns; count++) await turn()
      await encoder.dispose()
      assert.equal(counters().liveModels, live)
      assert.ok(['DISPOSED', undefined].includes(await replaced))
    }
  })

  it('a call that was aborted is no running one, whatever is still computed of it', async () => {
    await using encoder = await load()
    const controller = new AbortController()
    const texts = new Array(900).fill('the man '.repeat(20))
    const aborted = assert.rejects(encoder.embed(texts, { signal: controller.signal }), { code: 'ABORTED' })
    while (encoder.stats().runningCalls === 0) await turn()
    controller.abort()
    const waiting = ['hat', 'city', 'river'].map((text) => encoder.embed(text))
    const { runningCalls, queuedCalls } = encoder.stats()
    assert.deepEqual([runningCalls, queuedCalls], [0, 3])
    await Promise.all([aborted, ...waiting])
    await idle(encoder)
  })

  it('pairs: an answer module and a ranker are warmed up, swapped in and asked together', async () => {
    const path = join(folder, 'pairs')
    const heads: HeadConfig[] = [
      { ...head, kind: 'san', name: 'nli', classes: 2, steps: 3, predictionDropout: 0 },
      { ...head, kind: 'ranker', name: 'search', pooler: 'none' },
    ]
    await writeModel(path, 6, heads)
    await using encoder = await load({ warmUp: true }, path)
    const pairs: [string, string][] = [
      ['where is the hat', 'the man in a hat'],
      ['where', 'a river'],
    ]
    const { classes } = await encoder.ask(pairs, { tasks: ['nli', 'search'] })
    same(classes.nli, await encoder.classify(pairs, { task: 'nli' }))
    same(classes.search, await encoder.classify(pairs, { task: 'search' }))
    await encoder.replace(path)
    same(
      await encoder.score(pairs, { task: 'search' }),
      classes.search.map(({ score }) => ({ score, truncated: false })),
    )
  })

  it('warming up asks every head through the adapters of its tasks, every adapter and every mix', async () => {
    const path = join(folder, 'all-heads')
    await writeServingFolder(path)
    const parts = await loadParts(path, { device: 'cpu' })
    await using model = parts.model
    const asked: string[] = []
    const answer = (batch: { adapter?: string }, questions: { kind: string; head?: string }[]) => {
      for (const { kind, head } of questions) asked.push([kind, head, batch.adapter].filter(Boolean).join(' '))
      return model.answer(batch as any, questions as any)
    }
    const watched = new Proxy(model, {
      get: (target, key) => {
        const value = (target as any)[key]
        return key === 'answer' ? answer : typeof value === 'function' ? value.bind(target) : value
      },
    })
    await warmUp({ ...parts, model: watched }, 64)
    const heads = ['likeness', 'rank', 'squad', 'words', 'tree'].map((name) => `scores ${name}`)
    assert.deepEqual(asked, ['masks mlm', 'scores tone tone', ...heads, 'vectors tone', 'states'])
  })

  it('an encoder with one kind of segments is warmed up and swapped in', async () => {
    const path = join(folder, 'one-segment')
    const heads: HeadConfig[] = [
      HEADS[0],
      { ...head, kind: 'san', name: 'nli', classes: 2, steps: 3, predictionDropout: 0 },
    ]
    await writeModel(path, 6, heads, undefined, { segmentTypes: 1 })
    await using encoder = await load({ warmUp: true }, path)
    await encoder.replace(path)
    assert.equal((await encoder.classify('hat', { task: 'tone' })).length, 1)
  })

  it('a swap without options keeps those that it was loaded with, also where they are undefined', async () => {
    await using encoder = await load({ precision: 'bf16' })
    const { vectors } = await encoder.embed('the man is riding')
    await encoder.replace(first, { precision: undefined, device: undefined })
    assert.deepEqual((await encoder.embed('the man is riding')).vectors, vectors)
    await encoder.replace(first, { precision: 'fp32' })
    assert.notDeepEqual((await encoder.embed('the man is riding')).vectors, vectors)
  })

  it('a refused name is shown short and without what steers a terminal', async () => {
    await using encoder = await load()
    const name = `\x1b[2J${'x'.repeat(1e6)}` as any
    const asked = [
      encoder.classify('hat', { task: name }),
      encoder.fillMask('a [MASK]', { head: name }),
      encoder.fillMask('a [MASK]', { layer: name }),
      encoder.embed('hat', { layer: `mix:${name}` }),
      encoder.hiddenStates('hat', { layers: [name] }),
      encoder.ask('hat', { tasks: name }),
    ]
    for (const [index, result] of (await Promise.allSettled(asked)).entries()) {
      const { code, message } = (result as PromiseRejectedResult).reason
      assert.match(code, /^(BAD_ARGUMENT|UNSUPPORTED)$/, String(index))
      assert.ok(message.length < 400 && !message.includes('\x1b'), `${index}: ${message.slice(0, 200)}`)
    }
  })

  it('refuses folders of adapters that are no list of names', async () => {
    for (const adapterFolders of [5, [5], 'rte-adapter', null] as any[])
      await assert.rejects(load({ adapterFolders }), { code: 'BAD_ARGUMENT', message: /^adapterFolders came as / })
  })

  it('refuses options that cannot be', async () => {
    for (const options of [{ maxQueueTokens: 0 }, { maxBatchTokens: 1.5 }, { maxWaitMs: -1 }])
      await assert.rejects(load(options), { code: 'BAD_ARGUMENT', message: new RegExp(Object.keys(options)[0]) })
    await using encoder = await load({ warmUp: true, maxWaitMs: 0 })
    assert.equal((await encoder.embed('hat')).tokenCount, 3)
    await assert.rejects(encoder.embed('hat', { adapter: 'none' }), { code: 'BAD_ARGUMENT', message: /has none/ })
    // Of programs without types.
    const untyped = encoder as any
    for (const [asked, message] of [
      [load({ warmup: true } as any), /^"warmup" came among the options, expected .*warmUp; did you mean warmUp\?$/],
      [untyped.embed('hat', { layr: 1 }), /"layr" .*; did you mean layer\?$/],
      [untyped.score('hat', { topK: 1 }), /"topK" came among the options, expected signal, task, maxTokens$/],
      [untyped.embed('hat', { truncate: 'false' }), /^truncate came as "false", expected true or false/],
      [untyped.embed('hat', { normalize: 1 }), /^normalize came as 1, expected true or false/],
      [untyped.answer('a', 'hat', { noAnswer: 'no' }), /^noAnswer came as "no", expected true or false/],
      [
        untyped.answer('a', 'hat', { noAnswerThreshold: Number.NaN }),
        /^noAnswerThreshold came as NaN, expected a finite/,
      ],
      [untyped.ask('hat', { tasks: ['tone'], embed: { signal: 1 } }), /"signal" came among the options of embed/],
      [untyped.ask('hat', { tasks: ['tone'], embed: true }), /^the options of embed came as true, expected an object/],
      [untyped.replace(second, { warmUp: true }), /"warmUp" came among the options/],
      [untyped.embed(toStream(['hat']), { pool: 'max' }).next(), /"pool" .*did you mean pooling\?$/],
    ] as [Promise<unknown>, RegExp][])
      await assert.rejects(asked, { code: 'BAD_ARGUMENT', message })
    assert.equal(encoder.stats().failed, 1)
  })
})

async function count(stream: AsyncIterable<unknown>): Promise<number> {
  let count = 0
  for await (const _ of stream) count++
  return count
}

async function* toStream<Item>(items: Iterable<Item>): AsyncGenerator<Item> {
  yield* items
}
