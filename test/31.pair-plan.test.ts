import assert from 'node:assert/strict'
import { groupByTokens } from '../lib/data/batch-grouping.js'
import { buildPairPlan, inputTokens, type PairPlan, type PairPlanOptions } from '../lib/data/pair-plan.js'
import type { TokenCorpus } from '../lib/data/token-corpus.js'
import { corpusOf, syntheticCorpus } from './helpers/synthetic-corpus.js'

const corpus = syntheticCorpus({ documents: 600, sentences: [1, 30] })
const base: PairPlanOptions = { input: 'pairs', maxSequenceTokens: 128, batchTokens: 1024, seed: 5, epoch: 0 }

function documentOf(of: TokenCorpus, token: number): number {
  let document = 0
  while (of.sentenceOffsets[of.documentOffsets[document + 1]] <= token) document++
  return document
}

function lengthsOf(plan: PairPlan): number[] {
  return Array.from(plan.order, (input) => inputTokens(plan.aLength[input], plan.bLength[input]))
}

describe('next-sentence pairs', () => {
  it('takes B from the same document right after A, or from another document', () => {
    const plan = buildPairPlan(corpus, base)
    const room = base.maxSequenceTokens - 3
    let adjacent = 0
    for (let i = 0; i < plan.inputCount; i++) {
      const aEnd = plan.aStart[i] + plan.aLength[i]
      assert.ok(plan.aLength[i] >= 1)
      const document = documentOf(corpus, plan.aStart[i])
      assert.equal(documentOf(corpus, aEnd - 1), document)
      if (plan.bLength[i] === 0) {
        assert.equal(plan.labels[i], -100)
        continue
      }
      assert.ok(plan.aLength[i] + plan.bLength[i] <= room)
      const other = documentOf(corpus, plan.bStart[i])
      assert.equal(documentOf(corpus, plan.bStart[i] + plan.bLength[i] - 1), other)
      if (plan.labels[i] === 1) assert.notEqual(other, document)
      if (plan.labels[i] === 0) {
        assert.equal(other, document)
        if (plan.aLength[i] + plan.bLength[i] < room) {
          assert.equal(plan.bStart[i], aEnd)
          adjacent++
        } else assert.ok(plan.bStart[i] >= aEnd)
      }
    }
    assert.ok(adjacent > 50)
  })

  it('covers every token of documents with two sentences or more, but for those it reports as cut', () => {
    const documents = Int32Array.from({ length: corpus.documentCount }, (_, i) => i).filter(
      (document) => corpus.documentOffsets[document + 1] - corpus.documentOffsets[document] >= 2,
    )
    const plan = buildPairPlan(corpus, { ...base, documents })
    const covered = new Uint8Array(corpus.tokenCount)
    for (let i = 0; i < plan.inputCount; i++) {
      covered.fill(1, plan.aStart[i], plan.aStart[i] + plan.aLength[i])
      if (plan.labels[i] === 0) covered.fill(1, plan.bStart[i], plan.bStart[i] + plan.bLength[i])
    }
    let missing = 0
    for (const document of documents) {
      const start = corpus.sentenceOffsets[corpus.documentOffsets[document]]
      const end = corpus.sentenceOffsets[corpus.documentOffsets[document + 1]]
      for (let token = start; token < end; token++) if (!covered[token]) missing++
    }
    assert.ok(missing <= plan.statistics.cutTokens, `${missing} missing, ${plan.statistics.cutTokens} reported`)
    assert.ok(missing < 0.15 * corpus.tokenCount)
  })

  // Long sentences make many chunks of one sentence, which the original always pairs with a random B.
  for (const [name, words] of Object.entries({ short: [3, 20], mixed: [3, 150], long: [80, 150] })) {
    it(`is balanced in sets of every size, ${name} sentences`, () => {
      const of = syntheticCorpus({ documents: 300, sentences: [2, 12], words: words as [number, number], seed: 8 })
      for (const size of [20, 60, 300]) {
        for (let epoch = 0; epoch < 3; epoch++) {
          const documents = Int32Array.from({ length: size }, (_, i) => i)
          const { statistics } = buildPairPlan(of, { ...base, documents, epoch, shuffle: false })
          assert.equal(statistics.random, statistics.followed)
          assert.equal(statistics.random + statistics.followed + statistics.unlabelled, statistics.inputs)
          if (name !== 'long') assert.ok(statistics.unlabelled <= Math.max(10, 0.1 * statistics.inputs))
          assert.ok(statistics.random > 0.15 * statistics.inputs)
        }
      }
    })
  }

  it('stays within 1 % of balance in every stretch of 1,000 pairs of a large set', () => {
    const plan = buildPairPlan(syntheticCorpus({ documents: 2000, sentences: [2, 30] }), { ...base, shuffle: false })
    const labels = Array.from(plan.labels).filter((label) => label >= 0)
    for (let start = 0; start + 1000 <= labels.length; start += 1000) {
      const share = labels.slice(start, start + 1000).reduce((sum, label) => sum + label, 0) / 1000
      assert.ok(Math.abs(share - 0.5) <= 0.01, `share ${share} at ${start}`)
    }
  })

  it('does not alternate: the next label is no function of the last one', () => {
    const plan = buildPairPlan(syntheticCorpus({ documents: 2000, sentences: [2, 30] }), base)
    const labels = Array.from(plan.order, (input) => plan.labels[input]).filter((label) => label >= 0)
    let same = 0
    for (let i = 1; i < labels.length; i++) if (labels[i] === labels[i - 1]) same++
    const share = same / (labels.length - 1)
    assert.ok(Math.abs(share - 0.5) < 5 * Math.sqrt(0.25 / labels.length), `share ${share}`)
  })

  it('gives documents of one sentence a single segment without label, and never lends them as random B', () => {
    const mixed = corpusOf(
      Array.from({ length: 200 }, (_, document) =>
        Array.from({ length: document % 2 === 0 ? 1 : 4 }, () => [{ ids: [20 + document] }, { ids: [20 + document] }]),
      ),
    )
    const plan = buildPairPlan(mixed, { ...base, maxSequenceTokens: 16 })
    assert.equal(plan.statistics.singleSentenceDocuments, 100)
    for (let i = 0; i < plan.inputCount; i++) {
      const single = documentOf(mixed, plan.aStart[i]) % 2 === 0
      if (single) assert.deepEqual([plan.bLength[i], plan.labels[i]], [0, -100])
      else if (plan.bLength[i] > 0) assert.equal(documentOf(mixed, plan.bStart[i]) % 2, 1)
    }
  })

  it('cuts long pairs at random ends, and begins a random B at any sentence', () => {
    const long = syntheticCorpus({ documents: 200, sentences: [6, 6], words: [60, 120], seed: 3 })
    const plan = buildPairPlan(long, { ...base, shortShare: 0 })
    const sentenceOf = (token: number): number => long.sentenceOffsets.findLastIndex((offset) => offset <= token)
    let [front, back, random, atStart] = [0, 0, 0, 0]
    const count = (start: number, length: number): void => {
      front += start - long.sentenceOffsets[sentenceOf(start)]
      back += long.sentenceOffsets[sentenceOf(start + length - 1) + 1] - start - length
    }
    for (let i = 0; i < plan.inputCount; i++) {
      if (plan.labels[i] !== 1) continue
      count(plan.aStart[i], plan.aLength[i])
      count(plan.bStart[i], plan.bLength[i])
      random++
      if (long.documentOffsets.includes(sentenceOf(plan.bStart[i]))) atStart++
    }
    const share = front / (front + back)
    assert.ok(random > 200 && Math.abs(share - 0.5) < 0.05, `${random} pairs, ${share} cut in front`)
    // One of six sentences.
    assert.ok(Math.abs(atStart / random - 1 / 6) < 5 * Math.sqrt(5 / 36 / random), `${atStart} of ${random}`)
  })

  it('makes shorter inputs of the documents that have a short target', () => {
    const mean = (shortShare: number): number => {
      const { statistics } = buildPairPlan(corpus, { ...base, shortShare })
      return statistics.tokens / statistics.inputs
    }
    assert.ok(mean(0) > 1.03 * mean(0.1) && mean(0.1) > 1.3 * mean(1), `${mean(0)} ${mean(0.1)} ${mean(1)}`)
  })
})

