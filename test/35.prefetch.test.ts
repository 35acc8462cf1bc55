import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { BatchPool } from '../lib/data/batch-pool.js'
import { laterPasses } from '../lib/data/later-passes.js'
import type { BatchSource } from '../lib/data/packed-batch.js'
import { type PrefetchedBatch, type PrefetchOptions, prefetch } from '../lib/data/prefetch.js'
import { pretrainingSource } from '../lib/objectives/index.js'
import { createSource } from './helpers/counting-source.js'
import { SPECIAL, syntheticCorpus } from './helpers/synthetic-corpus.js'

const corpus = syntheticCorpus({ documents: 40 })
const source = pretrainingSource({
  corpus,
  special: SPECIAL,
  heads: { mlm: { name: 'mlm' }, nsp: { name: 'nsp' }, bshift: { sentenceHead: 'order' } },
  batchTokens: 512,
  seed: 3,
})

async function take(count: number, options: PrefetchOptions, of: BatchSource = source): Promise<PrefetchedBatch[]> {
  const taken: PrefetchedBatch[] = []
  for await (const item of prefetch(of, options)) {
    taken.push(item)
    if (taken.length === count) break
  }
  return taken
}

function counting(options: { batches?: number; failAt?: number; exitAt?: number } = {}) {
  const built = new Int32Array(new SharedArrayBuffer(4))
  return { built, source: createSource({ batches: 1000, ...options, built }) }
}

/** Threads of this process (Linux only). */
const threads = (): number => readdirSync('/proc/self/task').length

