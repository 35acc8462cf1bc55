import assert from 'node:assert/strict'
import { labelCount, type PackedBatch, packSequences } from '../lib/data/packed-batch.js'
import { type PretrainingOptions, pretrainingSource, unigramEntropy } from '../lib/objectives/index.js'
import { corpusOf, SPECIAL, syntheticCorpus } from './helpers/synthetic-corpus.js'

const corpus = syntheticCorpus({ documents: 300 })
const heads = {
  mlm: { name: 'mlm' },
  nsp: { name: 'nsp' },
  bshift: { sentenceHead: 'order', tokenHead: 'orderTokens' },
}
const base: PretrainingOptions = { corpus, special: SPECIAL, heads, batchTokens: 1024, seed: 9 }

describe('joint pre-training batches', () => {
  it('hold [CLS] A [SEP] B [SEP] with segments 0 and 1, and labels for every head', () => {
    const source = pretrainingSource(base)
    assert.deepEqual(source.heads, ['mlm', 'nsp', 'order', 'orderTokens'])
    const { sequenceOffsets, segmentIds, tokenIds, labels } = source.build(0, 0)
    assert.deepEqual(Object.keys(labels), source.heads)
    assert.equal(sequenceOffsets[0], 0)
    assert.equal(sequenceOffsets.at(-1), tokenIds.length)
    for (let i = 0; i + 1 < sequenceOffsets.length; i++) {
      const ids = tokenIds.subarray(sequenceOffsets[i], sequenceOffsets[i + 1])
      const segments = segmentIds.subarray(sequenceOffsets[i], sequenceOffsets[i + 1])
      assert.equal(ids[0], SPECIAL.clsId)
      assert.equal(ids.at(-1), SPECIAL.sepId)
      const separators = Array.from(ids.keys()).filter((j) => ids[j] === SPECIAL.sepId)
      if (labels.nsp.labels[i] >= 0) assert.equal(separators.length, 2)
      assert.deepEqual(
        segments,
        Int32Array.from(ids, (_, j) => Number(separators.length === 2 && j > separators[0])),
      )
    }
  })

  it('of held-out text are masked by draws of their own', () => {
    const words = Array.from({ length: 60 }, (_, word) => ({ ids: [20 + word] }))
    const masked = [true, false].map((evaluation) => {
      const one = { ...base, corpus: corpusOf([[words]]), heads: { mlm: heads.mlm }, evaluation }
      return pretrainingSource(one).build(0, 0).labels.mlm.positions
    })
    assert.equal(masked[0]!.length, masked[1]!.length)
    assert.notDeepEqual(masked[0], masked[1])
  })

  it('are a pure function of seed, epoch and index, whatever was built before', () => {
    const first = pretrainingSource(base)
    const count = first.batchCount(1)
    const reference = Array.from({ length: count }, (_, index) => first.build(1, index))
    const second = pretrainingSource(base)
    for (const [epoch, index] of [
      [3, 0],
      [0, 5],
      [1, count - 1],
      [2, 1],
      [1, 3],
      [1, 0],
    ]) {
      const batch = second.build(epoch, index)
      if (epoch === 1) assert.deepEqual(batch, reference[index])
      else assert.notDeepEqual(batch.tokenIds, reference[index].tokenIds)
    }
    assert.notDeepEqual(pretrainingSource({ ...base, seed: 10 }).build(1, 0), reference[0])
  })

  it('keep what was handed out: a later batch does not write into an earlier one', () => {
    const source = pretrainingSource(base)
    const batch = source.build(0, 0)
    const copy = structuredClone(batch)
    source.build(0, 1)
    assert.deepEqual(batch, copy)
  })

  it('corrupt an input in the same way whatever the batch size and the other heads are', () => {
    const inputsOf = (options: Partial<PretrainingOptions>): Set<string> => {
      const source = pretrainingSource({ ...base, heads: { mlm: { name: 'mlm' }, nsp: { name: 'nsp' } }, ...options })
      const inputs = new Set<string>()
      for (let index = 0; index < source.batchCount(0); index++) {
        const { tokenIds, sequenceOffsets } = source.build(0, index)
        for (let i = 0; i + 1 < sequenceOffsets.length; i++) {
          inputs.add(tokenIds.subarray(sequenceOffsets[i], sequenceOffsets[i + 1]).join())
        }
      }
      return inputs
    }
    const reference = inputsOf({})
    assert.deepEqual(inputsOf({ batchTokens: 4000 }), reference)
    assert.deepEqual(inputsOf({ heads: { mlm: { name: 'other' }, nsp: { name: 'x' } } }), reference)
    assert.deepEqual(inputsOf({ heads: { mlm: { name: 'mlm' } }, input: 'pairs' }), reference)
  })

  it('of held-out documents are the same in every epoch', () => {
    const source = pretrainingSource({ ...base, evaluation: true })
    assert.deepEqual(source.build(7, 2), source.build(0, 2))
    assert.equal(source.batchCount(7), source.batchCount(0))
  })

  it('read only the documents of the view', () => {
    const marked = corpusOf(
      Array.from({ length: 6 }, (_, document) =>
        Array.from({ length: 5 }, () => Array.from({ length: 8 }, () => ({ ids: [20 + document] }))),
      ),
    )
    const documents = Int32Array.of(1, 4)
    const source = pretrainingSource({ ...base, corpus: marked, documents, heads: { nsp: { name: 'nsp' } } })
    for (const id of source.build(0, 0).tokenIds) assert.ok(id < 20 || id === 21 || id === 24)
  })

  it('label half of the pairs as random in a held-out set', () => {
    const source = pretrainingSource({
      ...base,
      evaluation: true,
      documents: Int32Array.from({ length: 60 }, (_, i) => i),
    })
    const counts = [0, 0]
    for (let index = 0; index < source.batchCount(0); index++) {
      for (const label of source.build(0, index).labels.nsp.labels) if (label >= 0) counts[label]++
    }
    assert.equal(counts[0], counts[1])
    assert.equal(counts[1], source.statistics(0).random)
  })

  it('leave out a head that has no label in the batch', () => {
    const single = corpusOf([[[{ ids: [20] }]], [[{ ids: [21] }]]])
    const source = pretrainingSource({ ...base, corpus: single, heads: { mlm: heads.mlm, bshift: heads.bshift } })
    const { labels } = source.build(0, 0)
    assert.deepEqual(Object.keys(labels), ['mlm', 'orderTokens'])
    assert.equal(labelCount(labels.mlm), 2)
  })

  it("give one sentence an input with input 'sentences'", () => {
    const source = pretrainingSource({ ...base, input: 'sentences', heads: { bshift: heads.bshift } })
    let inputs = 0
    for (let index = 0; index < source.batchCount(0); index++) {
      const { labels, sequenceOffsets } = source.build(0, index)
      inputs += sequenceOffsets.length - 1
      labels.order?.spanStarts?.forEach((start, i) => {
        const sequence = sequenceOffsets.indexOf(start - 1)
        assert.ok(sequence >= 0)
        assert.equal(labels.order.spanEnds![i], sequenceOffsets[sequence + 1] - 1)
      })
    }
    assert.equal(inputs, corpus.sentenceCount)
  })

  it('report the unigram entropy of the masked-LM targets', () => {
    const labels = { mlm: { positions: Int32Array.of(0, 1, 2, 3), labels: Int32Array.of(7, 7, 8, 9) } }
    const batch: PackedBatch = { ...packSequences([[1, 2, 3, 4]]), labels }
    const source = { batchCount: () => 1, build: () => batch }
    const { nats, labels: count, distinct } = unigramEntropy(source, 'mlm')
    // H(1/2, 1/4, 1/4) = 1.5 bits.
    assert.ok(Math.abs(nats - 1.5 * Math.LN2) < 1e-12)
    assert.deepEqual([count, distinct], [4, 3])
    assert.throws(() => unigramEntropy(source, 'nsp'), { code: 'BAD_DATA', message: /nsp/ })
    assert.ok(unigramEntropy(pretrainingSource(base), 'mlm', { batches: 5 }).nats > 3)
  })

  it('come at 500,000 tokens a second or more from one thread', function () {
    this.timeout(10_000)
    const source = pretrainingSource({ ...base, batchTokens: 2048 })
    const count = source.batchCount(0)
    for (let index = 0; index < count; index++) source.build(0, index)
    const rates = Array.from({ length: 5 }, () => {
      let tokens = 0
      const before = performance.now()
      for (let index = 0; index < count; index++) tokens += source.build(0, index).tokenIds.length
      return (tokens / (performance.now() - before)) * 1000
    })
    // The best of five: other work on the machine only slows it down.
    assert.ok(Math.max(...rates) > 500_000, `${Math.round(Math.max(...rates))} tokens/s`)
  })
})