describe('single segments', () => {
  for (const input of ['segments', 'sentences'] as const) {
    it(`input '${input}' covers every token exactly once`, () => {
      const plan = buildPairPlan(corpus, { ...base, input, maxSequenceTokens: 32 })
      const covered = new Uint8Array(corpus.tokenCount)
      for (let i = 0; i < plan.inputCount; i++) {
        assert.ok(plan.aLength[i] <= 30)
        for (let token = plan.aStart[i]; token < plan.aStart[i] + plan.aLength[i]; token++) covered[token]++
      }
      assert.ok(covered.every((count) => count === 1))
    })
  }
})

describe('plans', () => {
  it('are a pure function of seed and epoch', () => {
    const again = buildPairPlan(corpus, base)
    assert.deepEqual(buildPairPlan(corpus, base), again)
    for (const change of [{ epoch: 1 }, { seed: 6 }]) {
      const other = buildPairPlan(corpus, { ...base, ...change })
      assert.notDeepEqual(other.order.slice(0, 50), again.order.slice(0, 50))
      assert.notDeepEqual(other.aLength, again.aLength)
    }
  })

  it('meet every input once, in batches that never exceed the budget and fill 98 % of it', () => {
    const plan = buildPairPlan(corpus, base)
    assert.deepEqual(
      plan.order.slice().sort(),
      Uint32Array.from({ length: plan.inputCount }, (_, i) => i),
    )
    const lengths = lengthsOf(plan)
    assert.equal(plan.batchStarts[0], 0)
    assert.equal(plan.batchStarts[plan.batchCount], plan.inputCount)
    for (let batch = 0; batch < plan.batchCount; batch++) {
      const [start, end] = [plan.batchStarts[batch], plan.batchStarts[batch + 1]]
      assert.ok(end > start)
      assert.ok(lengths.slice(start, end).reduce((sum, length) => sum + length, 0) <= base.batchTokens)
    }
    assert.ok(plan.statistics.fill > 0.98, `fill ${plan.statistics.fill}`)
  })

  it('fill a batch to its last token', () => {
    const order = Uint32Array.of(0, 1, 2, 3)
    assert.deepEqual([...groupByTokens(order, (sequence) => [4, 2, 3, 3][sequence], 6)], [0, 2, 4])
    assert.deepEqual([...order], [0, 1, 2, 3])
  })

  it('cope with a million sentences in a second or two', function () {
    this.timeout(20_000)
    const sentences = 1_000_000
    const large: TokenCorpus = {
      directory: '',
      documentCount: sentences / 20,
      sentenceCount: sentences,
      tokenCount: sentences * 20,
      tokenIds: new Int32Array(0),
      tokenFlags: new Uint8Array(0),
      sentenceOffsets: Uint32Array.from({ length: sentences + 1 }, (_, i) => i * 20),
      documentOffsets: Uint32Array.from({ length: sentences / 20 + 1 }, (_, i) => i * 20),
    }
    const before = performance.now()
    const plan = buildPairPlan(large, base)
    const seconds = (performance.now() - before) / 1000
    assert.ok(plan.inputCount > 150_000)
    assert.ok(seconds < 5, `${seconds} s`)
  })
})

