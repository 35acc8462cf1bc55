import assert from 'node:assert/strict'
import { stream } from '../lib/data/random.js'
import { TOKEN_FLAGS } from '../lib/data/token-corpus.js'
import type { BatchDraft } from '../lib/objectives/index.js'
import { MaskedLm, type MaskedLmOptions } from '../lib/objectives/index.js'
import { SPECIAL } from './helpers/synthetic-corpus.js'

/** One input `[CLS] … [SEP]` of `length` tokens; every third token continues the word before it. */
function draftOf(length: number, unknownAt: number[] = []): BatchDraft {
  const draft: BatchDraft = {
    tokenIds: Int32Array.from({ length }, (_, i) => (i % 3 === 2 ? 700 + (i % 300) : 15 + ((i * 7) % 600))),
    segmentIds: new Int32Array(length),
    flags: Uint8Array.from({ length }, (_, i) => (i % 3 === 2 ? 0 : TOKEN_FLAGS.wordStart)),
    swapped: new Uint8Array(length),
    protectedFromMask: new Uint8Array(length),
    predicted: new Uint8Array(length),
    added: new Uint8Array(length),
  }
  for (const [i, id] of [
    [0, SPECIAL.clsId],
    [length - 1, SPECIAL.sepId],
  ]) {
    draft.tokenIds[i] = id
    draft.flags[i] = 0
    draft.added[i] = 1
    draft.protectedFromMask[i] = 1
  }
  for (const i of unknownAt) draft.tokenIds[i] = SPECIAL.unkId
  return draft
}

function maskOnce(options: MaskedLmOptions, length: number, key: number) {
  const maskedLm = new MaskedLm(options, SPECIAL)
  const draft = draftOf(length)
  maskedLm.apply(draft, 0, length, stream(1, key))
  return { draft, labels: maskedLm.takeLabels() }
}

/** Five standard deviations of a binomial share. */
const bound = (share: number, count: number): number => 5 * Math.sqrt((share * (1 - share)) / count)

