import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { StrataError } from '../lib/errors.js'
import { compareToBaseline } from '../lib/evaluation/baseline-comparison.js'
import { type ConvergencePair, convergence, medianInterval, smoothed } from '../lib/evaluation/convergence.js'
import { LayerCka } from '../lib/evaluation/layers/layer-cka.js'
import { type BootstrapLayers, pairedBootstrap, pairedBootstrapOf } from '../lib/evaluation/paired-bootstrap.js'
import { holm, pairedTTest, signFlipTest } from '../lib/evaluation/paired-tests.js'
import { studentQuantile, studentTail } from '../lib/evaluation/student-t.js'
import { median, pairedEffectSize, smallestPairedEffect, summarize } from '../lib/evaluation/summary.js'
import { GramSums } from '../lib/model/index.js'
import { CkaTable, linearCka } from './helpers/cka-table.js'

interface Goldens {
  quantiles: { probabilities: number[]; rows: { degrees: number; quantiles: number[] }[] }
  tails: { degrees: number; points: number[]; tails: number[] }[]
  summaries: {
    values: number[]
    mean: number
    standardDeviation: number
    interval: [number, number]
    interval99: [number, number]
  }[]
  effects: {
    paired: { n: number; power: number; alpha: number; d: number }[]
  }
  paired: (Record<'other' | 'baseline' | 'interval', number[]> & Record<'t' | 'degrees' | 'p' | 'signFlip', number>)[]
  monteCarlo: { differences: number[]; p: number }
  corrections: { p: number[]; adjusted: number[] }[]
  bootstraps: ({ table: number[][]; layers: BootstrapLayers } & Record<'mean' | 'deviation', number>)[]
  convergence: (Record<'steps' | 'baseline' | 'other' | 'reached', number[]> & Record<'target' | 'factor', number>)[]
  medianIntervals: { n: number; rank: number; coverage: number }[]
  ckas: { rows: number; widths: [number, number]; offset: number; cka: number; self: number }[]
}
const goldens = JSON.parse(readFileSync(join(__dirname, 'golden/seed_statistics.json'), 'utf8')) as Goldens

/** Equal to `tolerance`, relative to numbers above 1. */
function close(actual: number, expected: number, tolerance = 1e-10): void {
  const distance = Math.abs(actual - expected)
  assert.ok(distance <= tolerance * Math.max(1, Math.abs(expected)), `${actual}, expected ${expected}`)
}

const refused = (work: () => unknown, code: string, message: RegExp) =>
  assert.throws(work, (error) => error instanceof StrataError && error.code === code && message.test(error.message))