describe('hostile documents', () => {
  const one = corpusOf([[[{ ids: [20] }]]])

  it('a document of one token is an input of three', () => {
    const plan = buildPairPlan(one, { ...base, input: 'segments' })
    assert.deepEqual([plan.inputCount, plan.statistics.tokens], [1, 3])
  })

  it('pairs need two documents of two sentences', () => {
    assert.throws(() => buildPairPlan(one, base), { name: 'StrataError', code: 'BAD_DATA', message: /at least 2 such/ })
    const alone = syntheticCorpus({ documents: 1, sentences: [5, 5] })
    assert.throws(() => buildPairPlan(alone, base), { code: 'BAD_DATA' })
  })

  it('sentences longer than the limit are truncated or cut into pieces', () => {
    const long = syntheticCorpus({ documents: 4, sentences: [2, 3], words: [3000, 4000] })
    const pairs = buildPairPlan(long, base)
    assert.ok(Math.max(...lengthsOf(pairs)) === base.maxSequenceTokens)
    const segments = buildPairPlan(long, { ...base, input: 'segments' })
    assert.equal(segments.statistics.tokens - 2 * segments.inputCount, long.tokenCount)
  })

  it('empty documents and sentences are counted and left out', () => {
    const word = [{ ids: [20] }, { ids: [21] }]
    const holes = corpusOf([[], [[]], [word, [], word], [[], word, word], [[], word, []]])
    const plan = buildPairPlan(holes, { ...base, maxSequenceTokens: 16, batchTokens: 16 })
    assert.equal(plan.statistics.emptyDocuments, 2)
    assert.equal(plan.statistics.singleSentenceDocuments, 1)
    for (let i = 0; i < plan.inputCount; i++) assert.ok(plan.aLength[i] > 0)
    assert.throws(() => buildPairPlan(corpusOf([[], [[]]]), { ...base, input: 'segments' }), { code: 'BAD_DATA' })
  })

  it('sizes and indices that make no sense are refused', () => {
    for (const change of [
      { maxSequenceTokens: 4 },
      { maxSequenceTokens: 70_000, batchTokens: 80_000 },
      { batchTokens: 100 },
      { shortShare: 2 },
      { documents: Int32Array.of(9999) },
      { documents: Int32Array.of(-1) },
    ]) {
      assert.throws(
        () => buildPairPlan(corpus, { ...base, ...change }),
        { code: 'BAD_ARGUMENT' },
        JSON.stringify(change),
      )
    }
  })
})
