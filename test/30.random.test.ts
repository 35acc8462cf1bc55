import assert from 'node:assert/strict'
import { philox4x32, stream } from '../lib/data/random.js'

const words = (text: string): Uint32Array => Uint32Array.from(text.split(' '), (word) => Number.parseInt(word, 16))

describe('counter-based random numbers', () => {
  // Known answers of Random123 1.14 (tests/kat_vectors, philox4x32 10): counter, key, output.
  const vectors = [
    ['00000000 00000000 00000000 00000000', '00000000 00000000', '6627e8d5 e169c58d bc57ac4c 9b00dbd8'],
    ['ffffffff ffffffff ffffffff ffffffff', 'ffffffff ffffffff', '408f276d 41c83b0e a20bc7c6 6d5451fd'],
    ['243f6a88 85a308d3 13198a2e 03707344', 'a4093822 299f31d0', 'd16cfe09 94fdcceb 5001e420 24126ea1'],
  ]
  for (const [counter, key, output] of vectors) {
    it(`Philox4x32-10 of counter ${counter} is the published output`, () => {
      assert.deepEqual(philox4x32(words(counter), words(key)), words(output))
    })
  }

  const draw = (random: ReturnType<typeof stream>, count = 8): number[] =>
    Array.from({ length: count }, () => random.uint32())

  it('names streams by all their keys, in order and by type', () => {
    const streams = [
      stream(1),
      stream(2),
      stream(1 + 2 ** 32),
      stream(-1),
      stream(1, 0),
      stream(1, 0, 0),
      stream(1, 1, 2),
      stream(1, 2, 1),
      stream(1, '1'),
      stream(1, ''),
      stream(1, 'a'),
      stream(1, 'a', 'b'),
      stream(1, 'ab'),
      stream(1, 'abc'),
      stream(1, 'abc\0'),
    ].map((random) => draw(random, 4).join())
    assert.equal(new Set(streams).size, streams.length)
  })

  it('gives the same numbers for the same keys, and a child does not depend on what its parent drew', () => {
    const parent = stream(7, 'task', 3)
    const before = draw(parent.child(5))
    draw(parent, 13)
    assert.deepEqual(draw(parent.child(5)), before)
    assert.deepEqual(draw(stream(7, 'task', 3, 5)), before)
    assert.deepEqual(draw(stream(7, 'task', 3), 13), draw(stream(7, 'task', 3), 13))
  })

  it('refuses keys that are no integers', () => {
    assert.throws(() => stream(0.5), { name: 'StrataError', code: 'BAD_ARGUMENT' })
    assert.throws(() => stream(1, Number.NaN), { code: 'BAD_ARGUMENT' })
    assert.throws(() => stream(1).below(0), { code: 'BAD_ARGUMENT' })
  })

  it('draws below(n) uniformly: chi-square of 7 cells stays under its 99.99 % point', () => {
    const random = stream(11, 'below')
    const counts = new Array(7).fill(0)
    const draws = 70_000
    for (let i = 0; i < draws; i++) counts[random.below(7)]++
    const chiSquare = counts.reduce((sum, count) => sum + (count - draws / 7) ** 2 / (draws / 7), 0)
    // 27.86 is the 0.9999 quantile at 6 degrees of freedom.
    assert.ok(chiSquare < 27.86, `chi-square ${chiSquare}`)
  })

  it('does not favour small values when n is no power of two near 2^32', () => {
    const random = stream(12, 'large')
    const n = 3 * 2 ** 30
    let low = 0
    for (let i = 0; i < 30_000; i++) if (random.below(n) < n / 3) low++
    // Plain modulo would give 1/2 here instead of 1/3.
    assert.ok(Math.abs(low / 30_000 - 1 / 3) < 5 * Math.sqrt(2 / 9 / 30_000), `share ${low / 30_000}`)
  })

  it('has the moments of the uniform and the normal distribution', () => {
    const random = stream(13, 'moments')
    const count = 100_000
    let sum = 0
    let sumSquares = 0
    let sumFourth = 0
    let uniformSum = 0
    for (let i = 0; i < count; i++) {
      const value = random.normal()
      sum += value
      sumSquares += value ** 2
      sumFourth += value ** 4
      const uniform = random.float()
      assert.ok(uniform >= 0 && uniform < 1)
      uniformSum += uniform
    }
    const sigma = 1 / Math.sqrt(count)
    assert.ok(Math.abs(sum / count) < 5 * sigma)
    assert.ok(Math.abs(sumSquares / count - 1) < 5 * Math.SQRT2 * sigma)
    assert.ok(Math.abs(sumFourth / count - 3) < 5 * Math.sqrt(96) * sigma)
    assert.ok(Math.abs(uniformSum / count - 0.5) < 5 * Math.sqrt(1 / 12) * sigma)
  })

  it('shuffles into each of the 24 orders of four equally often', () => {
    const random = stream(14, 'shuffle')
    const counts = new Map<string, number>()
    const rounds = 24_000
    for (let i = 0; i < rounds; i++) {
      const order = random.shuffle(Uint8Array.of(0, 1, 2, 3)).join()
      counts.set(order, (counts.get(order) ?? 0) + 1)
    }
    assert.equal(counts.size, 24)
    let chiSquare = 0
    for (const count of counts.values()) chiSquare += (count - 1000) ** 2 / 1000
    // 0.9999 quantile at 23 degrees of freedom.
    assert.ok(chiSquare < 58.6, `chi-square ${chiSquare}`)
  })
})