describe('masked LM', () => {
  it('turns 80 % into [MASK], 10 % into a random ordinary token and leaves 10 %', () => {
    const original = draftOf(128)
    let count = 0
    let masked = 0
    let kept = 0
    const replacements = new Map<number, number>()
    const places = new Float64Array(128)
    for (let key = 0; key < 3000; key++) {
      const { draft, labels } = maskOnce({}, 128, key)
      labels!.positions!.forEach((position, i) => {
        count++
        places[position]++
        assert.equal(labels!.labels[i], original.tokenIds[position])
        const now = draft.tokenIds[position]
        if (now === SPECIAL.maskId) masked++
        else if (now === original.tokenIds[position]) kept++
        else replacements.set(now, (replacements.get(now) ?? 0) + 1)
      })
    }
    const replaced = count - masked - kept
    // A random token is the old one once in 995 draws.
    const sameByChance = 0.1 / 995
    assert.ok(Math.abs(masked / count - 0.8) < bound(0.8, count), `masked ${masked / count}`)
    assert.ok(Math.abs(kept / count - 0.1 - sameByChance) < bound(0.1, count), `kept ${kept / count}`)
    assert.ok(Math.abs(replaced / count - 0.1 + sameByChance) < bound(0.1, count), `replaced ${replaced / count}`)
    for (const id of replacements.keys()) assert.ok(id >= 5, `special token ${id} as a replacement`)
    assert.ok(replacements.size > 900)
    // Every ordinary place is predicted equally often, special places never.
    assert.equal(places[0] + places[127], 0)
    for (let i = 1; i < 127; i++) assert.ok(Math.abs(places[i] / 3000 - 19 / 126) < bound(19 / 126, 3000), `place ${i}`)
  })

  it('counts as BERT does: at least one, else round(share · length)', () => {
    for (const length of [3, 4, 7, 10, 30, 63, 128]) {
      const { labels } = maskOnce({}, length, 1)
      assert.equal(labels!.labels.length, Math.max(1, Math.round(0.15 * length)), `length ${length}`)
    }
  })

  it('counts exactly on wish, which may be none', () => {
    assert.equal(maskOnce({ exact: true }, 3, 1).labels, undefined)
    for (const length of [10, 63, 128]) {
      const { labels } = maskOnce({ exact: true, maskShare: 0.25 }, length, 1)
      assert.equal(labels!.labels.length, Math.round(0.25 * length))
    }
  })

  it('takes all ordinary tokens when the share asks for more than there are', () => {
    const { labels } = maskOnce({ maskShare: 1 }, 20, 1)
    assert.deepEqual(
      labels!.positions,
      Int32Array.from({ length: 18 }, (_, i) => i + 1),
    )
  })

  it('gives positions in ascending order without repetition', () => {
    const { positions } = maskOnce({ maskShare: 0.5 }, 100, 3).labels!
    for (let i = 1; i < positions!.length; i++) assert.ok(positions![i] > positions![i - 1])
  })

  it('never predicts a special token of the text or a protected place', () => {
    const maskedLm = new MaskedLm({ maskShare: 0.9 }, SPECIAL)
    for (let key = 0; key < 200; key++) {
      const draft = draftOf(40, [5, 9])
      draft.protectedFromMask.fill(1, 12, 20)
      maskedLm.apply(draft, 0, 40, stream(2, key))
      for (const position of maskedLm.takeLabels()!.positions!) {
        assert.ok(![0, 5, 9, 39].includes(position) && !(position >= 12 && position < 20), `position ${position}`)
      }
    }
  })

  it('predicts whole words on wish, never more tokens than asked', () => {
    let words = 0
    for (let key = 0; key < 200; key++) {
      const { positions } = maskOnce({ wholeWord: true }, 128, key).labels!
      const chosen = new Set(positions)
      assert.ok(chosen.size <= 19 && chosen.size >= 18)
      for (const position of chosen) {
        // Words are (3k + 1, 3k + 2) and (3k), but for the last one, which [SEP] ends.
        if (position % 3 === 1 && position < 125) assert.ok(chosen.has(position + 1), `${position} without its rest`)
        if (position % 3 === 2) {
          words++
          assert.ok(chosen.has(position - 1), `${position} without its start`)
        }
      }
    }
    assert.ok(words > 500)
  })

  it('leaves a word alone of which a part is protected', () => {
    const maskedLm = new MaskedLm({ wholeWord: true, maskShare: 1 }, SPECIAL)
    const draft = draftOf(20)
    draft.protectedFromMask[5] = 1
    maskedLm.apply(draft, 0, 20, stream(3))
    const { positions } = maskedLm.takeLabels()!
    assert.ok(!positions!.includes(4) && !positions!.includes(5) && positions!.includes(6))
  })

  it('other shares than 80/10/10 hold too', () => {
    const { draft, labels } = maskOnce({ maskTokenShare: 0, randomTokenShare: 0, maskShare: 0.5 }, 100, 1)
    assert.deepEqual(draft.tokenIds, draftOf(100).tokenIds)
    assert.equal(labels!.labels.length, 50)
    const all = maskOnce({ maskTokenShare: 1, randomTokenShare: 0, maskShare: 0.5 }, 100, 1)
    assert.ok(all.labels!.positions!.every((position) => all.draft.tokenIds[position] === SPECIAL.maskId))
  })

  it('refuses shares that make no sense and vocabularies without an ordinary token', () => {
    for (const options of [
      { maskShare: -0.1 },
      { maskShare: Number.NaN },
      { maskTokenShare: 0.8, randomTokenShare: 0.3 },
    ]) {
      assert.throws(() => new MaskedLm(options, SPECIAL), { name: 'StrataError', code: 'BAD_ARGUMENT' })
    }
    assert.throws(() => new MaskedLm({}, { ...SPECIAL, vocabSize: 5 }), {
      code: 'BAD_ARGUMENT',
      message: /special tokens only/,
    })
    assert.throws(() => new MaskedLm({}, { ...SPECIAL, maskId: 1000 }), { code: 'BAD_ARGUMENT', message: /maskId/ })
  })
})