describe('prefetch', function () {
  this.timeout(30_000)

  it('gives the same batches in the same order with 0, 1 and 3 workers, across epochs', async () => {
    const count = source.batchCount(0) + 20
    const inline = await take(count, { workers: 0 })
    inline.forEach(({ epoch, index, batchCount, batch }, i) => {
      const expected = i < source.batchCount(0) ? [0, i] : [1, i - source.batchCount(0)]
      assert.deepEqual([epoch, index], expected)
      assert.equal(batchCount, source.batchCount(epoch))
      assert.deepEqual(batch, source.build(epoch, index))
    })
    assert.deepEqual(await take(count, { workers: 1 }), inline)
    assert.deepEqual(await take(count, { workers: 3 }), inline)
  })

  it('later passes of a source are its own ones that come long after the first, in every thread', async () => {
    const later = laterPasses(source, 1)
    assert.equal(laterPasses(source, 0), source)
    const inline = await take(3, { workers: 0, epoch: 1 }, later)
    for (const { index, batch } of inline) assert.deepEqual(batch, source.build(2 ** 32 + 1, index))
    assert.notDeepEqual(inline[0].batch, source.build(1, 0))
    assert.deepEqual(await take(3, { workers: 1, epoch: 1 }, later), inline)
  })

  it('starts at any place, also at the very end of an epoch', async () => {
    const last = source.batchCount(2)
    for (const workers of [0, 2]) {
      const [first, second] = await take(2, { workers, epoch: 2, index: last - 1 })
      assert.deepEqual([first.epoch, first.index, second.epoch, second.index], [2, last - 1, 3, 0])
      assert.deepEqual(first.batch, source.build(2, last - 1))
      const [next] = await take(1, { workers, epoch: 2, index: last })
      assert.deepEqual(next.batch, source.build(3, 0))
      await assert.rejects(take(1, { workers, epoch: 2, index: last + 1 }), {
        code: 'BAD_ARGUMENT',
        message: /begins at/,
      })
    }
  })

  it('ends after the epochs that were asked for', async () => {
    for (const workers of [0, 1]) {
      const all = await take(Infinity, { workers, epoch: 1, index: 3, epochs: 2 })
      assert.equal(all.length, source.batchCount(1) - 3 + source.batchCount(2))
    }
  })

  it('builds ahead, but not further than the look-ahead', async () => {
    const { built, source: counted } = counting()
    const iteration = prefetch(counted, { workers: 2, lookahead: 5 })
    for (let i = 0; i < 3; i++) await iteration.next()
    await sleep(300)
    assert.equal(built[0], 8)
    await iteration.close()
  })

  it('answers several next() calls at once in order', async () => {
    const { source: counted } = counting()
    for (const workers of [0, 2]) {
      const iteration = prefetch(counted, { workers, lookahead: 1 })
      const items = await Promise.all(Array.from({ length: 12 }, () => iteration.next()))
      assert.deepEqual(
        items.map(({ value }) => value?.index),
        Array.from({ length: 12 }, (_, i) => i),
      )
      await iteration.close()
      assert.deepEqual(await iteration.next(), { done: true, value: undefined })
    }
  })

  it('builds in this thread what cannot be described to a worker', async () => {
    const plain = { batchCount: () => 2, build: (epoch: number, index: number) => source.build(epoch, index) }
    const iteration = prefetch(plain, { workers: 3, epochs: 1 })
    assert.equal(iteration.workers, 0)
    let count = 0
    for await (const { batch } of iteration) assert.deepEqual(batch, source.build(0, count++))
    assert.equal(count, 2)
  })

  it('shares a pool of workers among sources and leaves it open', async () => {
    await using pool = new BatchPool(2)
    const other = pretrainingSource({
      corpus,
      special: SPECIAL,
      heads: { mlm: { name: 'mlm' } },
      batchTokens: 300,
      seed: 4,
    })
    const [mine, theirs] = await Promise.all([take(10, { pool }), take(10, { pool }, other)])
    mine.forEach(({ batch }, index) => {
      assert.deepEqual(batch, source.build(0, index))
    })
    theirs.forEach(({ batch }, index) => {
      assert.deepEqual(batch, other.build(0, index))
    })
    assert.equal((await take(1, { pool })).length, 1)
  })

  it('rejects with ABORTED when its signal says so, before, while and after a batch is waited for', async () => {
    for (const workers of [0, 2]) {
      const controller = new AbortController()
      const iteration = prefetch(source, { workers, signal: controller.signal })
      await iteration.next()
      const waiting = iteration.next()
      controller.abort()
      if (workers > 0) await assert.rejects(waiting, { name: 'StrataError', code: 'ABORTED' })
      else await waiting.catch(() => {})
      await assert.rejects(iteration.next(), { code: 'ABORTED' })
      const late = prefetch(source, { workers, signal: controller.signal })
      await assert.rejects(late.next(), { code: 'ABORTED' })
      await late.close()
    }
  })

  it('tells typed errors of the source, and plain ones with their text, and then ends', async () => {
    const tooSmall = pretrainingSource({
      corpus,
      special: { ...SPECIAL, vocabSize: 100 },
      heads: { mlm: { name: 'mlm' } },
      batchTokens: 512,
      seed: 1,
    })
    const { source: broken } = counting({ failAt: 2 })
    for (const workers of [0, 1]) {
      await assert.rejects(take(1, { workers }, tooSmall), {
        name: 'StrataError',
        code: 'BAD_DATA',
        message: /vocabulary has 100/,
      })
      const iteration = prefetch(broken, { workers })
      await iteration.next()
      await iteration.next()
      await assert.rejects(iteration.next(), /batch 2 is broken/)
      assert.deepEqual(await iteration.next(), { done: true, value: undefined })
    }
  })

  it('reports a worker that died instead of waiting for ever', async () => {
    const { source: dying } = counting({ exitAt: 1 })
    await assert.rejects(take(5, { workers: 1 }, dying), { code: 'NATIVE_ERROR', message: /ended with code 3/ })
  })

  it('names a module that cannot rebuild the source', async () => {
    const wrong = { ...counting().source, describe: () => ({ module: require.resolve('node:path'), options: {} }) }
    await assert.rejects(take(1, { workers: 1 }, wrong), { code: 'BAD_ARGUMENT', message: /createSource/ })
  })

  it('leaves no thread behind', async function () {
    if (process.platform !== 'linux') this.skip()
    const before = threads()
    const open = prefetch(source, { workers: 3 })
    await open.next()
    assert.ok(threads() >= before + 3)
    await open.return!()
    await take(3, { workers: 3 })
    const controller = new AbortController()
    const aborted = prefetch(source, { workers: 2, signal: controller.signal })
    controller.abort()
    await aborted.close()
    await assert.rejects(take(1, { workers: 2, index: 100_000 }))
    assert.ok(threads() <= before, `${threads()} threads, ${before} before`)
  })

  it('does not keep a program alive that forgets to close it', async () => {
    const program = path.join(__dirname, 'helpers', 'unfinished-prefetch.ts')
    const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', program], { timeout: 20_000 })
    assert.equal(stdout.trim(), 'got 0')
  })

  it('refuses numbers that make no sense', () => {
    for (const options of [
      { workers: -1 },
      { workers: 1.5 },
      { epoch: -1 },
      { index: -1 },
      { lookahead: 0 },
      { epochs: 0 },
    ]) {
      assert.throws(() => prefetch(source, options), { code: 'BAD_ARGUMENT' })
    }
    assert.throws(() => new BatchPool(0), { code: 'BAD_ARGUMENT' })
  })
})
