import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import fc from 'fast-check'
import { labelCount, prefetch } from '../lib/data/index.js'
import {
  customDefinition,
  definitionOf,
  drawShare,
  type ExampleSet,
  type OpenedTask,
  type OpenTaskOptions,
  openTask,
  splitBySeed,
  type TaskSet,
} from '../lib/tasks/index.js'
import { Tokenizer } from '../lib/text/index.js'
import { refuses } from './helpers/refuses.js'

describe('Task batches', function () {
  this.timeout(60_000)
  const ROWS = 103
  let folder: string
  let tokenizer: Tokenizer
  let pairs: string
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-batches-'))
    tokenizer = await Tokenizer.load(resolve(__dirname, 'golden/tokenizer-vocab.txt'))
    pairs = join(folder, 'pairs.tsv')
    const rows = Array.from({ length: ROWS }, (_, i) => {
      return `${'the '.repeat(1 + (i % 40))}\t${'one '.repeat(1 + (i % 7))}\t${['a', 'b', 'c'][i % 3]}`
    })
    writeFileSync(pairs, `first\tsecond\tlabel\n${rows.join('\n')}\n`)
  })
  after(() => rmSync(folder, { recursive: true }))

  const DEFINITION = customDefinition('pairs', { text: ['first', 'second'], label: 'label' })
  const open = async (options: Partial<OpenTaskOptions> = {}): Promise<OpenedTask> =>
    openTask({
      definition: DEFINITION,
      data: { train: pairs, dev: pairs },
      tokenizer,
      seed: 5,
      sequences: 16,
      ...options,
    })
  const orderOf = (set: TaskSet, epoch: number): number[] =>
    Array.from({ length: set.batchCount(epoch) }, (_, index) => [...set.exampleNumbers(epoch, index)]).flat()

  it('shows every example once a pass, in another order each pass and seed, the last batch smaller', async () => {
    const { train, evaluation } = await open()
    assert.equal(train!.batchCount(0), Math.ceil(ROWS / 16))
    assert.equal(train!.build(0, 6).sequenceOffsets.length - 1, ROWS % 16)
    const inOrder = Array.from({ length: ROWS }, (_, example) => example)
    const orders = [0, 1, 2].map((epoch) => orderOf(train!, epoch))
    for (const order of orders)
      assert.deepEqual(
        [...order].sort((a, b) => a - b),
        inOrder,
      )
    assert.notDeepEqual(orders[0], inOrder)
    assert.notDeepEqual(orders[0], orders[1])
    assert.deepEqual(orderOf(train!, 1), orders[1])
    assert.deepEqual(orderOf((await open()).train!, 2), orders[2])
    assert.notDeepEqual(orderOf((await open({ seed: 6 })).train!, 0), orders[0])
    assert.notDeepEqual(orderOf((await open({ name: 'other' })).train!, 0), orders[0])
    for (const epoch of [0, 1]) assert.deepEqual(orderOf(evaluation.dev, epoch), inOrder)
  })

  it('lays pairs out as [CLS] A [SEP] B [SEP] with their labels under the head’s name', async () => {
    const { train } = await open({ head: 'other-head', adapter: 'mine' })
    for (const [epoch, index] of [
      [0, 0],
      [3, 6],
    ]) {
      const batch = train!.build(epoch, index)
      const examples = train!.exampleNumbers(epoch, index)
      assert.equal(batch.adapter, 'mine')
      assert.deepEqual(Object.keys(batch.labels), ['other-head'])
      assert.equal(labelCount(batch.labels['other-head']), examples.length)
      for (const [i, example] of examples.entries()) {
        const { tokenIds, segmentIds } = await tokenizer.encodePair(
          'the '.repeat(1 + (example % 40)),
          'one '.repeat(1 + (example % 7)),
        )
        const [from, to] = [batch.sequenceOffsets[i], batch.sequenceOffsets[i + 1]]
        assert.deepEqual(batch.tokenIds.slice(from, to), tokenIds)
        assert.deepEqual(batch.segmentIds.slice(from, to), segmentIds)
        assert.equal(batch.labels['other-head'].labels[i], example % 3)
        assert.deepEqual(train!.place(example), { file: pairs, line: example + 2 })
      }
    }
  })

  it('cuts the longer text, counts what it cut, and tells it', async () => {
    const task = await open({ sequenceTokens: 12 })
    // 9 places for both texts: cut where the lengths' sum is above.
    const cut = Array.from({ length: ROWS }, (_, i) => 2 + (i % 40) + (i % 7)).filter((sum) => sum > 9).length
    assert.equal(task.train!.truncated, cut)
    assert.deepEqual(task.notes, [
      `train: ${cut} of ${ROWS} examples are longer than 12 tokens and were cut`,
      `dev: ${cut} of ${ROWS} examples are longer than 12 tokens and were cut`,
    ])
    const { tokenIds, segmentIds, sequenceOffsets } = task.evaluation.dev.build(0, 2)
    // Example 39: 40 times "the", 5 times "one" become 5 and 4, as Hugging Face's longest_first has it.
    const [from, to] = [sequenceOffsets[39 - 32], sequenceOffsets[40 - 32]]
    assert.equal(to - from, 12)
    assert.deepEqual([...segmentIds.subarray(from, to)], [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    assert.equal(await tokenizer.decode(tokenIds.subarray(from, to)), `${'the '.repeat(5)}${'one '.repeat(4)}`.trim())
  })

  it('makes the same batches in prefetch threads, from shared memory', async () => {
    const { train } = await open({ adapter: 'mine' })
    const threads = prefetch(train!, { workers: 2, epochs: 2 })
    assert.equal(threads.workers, 2)
    let count = 0
    for await (const { epoch, index, batch } of threads) {
      assert.deepEqual(batch, train!.build(epoch, index))
      count++
    }
    assert.equal(count, 2 * train!.batchCount(0))
    const { store } = (train as ExampleSet).describe().options as { store: { tokenIds: { buffer: unknown } } }
    assert.ok(store.tokenIds.buffer instanceof SharedArrayBuffer)
  })

  it('has a fingerprint of its rows, wherever they lie', async () => {
    const of = async (name: string, lines: string[], options: Partial<OpenTaskOptions> = {}) => {
      const path = join(folder, name)
      writeFileSync(path, lines.join('\n'))
      return (await open({ data: { train: path }, ...options })).train!.fingerprint()
    }
    const lines = readFileSync(pairs, 'utf8').split('\n')
    const own = (await open()).train!.fingerprint()
    assert.match(own, /^[0-9a-f]{64}$/)
    assert.equal(await of('moved.tsv', lines), own)
    const others = [
      await of('label.tsv', lines.with(9, lines[9].replace(/.$/, 'b'))),
      await of('word.tsv', lines.with(9, lines[9].replace('the', 'one'))),
      await of('order.tsv', [lines[0], lines[2], lines[1], ...lines.slice(3)]),
      await of('border.tsv', lines.with(9, lines[9].replace(/ the \t/, ' \tthe '))),
      await of('share.tsv', lines, { fraction: 0.5 }),
    ]
    assert.equal(new Set([own, ...others]).size, 6)
  })

  it('gives a number for each text of a regression', async () => {
    const path = join(folder, 'scores.csv')
    writeFileSync(path, 'text,score\nthe,0.5\none,-3\nis,2.25\n')
    const definition = customDefinition('scores', { kind: 'regression', text: 'text', label: 'score' })
    const task = await openTask({ definition, data: { train: path, dev: path }, tokenizer, seed: 1 })
    assert.deepEqual(task.evaluation.dev.build(0, 0).labels.scores, {
      labels: new Int32Array(3),
      values: Float32Array.of(0.5, -3, 2.25),
    })
    assert.equal(task.labels, undefined)
  })

  it('trains on a share of the rows: nested, drawn by its own seed, every class in it', async () => {
    const lines = async (options: Partial<OpenTaskOptions>): Promise<number[]> => {
      const { train } = await open({ seed: 1, ...options })
      return Array.from({ length: train!.examples }, (_, example) => train!.place(example).line)
    }
    const tenth = await lines({ fraction: 0.1, drawSeed: 1 })
    const half = await lines({ fraction: 0.5, drawSeed: 1 })
    assert.deepEqual([tenth.length, half.length], [10, 51])
    assert.ok(tenth.every((line) => half.includes(line)))
    assert.notDeepEqual(await lines({ fraction: 0.1, drawSeed: 2 }), tenth)
    assert.deepEqual(await lines({ fraction: 0.1, seed: 1 }), tenth)
    const { train, labels, notes, evaluation } = await open({ fraction: 0.001 })
    assert.equal(train!.examples, 3)
    assert.deepEqual([...train!.build(0, 0).labels.pairs.labels].sort(), [0, 1, 2])
    assert.deepEqual(labels, ['a', 'b', 'c'])
    assert.equal(evaluation.dev.examples, ROWS)
    assert.match(notes[0], /train: 3 of 103 examples \(fraction 0\.001, drawn by seed 5\)/)
    // A split and a share of one file: the held-out rows do not depend on the share.
    const devLines = async (fraction: number): Promise<number[]> => {
      const { evaluation: sets, train: rest } = await open({ data: pairs, fraction })
      const held = Array.from({ length: sets.dev.examples }, (_, example) => sets.dev.place(example).line)
      for (let example = 0; example < rest!.examples; example++) assert.ok(!held.includes(rest!.place(example).line))
      return held
    }
    assert.deepEqual(await devLines(0.2), await devLines(1))
  })

  it('draws as many as the domain adaptation of the paper has', () => {
    // Liu et al. 2019: SNLI and SciTail.
    const sizes = (count: number): number[] => [0.001, 0.01, 0.1, 1].map((share) => drawShare(count, share, 1).length)
    assert.deepEqual(sizes(549367), [549, 5493, 54936, 549367])
    assert.deepEqual(sizes(23596), [23, 235, 2359, 23596])
    // 100 · 0.29 is 28.999999999999996.
    assert.equal(drawShare(100, 0.29, 1).length, 29)
    assert.equal(splitBySeed(100, 0.29, 1).dev.length, 29)
  })

  it('draws ascending shares that keep every class, for any sizes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 60 }),
        fc.double({ min: 0.001, max: 1, noNaN: true }),
        fc.nat(),
        (classes, fraction, seed) => {
          const share = [...drawShare(classes.length, fraction, seed, classes)]
          assert.deepEqual(
            share,
            [...new Set(share)].sort((a, b) => a - b),
          )
          assert.ok(share.every((example) => example < classes.length))
          assert.equal(new Set(share.map((example) => classes[example])).size, new Set(classes).size)
          const least = Math.max(1, Math.floor(classes.length * fraction))
          assert.ok(share.length >= least && share.length <= least + 4)
        },
      ),
    )
    assert.throws(() => drawShare(10, 0, 1), refuses('BAD_ARGUMENT', 'fraction is 0'))
    assert.throws(() => splitBySeed(10, 1.5, 1), refuses('BAD_ARGUMENT', '1.5'))
    assert.throws(() => splitBySeed(1, 0.5, 1), refuses('BAD_DATA', 'none for training'))
    assert.throws(() => splitBySeed(10, 10, 1), refuses('BAD_DATA', 'none for training'))
  })

  it('refuses a batch that is not there, and sizes that make none', async () => {
    const { train } = await open()
    assert.throws(() => train!.build(0, 7), refuses('BAD_ARGUMENT', 'batch 7', '0 to 6'))
    assert.throws(() => train!.place(ROWS), refuses('BAD_ARGUMENT', `${ROWS}`))
    await assert.rejects(open({ sequences: 0 }), refuses('BAD_ARGUMENT', '0 sequences'))
    await assert.rejects(open({ sequenceTokens: 3 }), refuses('BAD_ARGUMENT', '3'))
    await assert.rejects(open({ signal: AbortSignal.abort() }), refuses('ABORTED', 'stopped'))
  })

  it('keeps the event loop alive while a large file is tokenised', async () => {
    const path = join(folder, 'large.tsv')
    const words = 'the one is of and in to a was for '.repeat(6)
    writeFileSync(
      path,
      `sentence\tlabel\n${Array.from({ length: 60_000 }, (_, i) => `${words}${i}\t${i % 2}\n`).join('')}`,
    )
    const delay = monitorEventLoopDelay({ resolution: 5 })
    delay.enable()
    const task = await openTask({ definition: definitionOf('SST-2'), data: { train: path }, tokenizer, seed: 1 })
    delay.disable()
    assert.equal(task.train!.examples, 60_000)
    assert.ok(delay.max < 500e6, `the event loop stood still for ${(delay.max / 1e6).toFixed(0)} ms`)
  })
})
