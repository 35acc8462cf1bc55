import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import fc from 'fast-check'
import { StrataError } from '../lib/errors.js'
import { maximumSpanningTree } from '../lib/tasks/spanning-tree.js'
import { findCycle } from '../lib/text/conllu.js'

/** Made by golden/spanning_tree.py with networkx. */
interface Golden {
  cases: { words: number; scores: string; single: Best; free: Best }[]
}
interface Best {
  total: number
  heads: number[]
}

const golden: Golden = JSON.parse(
  gunzipSync(readFileSync(join(__dirname, 'golden/spanning_tree.json.gz'))).toString('utf8'),
)

const total = (scores: Float32Array, heads: ArrayLike<number>): number => {
  let sum = 0
  for (let word = 0; word < heads.length; word++) sum += scores[word * (heads.length + 1) + heads[word]]
  return sum
}

const isTree = (heads: Int32Array, roots: 'one' | 'any'): boolean => {
  const count = heads.filter((head) => head === 0).length
  return findCycle(heads) === undefined && (roots === 'one' ? count === 1 : count >= 1)
}

/** Every tree of so many words, as heads. */
function allTrees(words: number, roots: 'one' | 'any'): Int32Array[] {
  const trees: Int32Array[] = []
  const heads = new Int32Array(words)
  const fill = (word: number): void => {
    if (word === words) {
      if (isTree(heads, roots)) trees.push(heads.slice())
      return
    }
    for (let head = 0; head <= words; head++) {
      if (head === word + 1) continue
      heads[word] = head
      fill(word + 1)
    }
  }
  fill(0)
  return trees
}

describe('Maximum spanning tree', () => {
  for (const singleRoot of [true, false]) {
    const roots = singleRoot ? 'one' : 'any'
    it(`is the best of all trees of up to 6 words, ${roots} root`, function () {
      this.timeout(60_000)
      const trees = Array.from({ length: 7 }, (_, words) => allTrees(words, roots))
      // Cayley: (n + 1)^(n - 1) trees with any number of roots, n^(n - 1) with one.
      assert.deepEqual(
        trees.slice(1).map(({ length }) => length),
        [1, 2, 3, 4, 5, 6].map((n) => (singleRoot ? n : n + 1) ** (n - 1)),
      )
      // Whole numbers: sums are exact, ties are frequent. -Infinity forbids.
      const cell = fc.oneof(
        { weight: 9, arbitrary: fc.integer({ min: -9, max: 9 }) },
        { weight: 2, arbitrary: fc.constant(Number.NEGATIVE_INFINITY) },
      )
      let withoutTree = 0
      fc.assert(
        fc.property(
          fc
            .integer({ min: 1, max: 6 })
            .chain((words) => fc.array(cell, { minLength: words * (words + 1), maxLength: words * (words + 1) })),
          (cells) => {
            const scores = Float32Array.from(cells)
            const words = Math.floor(Math.sqrt(scores.length))
            const best = Math.max(...trees[words].map((heads) => total(scores, heads)))
            if (best === Number.NEGATIVE_INFINITY) {
              withoutTree++
              assert.throws(() => maximumSpanningTree(scores, words, { singleRoot }), { code: 'BAD_DATA' })
              return
            }
            const heads = maximumSpanningTree(scores, words, { singleRoot })
            assert.ok(isTree(heads, roots), `${heads}`)
            assert.equal(total(scores, heads), best)
          },
        ),
        { numRuns: 1500, seed: 6 },
      )
      assert.ok(withoutTree > 10)
    })
  }

  it('equals networkx up to 30 words', () => {
    for (const { words, scores: packed, single, free } of golden.cases) {
      const bytes = Buffer.from(packed, 'base64')
      const scores = new Float32Array(new Uint8Array(bytes).buffer)
      assert.deepEqual([...maximumSpanningTree(scores, words)], single.heads, `${words} words`)
      assert.ok(Math.abs(total(scores, single.heads) - single.total) < 1e-6 * Math.abs(single.total))
      assert.deepEqual([...maximumSpanningTree(scores, words, { singleRoot: false })], free.heads, `${words} words`)
    }
    assert.ok(golden.cases.some(({ free }) => free.heads.filter((head) => head === 0).length > 1))
  })

  it('is exact where a large constant on the root arcs would not be', () => {
    // Differences in the last bits beside huge scores.
    const scores = Float64Array.from([1e15, 0, 0.125, 1e15, 0.25, 0])
    assert.deepEqual([...maximumSpanningTree(scores, 2)], [0, 1])
  })

  it('decodes 1,000 words that all want to be in one cycle', function () {
    this.timeout(20_000)
    const words = 1000
    const scores = new Float32Array(words * (words + 1))
    for (let word = 0; word < words; word++) scores[word * (words + 1) + ((word + 1) % words) + 1] = 5
    const started = performance.now()
    const heads = maximumSpanningTree(scores, words)
    assert.ok(performance.now() - started < 5000)
    assert.ok(isTree(heads, 'one'))
    assert.equal(total(scores, heads), 5 * (words - 1))
  })

  it('refuses what is no score, naming the arc', () => {
    const bad = (value: number): Float32Array => Float32Array.from([0, 0, 1, 1, value, 0])
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
      assert.throws(
        () => maximumSpanningTree(bad(value), 2),
        (error) => {
          assert.ok(error instanceof StrataError && error.code === 'NON_FINITE')
          assert.match(error.message, /word 2 with head 1 is (NaN|Infinity)/)
          return true
        },
      )
    }
    const forbidden = new Float32Array(6).fill(Number.NEGATIVE_INFINITY)
    assert.throws(() => maximumSpanningTree(forbidden, 2), { code: 'BAD_DATA' })
    const twoRoots = Float32Array.from([0, 0, -Infinity, 0, -Infinity, 0])
    assert.throws(() => maximumSpanningTree(twoRoots, 2), /single root \(2 are needed\)/)
    assert.deepEqual([...maximumSpanningTree(twoRoots, 2, { singleRoot: false })], [0, 0])
    // A word's arc to itself is never looked at.
    assert.deepEqual([...maximumSpanningTree(Float32Array.from([0, Number.NaN]), 1)], [0])
    assert.deepEqual([...maximumSpanningTree(new Float32Array(0), 0)], [])
    for (const [scores, words] of [
      [new Float32Array(5), 2],
      [new Float32Array(2), -1],
      [new Float32Array(2), 1.5],
      [[0, 0], 1],
    ] as const) {
      assert.throws(() => maximumSpanningTree(scores as Float32Array, words), { code: 'BAD_ARGUMENT' })
    }
  })
})