describe('hostile requests for batches', () => {
  const refuses = (change: Partial<PretrainingOptions>, code: string, message: RegExp): void => {
    assert.throws(() => pretrainingSource({ ...base, ...change }).build(0, 0), { name: 'StrataError', code, message })
  }

  it('are refused with the reason', () => {
    refuses({ heads: {} }, 'BAD_ARGUMENT', /no head/)
    refuses({ heads: { bshift: {} } }, 'BAD_ARGUMENT', /names no head/)
    refuses({ heads: { mlm: { name: 'a' }, nsp: { name: 'a' } } }, 'BAD_ARGUMENT', /two heads have the name a/)
    refuses({ input: 'segments' }, 'BAD_ARGUMENT', /no second segment/)
    refuses({ special: { ...SPECIAL, vocabSize: 5 } }, 'BAD_ARGUMENT', /special tokens only/)
    refuses({ special: { ...SPECIAL, vocabSize: 100 } }, 'BAD_DATA', /the vocabulary has 100/)
    refuses({ special: { ...SPECIAL, clsId: -1 } }, 'BAD_ARGUMENT', /clsId/)
    refuses({ pieces: ['a'] }, 'BAD_ARGUMENT', /pieces has 1/)
    refuses({ batchTokens: 100 }, 'BAD_ARGUMENT', /maxSequenceTokens \(128\)/)
    refuses({ documents: new Int32Array(0) }, 'BAD_DATA', /two such|at least 2/)
    refuses({ heads: { bshift: { sentenceHead: 's', probability: 3 } } }, 'BAD_ARGUMENT', /probability 3/)
    const source = pretrainingSource(base)
    for (const index of [-1, 0.5, source.batchCount(0)]) {
      assert.throws(() => source.build(0, index), { code: 'BAD_ARGUMENT' })
    }
  })

  it('a failed batch leaves no label behind for the next one', () => {
    const broken = { ...corpus, tokenIds: corpus.tokenIds.slice() }
    const source = pretrainingSource({ ...base, corpus: broken })
    const reference = pretrainingSource(base).build(0, 0)
    broken.tokenIds.fill(5000, Math.floor(corpus.tokenCount / 2))
    for (let index = 0; index < 10; index++) {
      try {
        source.build(0, index)
      } catch {}
    }
    broken.tokenIds.set(corpus.tokenIds)
    assert.deepEqual(source.build(0, 0), reference)
  })
})
