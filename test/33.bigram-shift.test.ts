import assert from 'node:assert/strict'
import { NO_LABEL, type PackedBatch } from '../lib/data/packed-batch.js'
import { buildPairPlan } from '../lib/data/pair-plan.js'
import { stream } from '../lib/data/random.js'
import type { TokenCorpus } from '../lib/data/token-corpus.js'
import { type BatchDraft, newDraft } from '../lib/objectives/draft.js'
import { BigramShift, MaskedLm, pretrainingSource } from '../lib/objectives/index.js'
import { balancedAccuracy } from './helpers/logistic-regression.js'
import { corpusOf, PUNCTUATION, SPECIAL, type SyntheticWord, syntheticCorpus } from './helpers/synthetic-corpus.js'

const corpus = syntheticCorpus({ documents: 400 })
const base = { corpus, special: SPECIAL, batchTokens: 2048, seed: 4 }
const plain = pretrainingSource({ ...base, heads: { nsp: { name: 'nsp' } } })
const bothLevels = { sentenceHead: 'sentence', tokenHead: 'token' }
const shifted = pretrainingSource({ ...base, heads: { nsp: { name: 'nsp' }, bshift: bothLevels } })

const sum = (values: Int32Array): number => values.reduce((total, value) => total + value, 0)
const isWordStart = (id: number): boolean => id < 700
const isPunctuation = (id: number): boolean => id >= PUNCTUATION.first && id < PUNCTUATION.first + PUNCTUATION.count

/** Cuts [start, end) into words by the ids of the synthetic vocabulary. */
function wordsOf(tokenIds: Int32Array, start: number, end: number): number[][] {
  const words: number[][] = []
  for (let i = start; i < end; i++) {
    if (i === start || isWordStart(tokenIds[i])) words.push([])
    words.at(-1)!.push(tokenIds[i])
  }
  return words
}

function sentences(batch: PackedBatch) {
  const { spanStarts, spanEnds, labels } = batch.labels.sentence
  return Array.from(labels, (label, i) => ({ start: spanStarts![i], end: spanEnds![i], label }))
}