describe('Student’s t and summaries', () => {
  it('quantiles are SciPy’s for 1 to 200 degrees of freedom, and back', () => {
    const { probabilities, rows } = goldens.quantiles
    assert.equal(rows.length, 204)
    for (const { degrees, quantiles } of rows)
      for (const [i, probability] of probabilities.entries()) {
        const t = studentQuantile(probability, degrees)
        close(t, quantiles[i])
        close(studentTail(t, degrees), 2 * Math.min(probability, 1 - probability), degrees <= 200 ? 1e-13 : 1e-11)
      }
    for (const { degrees, points, tails } of goldens.tails)
      for (const [i, t] of points.entries()) {
        close(studentTail(t, degrees), tails[i], 1e-13)
        assert.ok(Math.abs(studentTail(-t, degrees) / tails[i] - 1) < 1e-11, `tail of ${t}, ${degrees}`)
      }
    assert.equal(studentTail(Number.POSITIVE_INFINITY, 3), 0)
    refused(() => studentQuantile(1, 3), 'BAD_ARGUMENT', /between 0 and 1/)
    refused(() => studentQuantile(0.5, 0), 'BAD_ARGUMENT', /0 degrees of freedom/)
  })

  it('mean, deviation and intervals are SciPy’s', () => {
    for (const { values, mean, standardDeviation, interval, interval99 } of goldens.summaries) {
      const summary = summarize(values)
      close(summary.mean, mean, 1e-14)
      close(summary.standardDeviation, standardDeviation)
      close(summary.low, interval[0])
      close(summary.high, interval[1])
      close(summarize(values, 0.99).low, interval99[0])
      close(summarize(values, 0.99).high, interval99[1])
    }
  })

  it('of one value, of none, of equal ones and of NaN', () => {
    const { NaN: none } = Number
    assert.deepEqual(summarize([7]), { count: 1, mean: 7, standardDeviation: none, low: none, high: none })
    assert.deepEqual(summarize([]), { count: 0, mean: none, standardDeviation: none, low: none, high: none })
    assert.deepEqual(summarize([0.1, 0.1, 0.1]), { count: 3, mean: 0.1, standardDeviation: 0, low: 0.1, high: 0.1 })
    for (const bad of [none, Number.POSITIVE_INFINITY])
      for (const values of [[bad, 1, 2], [1, bad, 2], [bad]]) {
        const summary = summarize(values)
        assert.deepEqual([summary.count, summary.mean, summary.low], [values.length, none, none])
      }
    refused(() => summarize([1, 2], 95), 'BAD_ARGUMENT', /level 95/)
    assert.deepEqual([median([3, 1, 2]), median([4, 1, 2, 3]), median([]), median([1, none])], [2, 2.5, none, none])
  })

  it('the smallest effect that seeds can show has that power', () => {
    for (const { n, power, alpha, d } of goldens.effects.paired) close(pairedEffectSize(n, { power, alpha }), d, 1e-9)
    // Cohen's tables and G*Power: 5 pairs show 1.68 standard deviations.
    close(pairedEffectSize(5), 1.68, 0.01)
    close(smallestPairedEffect([1, 2, 3, 4, 5]), pairedEffectSize(5) * Math.sqrt(2.5))
    for (const nothing of [
      pairedEffectSize(1),
      smallestPairedEffect([3]),
      smallestPairedEffect([0.1, 0.1, 0.1]),
      smallestPairedEffect([1, Number.NaN]),
    ])
      assert.equal(nothing, Number.NaN)
    refused(() => pairedEffectSize(3, { power: 0.01 }), 'BAD_ARGUMENT', /power 0.01 at level 0.05/)
  })
})

describe('paired tests', () => {
  it('t-test and exact sign flips are SciPy’s', () => {
    for (const { other, baseline, t, degrees, p, interval, signFlip } of goldens.paired) {
      const test = pairedTTest(other, baseline)
      close(test.t, t)
      assert.equal(test.degrees, degrees)
      close(test.p, p)
      close(test.differences.low, interval[0])
      close(test.differences.high, interval[1])
      const flips = signFlipTest(other, baseline)
      close(flips.p, signFlip, 1e-14)
      assert.deepEqual([flips.exact, flips.flips, flips.smallestP], [true, 2 ** other.length, 2 ** (1 - other.length)])
      close(flips.difference, test.differences.mean, 1e-14)
    }
  })

  it('ties in decimal fractions count', () => {
    // Sums of 0.4 by other ways, and 0.1 + 0.2 − 0.3, which is not 0 in binary.
    assert.equal(signFlipTest([0.3, 0.1, -0.2, 0.2], [0, 0, 0, 0]).p, 8 / 16)
    assert.equal(signFlipTest([0.1, 0.2, -0.3], [0, 0, 0]).p, 1)
  })

  it('above 16 seeds flips are sampled, from the seed', () => {
    const { differences, p } = goldens.monteCarlo
    const zeros = differences.map(() => 0)
    const test = signFlipTest(differences, zeros, { seed: 4 })
    assert.deepEqual([test.exact, test.flips], [false, 100_000])
    close(test.p, p, 5 * Math.sqrt((p * (1 - p)) / 100_000))
    assert.deepEqual(signFlipTest(differences, zeros, { seed: 4 }), test)
    assert.notEqual(signFlipTest(differences, zeros, { seed: 5 }).p, test.p)
    // More than one word of random bits.
    const many = Array.from({ length: 70 }, (_, i) => (i < 35 ? 1 : -1))
    assert.equal(
      signFlipTest(
        many,
        many.map(() => 0),
        { draws: 500 },
      ).p,
      1,
    )
  })

  it('one seed, no spread and NaN', () => {
    assert.equal(pairedTTest([2], [1]).p, Number.NaN)
    assert.equal(signFlipTest([2], [1]).p, 1)
    // 0.1 three times, but not to the last bit.
    const flat = pairedTTest([0.9, 0.8, 0.7], [0.8, 0.7, 0.6])
    assert.deepEqual([flat.t, flat.p], [Number.NaN, Number.NaN])
    assert.equal(signFlipTest([0.9, 0.8, 0.7], [0.8, 0.7, 0.6]).p, 0.25)
    assert.equal(signFlipTest([1, 1, 1], [1, 1, 1]).p, 1)
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      assert.equal(pairedTTest([bad, 1, 2], [0, 0, 0]).p, Number.NaN)
      assert.equal(signFlipTest([bad, 1, 2], [0, 0, 0]).p, Number.NaN)
    }
    for (const test of [pairedTTest, signFlipTest]) {
      refused(() => test([1, 2], [1]), 'BAD_ARGUMENT', /2 scores and 1 of the baseline/)
      refused(() => test([], []), 'BAD_ARGUMENT', /at least one/)
    }
  })

  it('Holm’s correction', () => {
    for (const { p, adjusted } of goldens.corrections)
      for (const [i, value] of holm(p).entries()) close(value, adjusted[i], 1e-15)
    assert.deepEqual(holm([0.01, Number.NaN, 0.04]), [0.02, Number.NaN, 0.04])
    assert.deepEqual(holm([]), [])
    refused(() => holm([0.5, 1.5]), 'BAD_ARGUMENT', /p-value 1 is 1.5/)
  })

  it('a table of runs beside the baseline', () => {
    const table = {
      accuracy: { plain: { 1: 80, 2: 81, 3: 79 }, mix: { 3: 81, 1: 83, 2: 83.5 }, deep: { 1: 80, 2: 82, 3: 78 } },
      f1: { plain: { 1: 50, 2: 51, 3: 49 }, mix: { 1: 50, 2: 55, 3: 49 } },
    }
    const rows = compareToBaseline(table, 'plain')
    assert.deepEqual(
      rows.map(({ measure, run, against }) => [measure, run, against !== undefined]),
      [
        ['accuracy', 'plain', false],
        ['accuracy', 'mix', true],
        ['accuracy', 'deep', true],
        ['f1', 'plain', false],
        ['f1', 'mix', true],
      ],
    )
    const against = rows[1].against!
    close(against.tTest.differences.mean, 2.5)
    close(against.tTest.p, pairedTTest([83, 83.5, 81], [80, 81, 79]).p)
    close(against.tTestHolm, 3 * against.tTest.p)
    assert.equal(against.signFlipHolm, 0.75)
    close(against.smallestEffect, pairedEffectSize(3) * 0.5)
    refused(
      () => compareToBaseline(table, 'base'),
      'NOT_FOUND',
      /accuracy has no baseline "base"; its runs are plain, mix/,
    )
    refused(
      () => compareToBaseline({ accuracy: { plain: { 1: 1, 2: 1 }, mix: { 2: 1, 4: 2 } } }, 'plain'),
      'BAD_DATA',
      /accuracy of mix lacks seed 1 and has seed 4, which plain lacks/,
    )
    refused(() => compareToBaseline({ accuracy: { plain: {} } }, 'plain'), 'BAD_DATA', /has no seed/)
  })
})