describe('bigram shift', () => {
  it('exchanges one pair of neighbouring words in half of the sentences; undoing it gives the text', () => {
    let swaps = 0
    let total = 0
    let unequal = 0
    for (let index = 0; index < shifted.batchCount(0); index++) {
      const before = plain.build(0, index)
      const after = shifted.build(0, index)
      assert.deepEqual(after.sequenceOffsets, before.sequenceOffsets)
      const restored = after.tokenIds.slice()
      for (const { start, end, label } of sentences(after)) {
        total++
        const old = wordsOf(before.tokenIds, start, end)
        const now = wordsOf(after.tokenIds, start, end)
        assert.equal(now.length, old.length)
        if (label === 0) {
          assert.deepEqual(now, old)
          continue
        }
        swaps++
        const changed = old.flatMap((word, i) => (word.join() === now[i].join() ? [] : [i]))
        const [first, second] = changed
        assert.deepEqual(changed, [first, first + 1], 'exactly two neighbouring words have changed')
        assert.ok(first > 0, 'the first word stays')
        assert.ok(!isPunctuation(old[first][0]) && !isPunctuation(old[second][0]))
        assert.deepEqual([now[first], now[second]], [old[second], old[first]])
        if (old[first].length !== old[second].length) unequal++
        ;[now[first], now[second]] = [now[second], now[first]]
        restored.set(now.flat(), start)
      }
      assert.deepEqual(restored, before.tokenIds)
    }
    assert.ok(total > 3000 && unequal > 500)
    assert.ok(Math.abs(swaps / total - 0.5) < 5 * Math.sqrt(0.25 / total), `share of swaps ${swaps / total}`)
  })

  it('labels whole sentences with a candidate, and only those', () => {
    const plan = buildPairPlan(corpus, { input: 'pairs', maxSequenceTokens: 128, batchTokens: 2048, seed: 4, epoch: 0 })
    const { sentenceOffsets, tokenIds } = corpus
    let cut = 0
    for (let index = 0; index < 20; index++) {
      const expected: string[] = []
      const batch = shifted.build(0, index)
      plan.order.subarray(plan.batchStarts[index], plan.batchStarts[index + 1]).forEach((input, sequence) => {
        const start = batch.sequenceOffsets[sequence]
        for (const [from, length, to] of [
          [plan.aStart[input], plan.aLength[input], start + 1],
          [plan.bStart[input], plan.bLength[input], start + plan.aLength[input] + 2],
        ]) {
          for (let sentence = 0; sentence < corpus.sentenceCount; sentence++) {
            const [first, last] = [sentenceOffsets[sentence], sentenceOffsets[sentence + 1]]
            if (last <= from || first >= from + length) continue
            if (first < from || last > from + length) {
              cut++
              continue
            }
            const words = wordsOf(tokenIds, first, last)
            const usable = words.some((word, i) => {
              const next = words[i + 1]
              return i > 0 && next && !isPunctuation(word[0]) && !isPunctuation(next[0]) && `${word}` !== `${next}`
            })
            if (usable) expected.push(`${first - from + to}-${last - from + to}`)
          }
        }
      })
      assert.deepEqual(
        sentences(batch).map(({ start, end }) => `${start}-${end}`),
        expected,
      )
    }
    assert.ok(cut > 50)
  })

  it('marks each token at a swapped place, and covers all tokens but the special ones', () => {
    let positives = 0
    for (let index = 0; index < 20; index++) {
      const before = plain.build(0, index)
      const after = shifted.build(0, index)
      const { positions, labels } = after.labels.token
      const text = Int32Array.from(before.tokenIds.keys()).filter((i) => before.tokenIds[i] > SPECIAL.maskId)
      assert.deepEqual(positions, text)
      const swapped = new Set(Array.from(positions!).filter((_, i) => labels[i] === 1))
      positives += swapped.size
      for (let i = 0; i < before.tokenIds.length; i++) {
        if (before.tokenIds[i] !== after.tokenIds[i]) assert.ok(swapped.has(i), `changed token ${i} is unmarked`)
      }
      for (const { start, end, label } of sentences(after)) {
        const inside = Array.from(swapped).filter((i) => i >= start && i < end)
        assert.equal(inside.length > 0, label === 1)
        assert.equal(inside.length, inside.length === 0 ? 0 : Math.max(...inside) - Math.min(...inside) + 1)
      }
    }
    assert.ok(positives > 200)
  })

  it('touches more words on wish, in pairs that share no word', () => {
    const many = pretrainingSource({ ...base, heads: { nsp: { name: 'nsp' }, bshift: { ...bothLevels, rate: 0.4 } } })
    const share = (source: typeof shifted): number => {
      let positive = 0
      let total = 0
      for (let index = 0; index < 20; index++) {
        for (const { start, end, label } of sentences(source.build(0, index))) {
          if (label === 0) continue
          total += end - start
          const { positions, labels } = source.build(0, index).labels.token
          positions!.forEach((position, i) => {
            if (position >= start && position < end) positive += labels[i]
          })
        }
        const before = plain.build(0, index).tokenIds
        assert.deepEqual(source.build(0, index).tokenIds.slice().sort(), before.slice().sort())
      }
      return positive / total
    }
    const one = share(shifted)
    const forty = share(many)
    assert.ok(forty > 0.3 && forty < 0.5 && one < 0.2, `${one} ${forty}`)
  })

  const sentenceOf = (...words: (number | number[])[]): TokenCorpus => {
    const sentence: SyntheticWord[] = words.map((word) => {
      const ids = [word].flat()
      return { ids, punctuation: isPunctuation(ids[0]) }
    })
    return corpusOf([[sentence]])
  }
  const labelOf = (of: TokenCorpus, pieces?: string[]): PackedBatch['labels'] =>
    pretrainingSource({
      ...base,
      corpus: of,
      pieces,
      heads: { bshift: { sentenceHead: 'sentence', probability: 1 } },
    }).build(0, 0).labels

  it('moves no word further than one place, however many pairs are swapped', () => {
    const of = sentenceOf(...Array.from({ length: 40 }, (_, word) => 20 + word))
    const everywhere = { sentenceHead: 'sentence', probability: 1, rate: 1 }
    const { tokenIds } = pretrainingSource({ ...base, corpus: of, heads: { bshift: everywhere } }).build(0, 0)
    const words = Array.from(tokenIds.subarray(1, -1), (id) => id - 20)
    for (const [place, word] of words.entries()) {
      assert.ok(Math.abs(word - place) <= 1 && words[word] === place, words.join())
    }
    assert.ok(words.filter((word, place) => word !== place).length >= 20, words.join())
  })

  it('has no label for a sentence without a candidate', () => {
    for (const [name, of] of Object.entries({
      'two words': sentenceOf(20, 21),
      'punctuation between': sentenceOf(20, 21, 5, 22, 6),
      'equal forms': sentenceOf(20, 21, 21, 21),
      'equal forms of two pieces': sentenceOf(20, [21, 700], [21, 700]),
      'one token': sentenceOf(20),
    })) {
      assert.deepEqual(labelOf(of), {}, name)
    }
    assert.equal(labelOf(sentenceOf(20, 21, 22)).sentence.labels[0], 1)
    assert.equal(labelOf(sentenceOf(20, [21, 700], [21, 701])).sentence.labels[0], 1)
  })

  it('compares forms case-folded when the vocabulary is given', () => {
    const pieces = Array.from({ length: SPECIAL.vocabSize }, (_, id) => `w${id}`)
    Object.assign(pieces, { 21: 'Play', 22: 'play', 23: 'playing', 700: '##ing' })
    assert.deepEqual(labelOf(sentenceOf(20, 21, 22), pieces), {})
    assert.deepEqual(labelOf(sentenceOf(20, [21, 700], 23), pieces), {})
    assert.equal(labelOf(sentenceOf(20, 21, 23), pieces).sentence.labels[0], 1)
    assert.equal(labelOf(sentenceOf(20, 21, 22)).sentence.labels[0], 1)
  })

  it('draws every candidate equally often, swapped or not', () => {
    const shift = new BigramShift({})
    const counts = [new Float64Array(8), new Float64Array(8)]
    for (let key = 0; key < 12_000; key++) {
      const draft = newDraft(8, { bytes: new Uint8Array(0) })
      draft.tokenIds.set([20, 21, 22, 23, 24, 25, 26, 27])
      draft.flags.fill(1)
      shift.apply(draft, { start: 0, end: 8, whole: true }, stream(1, key))
      const { labels } = shift.takeSentenceLabels()!
      counts[labels[0]][draft.protectedFromMask.indexOf(1)]++
    }
    for (const count of counts) {
      assert.equal(count[0] + count[7], 0)
      // Six candidates (words 1 to 6), about 1,000 draws each.
      for (let word = 1; word <= 6; word++) assert.ok(Math.abs(count[word] - 1000) < 5 * 31, `${word}: ${count[word]}`)
    }
  })
})