describe('paired bootstrap', () => {
  const zerosLike = (table: number[][]) => table.map((row) => row.map(() => 0))

  it('comes near to the enumeration of all resamples, whichever layer is drawn', () => {
    for (const { table, layers, mean, deviation } of goldens.bootstraps) {
      const result = pairedBootstrap(table, zerosLike(table), { layers, draws: 40_000, seed: 1 })
      close(result.difference, mean, 1e-14)
      assert.ok(Math.abs(result.deviation / deviation - 1) < 0.03, `${layers}: ${result.deviation}, ${deviation}`)
    }
  })

  it('a score of a whole set gives the same as the mean of its examples', () => {
    const { table } = goldens.bootstraps[8]
    const other = table.map((row) => row.map((value) => value + 0.5))
    const baseline = table.map((row) => row.map((value, i) => value * (i % 2)))
    const mean = (row: number[], examples: Int32Array) => {
      let sum = 0
      for (const example of examples) sum += row[example]
      return sum / examples.length
    }
    const options = { draws: 300, seed: 2 }
    const direct = pairedBootstrap(other, baseline, options)
    const called = pairedBootstrapOf(
      (run, seed, examples) => mean((run === 'other' ? other : baseline)[seed], examples),
      3,
      5,
      options,
    )
    for (const figure of ['difference', 'low', 'high', 'deviation'] as const) close(called[figure], direct[figure])
    assert.deepEqual(pairedBootstrap(other, baseline, options), direct)
    assert.notEqual(pairedBootstrap(other, baseline, { ...options, seed: 3 }).low, direct.low)
  })

  it('examples are shared by the seeds: copies of one seed say no more than it', () => {
    const row = Array.from({ length: 40 }, (_, i) => (i % 5 === 0 ? 1 : 0))
    const zeros = row.map(() => 0)
    const one = pairedBootstrap([row], [zeros], { layers: 'examples', draws: 4000 })
    const many = pairedBootstrap(Array(8).fill(row), Array(8).fill(zeros), { draws: 4000 })
    assert.ok(Math.abs(many.deviation / one.deviation - 1) < 0.05)
    // The deviation of a mean of 40 draws with share 0.2.
    close(one.deviation, Math.sqrt((0.2 * 0.8) / 40), 0.003)
    // Quantiles of Binomial(40, 0.2): 3 and 13 at 2.5 % and 97.5 %, 4 and 12 at 5 % and 95 %.
    const hits = ({ low, high }: { low: number; high: number }) => [Math.round(low * 40), Math.round(high * 40)]
    const options = { layers: 'examples', draws: 40_000 } as const
    assert.deepEqual(hits(pairedBootstrap([row], [zeros], options)), [3, 13])
    assert.deepEqual(hits(pairedBootstrap([row], [zeros], { ...options, level: 0.9 })), [4, 12])
  })

  it('no spread, NaN, one seed, unequal tables', () => {
    const flat = [
      [0.1, 0.1, 0.1],
      [0.1, 0.1, 0.1],
    ]
    const { low, high, deviation } = pairedBootstrap(flat, zerosLike(flat))
    close(low, 0.1, 1e-12)
    assert.deepEqual([high, deviation < 1e-12], [low, true])
    const broken = pairedBootstrap(
      [
        [1, Number.NaN],
        [1, 2],
      ],
      zerosLike([
        [0, 0],
        [0, 0],
      ]),
      { draws: 50 },
    )
    assert.deepEqual([broken.low, broken.high, broken.deviation], [Number.NaN, Number.NaN, Number.NaN])
    refused(() => pairedBootstrap([[1, 2]], [[1, 1]]), 'BAD_ARGUMENT', /one of seeds .* layers: 'examples'/)
    refused(() => pairedBootstrap([[1], [2]], [[1], [2]]), 'BAD_ARGUMENT', /one of examples .* layers: 'seeds'/)
    refused(
      () =>
        pairedBootstrap(
          [[1, 2], [1]],
          [
            [1, 2],
            [1, 2],
          ],
        ),
      'BAD_ARGUMENT',
      /seed 1 of the run has 1 examples, 2/,
    )
    refused(() => pairedBootstrap([[1, 2]], []), 'BAD_ARGUMENT', /1 seeds and 0 of the baseline/)
    refused(() => pairedBootstrap(flat, flat, { draws: 0 }), 'BAD_ARGUMENT', /0 draws/)
  })
})