describe('swapping and masking together', () => {
  const heads = { nsp: { name: 'nsp' }, bshift: bothLevels }
  const joint = pretrainingSource({ ...base, heads: { ...heads, mlm: { name: 'mlm', maskShare: 0.3 } } })

  it('masks after the swap: targets are the tokens that stand there then, and nothing else changes', () => {
    for (let index = 0; index < 20; index++) {
      const unmasked = shifted.build(0, index)
      const masked = joint.build(0, index)
      const restored = masked.tokenIds.slice()
      const { positions, labels } = masked.labels.mlm
      positions!.forEach((position, i) => {
        restored[position] = labels[i]
      })
      assert.deepEqual(restored, unmasked.tokenIds)
      assert.deepEqual(masked.labels.sentence, unmasked.labels.sentence)
      assert.deepEqual(masked.labels.nsp, unmasked.labels.nsp)
    }
  })

  it('never masks a swapped word', () => {
    for (let index = 0; index < 50; index++) {
      const { mlm, token } = joint.build(0, index).labels
      const swapped = new Set(Array.from(token.positions!).filter((_, i) => token.labels[i] === 1))
      for (const position of mlm.positions!) assert.ok(!swapped.has(position))
    }
  })

  /**
   * Sentences as [mask places only] → label. What a reader of the masks could use: their number and the longest runs without
   * one, since two neighbouring words are never masked where a pair was swapped.
   */
  function maskFeatures(protectDummies: boolean): { features: number[][]; labels: number[] } {
    const shift = new BigramShift({})
    const maskedLm = new MaskedLm({ maskShare: 0.6 }, SPECIAL)
    const features: number[][] = []
    const labels: number[] = []
    for (let key = 0; key < 8000; key++) {
      const length = 8
      const draft: BatchDraft = newDraft(length, { bytes: new Uint8Array(0) })
      const words = stream(5, 'text', key)
      for (let i = 0; i < length; i++) draft.tokenIds[i] = 15 + words.below(600)
      draft.flags.fill(1)
      shift.apply(draft, { start: 0, end: length, whole: true }, stream(5, 'shift', key))
      const label = shift.takeSentenceLabels()!.labels[0]
      if (!protectDummies && label === 0) draft.protectedFromMask.fill(0)
      maskedLm.apply(draft, 0, length, stream(5, 'mask', key))
      const masked = new Uint8Array(length)
      for (const position of maskedLm.takeLabels()!.positions!) masked[position] = 1
      const runs = Array.from(masked).join('').split('1')
      const longest = Math.max(...runs.map((run) => run.length))
      features.push([
        ...masked,
        longest,
        Number(longest >= 2),
        runs.filter((run) => run.length >= 2).length,
        ...pairs(masked),
      ])
      labels.push(label)
    }
    return { features, labels }
  }
  const pairs = (masked: Uint8Array): number[] =>
    Array.from(masked.subarray(1), (value, i) => Number(value === 0 && masked[i] === 0))

  it('does not let the places of the masks tell the label: a classifier on them stays at chance', () => {
    const accuracy = balancedAccuracy(maskFeatures(true))
    // 4,000 test sentences: five standard deviations are 0.04.
    assert.ok(Math.abs(accuracy - 0.5) < 0.04, `balanced accuracy ${accuracy}`)
  })

  it('would tell it without the dummy pairs (the classifier is able to see it)', () => {
    const accuracy = balancedAccuracy(maskFeatures(false))
    assert.ok(accuracy > 0.6, `balanced accuracy ${accuracy}`)
  })

  it('leaves masked tokens out of the token level on wish, so that the masks tell nothing there', () => {
    const without = pretrainingSource({
      ...base,
      heads: {
        mlm: { name: 'mlm', maskShare: 0.3 },
        nsp: { name: 'nsp' },
        bshift: { ...bothLevels, labelMaskedTokens: false },
      },
    })
    for (let index = 0; index < 10; index++) {
      const all = joint.build(0, index).labels
      const { mlm, token } = without.build(0, index).labels
      const masked = new Set(mlm.positions)
      assert.deepEqual(
        token.positions,
        all.token.positions!.filter((position) => !masked.has(position)),
      )
      assert.equal(sum(token.labels), sum(all.token.labels))
    }
  })

  it('labels of the whole joint batch fit their heads', () => {
    const batch = joint.build(0, 0)
    const sequences = batch.sequenceOffsets.length - 1
    assert.equal(batch.labels.nsp.labels.length, sequences)
    assert.ok(batch.labels.nsp.labels.every((label) => label === 0 || label === 1 || label === NO_LABEL))
    for (const { start, end } of sentences(batch)) {
      const sequence = batch.sequenceOffsets.findLastIndex((offset) => offset <= start)
      assert.ok(start < end && end <= batch.sequenceOffsets[sequence + 1])
    }
  })
})