describe('convergence factor', () => {
  const curve = (scores: number[], distance = 10) => ({ steps: scores.map((_, i) => distance * (i + 1)), scores })

  it('is worked out as in the script', () => {
    const pairs = goldens.convergence.map(
      ({ steps, baseline, other }, seed): ConvergencePair => ({
        seed,
        baseline: { steps, scores: baseline },
        other: { steps, scores: other },
      }),
    )
    const result = convergence(pairs, 0.3)
    const factors = goldens.convergence.map(({ factor }) => factor)
    for (const [seed, { target, reached, factor }] of goldens.convergence.entries()) {
      const pair = result.pairs[seed]
      assert.deepEqual([pair.target, pair.baselineStep, pair.otherStep, pair.factor], [target, ...reached, factor])
    }
    close(result.median, median(factors))
    assert.deepEqual([result.comparable, result.notComparable, result.enoughSeeds], [6, 0, true])
    assert.deepEqual(result.interval, { low: Math.min(...factors), high: Math.max(...factors), coverage: 0.96875 })
    const logs = summarize(factors.map(Math.log))
    close(result.geometricMean.high, Math.exp(logs.high))
    for (const { n, rank, coverage } of goldens.medianIntervals) {
      const interval = medianInterval(Array.from({ length: n }, (_, i) => i + 1))
      assert.deepEqual([interval.low, interval.high], [rank, n + 1 - rank])
      close(interval.coverage, coverage, 1e-14)
    }
  })

  it('a single peak is no level, and the ends have no window', () => {
    assert.deepEqual([...smoothed([0.9, 0.1, 0.8, 0.2, 0.3])], [0.8, 0.2, 0.3])
    // The baseline's peak at step 20 is smoothed away: both reach 0.6 at their own pace.
    const baseline = curve([0.5, 0.9, 0.5, 0.5, 0.6, 0.6, 0.6])
    const other = curve([0.5, 0.6, 0.6, 0.6, 0.7, 0.7, 0.7])
    const { pairs } = convergence([{ seed: 0, baseline, other }], 0.5)
    assert.deepEqual([pairs[0].target, pairs[0].baselineStep, pairs[0].otherStep, pairs[0].factor], [0.6, 50, 20, 2.5])
  })

  it('a run that never leaves the majority score makes its pair not comparable', () => {
    const rising = curve([0.5, 0.6, 0.7, 0.8])
    const stuck = curve([0.5, 0.5, 0.5, 0.55])
    const undefinedAtFirst = curve([Number.NaN, Number.NaN, 0.7, 0.8])
    const result = convergence(
      [
        { seed: 1, baseline: stuck, other: rising },
        { seed: 2, baseline: stuck, other: stuck },
        { seed: 3, baseline: undefinedAtFirst, other: rising },
      ],
      0.5,
    )
    assert.deepEqual(
      result.pairs.map(({ stuck, factor }) => [stuck, factor]),
      [
        [['baseline'], undefined],
        [['baseline', 'other'], undefined],
        [[], 1],
      ],
    )
    assert.deepEqual([result.comparable, result.notComparable, result.enoughSeeds], [1, 2, false])
    assert.deepEqual([result.median, result.interval], [1, { low: 1, high: 1, coverage: 0 }])
    assert.deepEqual([result.pairs[2].undefinedScores, result.geometricMean.low], [2, Number.NaN])
    const none = convergence([{ seed: 1, baseline: stuck, other: stuck }], 0.5)
    assert.deepEqual([none.median, none.interval.low], [Number.NaN, Number.NaN])
  })

  it('curves that cannot be compared are refused', () => {
    const good = curve([1, 2, 3, 4])
    const of = (baseline: { steps: number[]; scores: number[] }, other = good) =>
      convergence([{ seed: 7, baseline, other }], 0)
    refused(() => of(curve([1, 2])), 'BAD_DATA', /baseline of seed 7: 2 scores; .* at least 3/)
    refused(() => of({ steps: [10, 20], scores: [1] }), 'BAD_DATA', /2 steps and 1 scores/)
    refused(() => of({ steps: [10, 20, 40, 50], scores: [1, 2, 3, 4] }), 'BAD_DATA', /step 40 follows 20; .* every 10/)
    refused(() => of({ steps: [10, 10, 10], scores: [1, 2, 3] }), 'BAD_DATA', /step 10 follows 10/)
    refused(() => of(curve([1, 2, 3, 4], 20)), 'BAD_DATA', /baseline is at step 20, of the run at 10/)
    refused(() => of(curve([1, 2, 3])), 'BAD_DATA', /score 3 of the baseline is at step undefined/)
    const short = { steps: [10, 20, 30, 35], scores: [1, 2, 3, 4] }
    assert.equal(of(short, short).pairs[0].factor, 1)
    refused(() => convergence([], 0), 'BAD_ARGUMENT', /no pair/)
    refused(() => convergence([{ seed: 1, baseline: good, other: good }], Number.NaN), 'BAD_ARGUMENT', /majority/)
    const twice = { seed: 1, baseline: good, other: good }
    refused(() => convergence([twice, twice], 0), 'BAD_DATA', /seed 1 comes twice/)
  })
})

describe('linear CKA', () => {
  /** The golden script's generator. */
  function states(rows: number, width: number, offset: number, seed: number): Float64Array {
    let state = BigInt(seed)
    return Float64Array.from({ length: rows * width }, () => {
      state = (state * 1103515245n + 12345n) % 2147483648n
      return Number(state % 2001n) - 1000 + offset
    })
  }
  function pair({ rows, widths, offset }: Goldens['ckas'][number]): [Float64Array, Float64Array] {
    const x = states(rows, widths[0], offset, 1)
    const y = states(rows, widths[1], offset, 2)
    for (let row = 0; row < rows; row++)
      for (let j = 0; j < Math.min(...widths); j++) y[row * widths[1] + j] += 2 * x[row * widths[0] + j]
    return [x, y]
  }

  it('is NumPy’s, in one block or many', () => {
    for (const golden of goldens.ckas) {
      const [x, y] = pair(golden)
      const [width, other] = golden.widths
      close(linearCka(x, width, y, other), golden.cka)
      close(linearCka(x, width, x, width), 1, 1e-12)
      close(linearCka(Float32Array.from(x), width, Float32Array.from(y), other), golden.cka)
      const table = new CkaTable([width, other])
      for (let row = 0; row < golden.rows; ) {
        const end = Math.min(golden.rows, row + 1 + (row % 13))
        table.add([x.subarray(row * width, end * width), y.subarray(row * other, end * other)])
        row = end
      }
      assert.equal(table.rows, golden.rows)
      const values = table.values()
      assert.deepEqual([values[0][0], values[1][1], values[0][1]], [1, 1, values[1][0]])
      close(values[0][1], golden.cka)
    }
  })

  it('summed natively it is the same, and both are the formula', async () => {
    const widths = [7, 10, 5]
    const rows = 300
    const layers = widths.map((width, layer) => states(rows, width, 50 * layer, layer + 3))
    for (const [column, layer] of [0, 1].entries())
      for (let row = 0; row < rows; row++) layers[2][row * 5 + column] += layers[layer][row * widths[layer]]
    const blocks = (from: number, to: number) =>
      layers.map((block, layer) => block.subarray(from * widths[layer], to * widths[layer]))
    const alone = new CkaTable(widths)
    await using native = await LayerCka.open(widths)
    for (const [from, to] of [
      [0, 290],
      [290, 290],
      [290, rows],
    ]) {
      alone.add(blocks(from, to))
      await native.add(blocks(from, to))
    }
    const values = alone.values()
    assert.equal(native.rows, rows)
    const natively = await native.values()
    assert.deepEqual(await native.values(), natively)
    for (const i of [0, 1, 2]) for (const j of [0, 1, 2]) close(natively[i][j], values[i][j], 1e-12)

    const centred = layers.map((block, layer) => {
      const width = widths[layer]
      const mean = Array.from({ length: width }, (_, column) => {
        let sum = 0
        for (let row = 0; row < rows; row++) sum += block[row * width + column]
        return sum / rows
      })
      return block.map((value, at) => value - mean[at % width])
    })
    const norm = (i: number, j: number) => {
      let total = 0
      for (let a = 0; a < widths[i]; a++)
        for (let b = 0; b < widths[j]; b++) {
          let product = 0
          for (let row = 0; row < rows; row++)
            product += centred[i][row * widths[i] + a] * centred[j][row * widths[j] + b]
          total += product ** 2
        }
      return total
    }
    for (const i of [0, 1, 2])
      for (const j of [0, 1, 2]) close(values[i][j], norm(i, j) / Math.sqrt(norm(i, i) * norm(j, j)), 1e-10)

    await using two = await LayerCka.open([7], [10, 5])
    await two.add([layers[0]], [layers[1], layers[2]])
    const [[first, second]] = await two.values()
    close(first, linearCka(layers[0], 7, layers[1], 10), 1e-12)
    close(second, linearCka(layers[0], 7, layers[2], 5), 1e-12)
  })

  it('rotation, scale and a mean far from 0 change nothing', () => {
    const [x, y] = pair(goldens.ckas[1])
    const far = x.map((value) => value + 1e8)
    close(linearCka(far, 16, y, 24), linearCka(x, 16, y, 24))
    const turned = Float64Array.from(x)
    for (let at = 0; at < x.length; at += 2) {
      turned[at] = 3 * (0.6 * x[at] - 0.8 * x[at + 1])
      turned[at + 1] = 3 * (0.8 * x[at] + 0.6 * x[at + 1])
    }
    close(linearCka(x, 16, turned, 16), 1, 1e-12)
  })

  it('constant states, one row and NaN have none', () => {
    const constant = new Float32Array(12).fill(0.1)
    const x = states(4, 3, 0, 1)
    assert.equal(linearCka(constant, 3, x, 3), Number.NaN)
    assert.equal(linearCka(x.subarray(0, 3), 3, x.subarray(3, 6), 3), Number.NaN)
    assert.equal(
      linearCka(
        x.map((value, i) => (i === 5 ? Number.NaN : value)),
        3,
        x,
        3,
      ),
      Number.NaN,
    )
    assert.deepEqual(new CkaTable([3]).values(), [[Number.NaN]])
  })

  it('states that do not belong together are refused, and leave the table as it was', async () => {
    const x = states(4, 3, 0, 1)
    refused(() => linearCka(x, 3, x, 4), 'BAD_DATA', /layer 0 of the second set has 3 rows, the layers before it 4/)
    refused(() => linearCka(x, 5, x, 3), 'BAD_DATA', /12 numbers, no multiple of its width 5/)
    refused(() => new CkaTable([0]), 'BAD_ARGUMENT', /widths of states \[0\]/)
    await using sums = await GramSums.open([3, 2], [[0, 1]])
    await assert.rejects(sums.add([x, x], 4), /block of layer 1 has 12 numbers, 4 rows of 2/)
    await assert.rejects(sums.add([x], 4), /1 blocks of states came, 2 were expected/)
    await assert.rejects(GramSums.open([3], [[0, 1]]), /layers 0 and 1 as a pair/)
    const table = new CkaTable([3, 3])
    refused(() => table.add([x]), 'BAD_DATA', /1 layers in the first set of states; 2 were expected/)
    refused(() => table.add([x, x], [x]), 'BAD_ARGUMENT', /one list of states/)
    table.add([x, x])
    refused(() => table.add([x, x.subarray(3)]), 'BAD_DATA', /layer 1 of the first set has 3 rows/)
    assert.equal(table.rows, 4)
    close(table.values()[0][1], 1, 1e-14)
  })
})
