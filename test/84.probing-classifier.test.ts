/** Probing classifiers against scikit-learn and PyTorch (test/golden/probing.py). */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { packSequences } from '../lib/data/packed-batch.js'
import { stream } from '../lib/data/random.js'
import { computeThreads, counters, Probe, type ProbeData, type SparseSplitData, spanMeans } from '../lib/model/index.js'
import { smallModel } from './helpers/small-model.js'

interface Golden {
  sizes: { layers: number; width: number; classes: number; train: number; dev: number; test: number; l2: number[] }
  featureSum: number
  logistic: {
    l2: number
    loss: number
    devRight: number
    testRight: number
    weights: number[]
    intercepts: number[]
  }[][]
  twoClasses: {
    layer: number
    grid: { l2: number; loss: number; devRight: number; testRight: number; weights: number[]; intercept: number }[]
  }
  mix: { l2: number; loss: number; shares: number[] }[]
  mlp: { epochs: number; hidden: number; batch: number; cells: { layer: number; l2: number; weights: number[][] }[] }
}

const golden = JSON.parse(readFileSync(resolve(__dirname, 'golden/probing.json'), 'utf8')) as Golden
const { layers, width, classes, train, dev, test, l2 } = golden.sizes
const UNITS = train + dev + test
const labels = Int32Array.from({ length: UNITS }, (_, unit) => (unit * 7 + Math.floor(unit / 5)) % classes)

/** The formula of the golden script, (units, layers, width). */
function formulaFeatures(): Float32Array {
  const values = new Float32Array(UNITS * layers * width)
  let at = 0
  for (let u = 0; u < UNITS; u++)
    for (let l = 0; l < layers; l++)
      for (let h = 0; h < width; h++) {
        const hash = Math.sin(12.9898 * (u + 1) + 78.233 * (l + 1) * (h + 1)) * 43758.5453
        const signal = Math.cos(labels[u] * (h + 1)) * (0.08 + 0.04 * l)
        values[at++] = (hash - Math.floor(hash) - 0.5 + signal) * (0.25 + (h % 4)) + 0.5 * (h % 3)
      }
  return values
}

function range(first: number, count: number): Int32Array {
  return Int32Array.from({ length: count }, (_, index) => first + index)
}

const part = (first: number, count: number) => ({
  rows: range(first, count),
  labels: labels.slice(first, first + count),
})
const DATA: ProbeData = { train: part(0, train), dev: part(train, dev), test: part(train + dev, test) }

/** Each example is a unit and the next one's. */
function paired({ rows, labels: own }: ProbeData['train']): ProbeData['train'] {
  return { rows: Int32Array.from([...rows].flatMap((row, i) => [row, rows[(i + 1) % rows.length]])), labels: own }
}
const PAIRS = { train: paired(DATA.train), dev: paired(DATA.dev), test: paired(DATA.test), parts: 2 }

/** ‖a − b‖ / ‖b‖. */
function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [difference, norm] = [0, 0]
  for (let i = 0; i < b.length; i++) {
    difference += (a[i] - b[i]) ** 2
    norm += b[i] ** 2
  }
  return Math.sqrt(difference / norm)
}

async function refuses(promise: Promise<unknown>, code: string, message = /./): Promise<void> {
  await assert.rejects(promise, { name: 'StrataError', code, message })
}

describe('probing classifier', function () {
  this.timeout(60_000)
  const values = formulaFeatures()
  const features = { units: UNITS, layers, width, values }
  let probe: Probe
  before(async () => {
    computeThreads(1)
    probe = await Probe.open(features)
  })
  after(() => probe.dispose())

  it('has the features of the golden script', () => {
    const sum = values.reduce((total, value) => total + Math.abs(value), 0)
    assert.ok(Math.abs(sum / golden.featureSum - 1) < 1e-6, `${sum} is not ${golden.featureSum}`)
  })

  for (let layer = 0; layer < layers; layer++) {
    it(`equals scikit-learn's logistic regression on layer ${layer}`, async () => {
      const all = await probe.logistic(DATA, layer, { classes, l2, keepWeights: true })
      golden.logistic[layer].forEach((expected, index) => {
        const point = all.grid[index]
        assert.equal(point.l2, expected.l2)
        assert.ok(point.converged)
        assert.ok(point.iterations < 100, `${point.iterations} steps`)
        assert.ok(Math.abs(point.loss - expected.loss) < 2e-7, `loss ${point.loss} is not ${expected.loss}`)
        assert.equal(Math.round(point.devAccuracy * dev), expected.devRight)
      })
      // The best on dev, of equals the weakest penalty.
      const rights = golden.logistic[layer].map(({ devRight }) => devRight)
      const best = golden.logistic[layer][rights.indexOf(Math.max(...rights))]
      assert.equal(all.l2, best.l2)
      assert.equal(all.testRight, best.testRight)
      assert.equal(all.predictions.filter((answer, i) => answer === DATA.test.labels[i]).length, best.testRight)
      for (const expected of golden.logistic[layer]) {
        const one = await probe.logistic(DATA, layer, { classes, l2: [expected.l2], keepWeights: true })
        assert.ok(distance(one.weights!, expected.weights) < 2e-3, `weights at l2 ${expected.l2}`)
        const mean = one.intercepts!.reduce((sum, value) => sum + value / classes, 0)
        const free = one.intercepts!.map((value) => value - mean)
        assert.ok(distance(free, expected.intercepts) < 5e-3, `intercepts at l2 ${expected.l2}`)
      }
    })
  }

  it("equals scikit-learn's of two classes, whose one row of weights is the difference of two; on counts too", async () => {
    const { layer, grid } = golden.twoClasses
    const halved = ({ rows, labels: all }: ProbeData['train']) => ({ rows, labels: all.map((label) => label % 2) })
    const data = { train: halved(DATA.train), dev: halved(DATA.dev), test: halved(DATA.test) }
    const sparse = ({ rows, labels: all }: ProbeData['train']): SparseSplitData => ({
      offsets: Int32Array.from({ length: rows.length + 1 }, (_, row) => row * width),
      features: Int32Array.from({ length: rows.length * width }, (_, at) => at % width),
      values: Float32Array.from(
        [...rows].flatMap((unit) => [
          ...values.subarray((unit * layers + layer) * width, (unit * layers + layer + 1) * width),
        ]),
      ),
      labels: all,
    })
    const counts = { train: sparse(data.train), dev: sparse(data.dev), test: sparse(data.test), width }
    for (const expected of grid) {
      const options = { classes: 2, l2: [expected.l2], tolerance: 1e-10, keepWeights: true }
      const dense = await probe.logistic(data, layer, options)
      const difference = Array.from({ length: width }, (_, unit) => dense.weights![width + unit] - dense.weights![unit])
      assert.ok(distance(difference, expected.weights) < 2e-3, `weights at l2 ${expected.l2}`)
      assert.ok(Math.abs(dense.intercepts![1] - dense.intercepts![0] - expected.intercept) < 5e-3)
      for (const one of [dense, await probe.sparseLogistic(counts, options)]) {
        assert.ok(Math.abs(one.grid[0].loss - expected.loss) < 1e-6, `loss ${one.grid[0].loss} is not ${expected.loss}`)
        assert.deepEqual([Math.round(one.devAccuracy * dev), one.testRight], [expected.devRight, expected.testRight])
      }
    }
  })

  it('trains the mix with the classifier', async () => {
    for (const expected of golden.mix) {
      const { grid, shares } = await probe.logisticMix(DATA, [0, 1, 2], { classes, l2: [expected.l2] })
      assert.ok(Math.abs(grid[0].loss - expected.loss) < 1e-6, `loss ${grid[0].loss} is not ${expected.loss}`)
      assert.ok(distance(shares!, expected.shares) < 5e-3, `${shares} is not ${expected.shares}`)
    }
  })

  it("takes PyTorch's steps in the MLP, all layers and strengths side by side", async () => {
    const { epochs, hidden, batch, cells } = golden.mlp
    const sizes = [hidden * width, hidden, classes * hidden, classes]
    const start = sizes.map((size, number) =>
      Float32Array.from({ length: size }, (_, i) => 0.3 * Math.sin(i * 1.7 + number)),
    )
    const orders = Int32Array.from({ length: epochs * train }, (_, i) => {
      return ((i % train) * 7 + 11 * Math.floor(i / train)) % train
    })
    const options = { classes, hidden, batchSize: batch, epochSize: epochs, maxEpochs: epochs, keepWeights: true }
    for (const strength of [0, 1e-2]) {
      // A second strength rides along: problems must not touch each other.
      const settings = { ...options, l2: [strength, 0.5], start, orders, tenacity: 100 }
      const results = await probe.mlp(DATA, [0, 1, 2], [], settings)
      results.forEach((result, layer) => {
        const expected = cells.find((cell) => cell.layer === layer && cell.l2 === strength)!
        if (result.l2 !== strength) return
        expected.weights.forEach((tensor, index) => {
          assert.ok(distance(result.weights![index], tensor) < 1e-4, `layer ${layer}, l2 ${strength}, tensor ${index}`)
        })
      })
      assert.ok(results.some((result) => result.l2 === strength))
    }
  })

  it('learns with the MLP, stops by tenacity, repeats itself, and mixes', async () => {
    const options = { classes, l2: [1e-4, 1e-2], learningRate: 0.02, epochSize: 2, tenacity: 2, maxEpochs: 60, seed: 5 }
    const results = await probe.mlp(DATA, [0, 2], [0, 1, 2], options)
    assert.equal(results.length, 3)
    for (const { testRight, devAccuracy, epochs, grid } of results) {
      assert.ok(testRight > (2 * test) / classes / 1.5, `${testRight} of ${test}`)
      assert.equal(devAccuracy, Math.max(...grid.map((point) => point.devAccuracy)))
      assert.ok(epochs > 0 && epochs % 2 === 0)
    }
    const { shares, gamma } = results[2]
    assert.ok(Math.abs(shares!.reduce((sum, share) => sum + share, 0) - 1) < 1e-6)
    assert.ok(shares!.some((share) => Math.abs(share - 1 / 3) > 1e-3) && gamma !== 1)
    // Alone a layer gives what it gives among others.
    const [alone] = await probe.mlp(DATA, [2], [], options)
    assert.deepEqual(alone.predictions, results[1].predictions)
    assert.deepEqual(alone.grid, results[1].grid)
  })

  it('reads the same from a mapped file, from an offset on, after it was removed', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'stratabert-probe-'))
    try {
      const path = join(folder, 'features')
      writeFileSync(path, Buffer.concat([Buffer.alloc(8, 1), Buffer.from(values.buffer)]))
      await using mapped = await Probe.open({ units: UNITS, layers, width, path, offset: 8 })
      rmSync(path)
      const [here, there] = await Promise.all(
        [probe, mapped].map((one) => one.logistic(DATA, 1, { classes, l2: [1e-2] })),
      )
      assert.deepEqual(there, here)
      writeFileSync(path, Buffer.alloc(100))
      await refuses(Probe.open({ units: UNITS, layers, width, path }), 'BAD_FILE', /100 bytes; features of shape/)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it('reads examples batch by batch from the file as it reads them from memory, one unit or two', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'stratabert-probe-'))
    try {
      const path = join(folder, 'features')
      writeFileSync(path, Buffer.from(values.buffer))
      await using mapped = await Probe.open({ units: UNITS, layers, width, path })
      const mlp = { classes, l2: [1e-4, 1e-2], learningRate: 0.02, epochSize: 2, tenacity: 1, maxEpochs: 10, seed: 5 }
      for (const data of [DATA, PAIRS]) {
        const [held, read] = await Promise.all(
          [undefined, 0].map(async (heldBytes) => [
            ...(await mapped.mlp(data, [0, 2], [0, 1, 2], { ...mlp, heldBytes })),
            await mapped.logisticMix(data, [0, 1, 2], { classes, l2: [1e-3, 1e-2], heldBytes }),
          ]),
        )
        assert.deepEqual(read, held)
      }
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it('a file that is cut short while it is open is an error', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'stratabert-probe-'))
    try {
      const path = join(folder, 'features')
      writeFileSync(path, Buffer.from(values.buffer))
      await using open = await Probe.open({ units: UNITS, layers, width, path })
      truncateSync(path, 64 * width)
      await refuses(open.logistic(DATA, 0, { classes, l2: [1] }), 'BAD_FILE', /features end at byte .*cut short/)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it('features that are no finite numbers are refused with unit and layer, in every split', async () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
      for (const unit of [3, train + 1, train + dev + 2]) {
        const damaged = values.slice()
        damaged[(unit * layers + 1) * width + 2] = value
        await using probe = await Probe.open({ units: UNITS, layers, width, values: damaged })
        const named = new RegExp(`unit ${unit} on layer 1 `)
        await refuses(probe.logistic(DATA, 1, { classes, l2: [1] }), 'NON_FINITE', named)
        await refuses(probe.logisticMix(DATA, [0, 1], { classes, l2: [1] }), 'NON_FINITE', named)
        await refuses(probe.mlp(DATA, [1], [], { classes, l2: [1], maxEpochs: 4 }), 'NON_FINITE', named)
        await probe.logistic(DATA, 0, { classes, l2: [1] })
      }
    }
  })

  it('takes two units an example side by side', async () => {
    const { weights, grid } = await probe.logistic(PAIRS, 2, { classes, l2: [1e-3], keepWeights: true })
    assert.equal(weights!.length, classes * 2 * width)
    // The first unit alone tells as much and more: the optimum lies below that of one unit.
    assert.ok(grid[0].loss < golden.logistic[2][1].loss)
  })

  it('fits sparse counts as it fits the same numbers laid out', async () => {
    const random = stream(3, 'counts')
    const size = 20
    const dense = new Float32Array(UNITS * size)
    for (let u = 0; u < UNITS; u++)
      for (let word = 0; word < 4; word++) dense[u * size + ((random.below(5) * 4 + labels[u]) % size)] += 1
    const sparse = ({ rows, labels: own }: ProbeData['train']): SparseSplitData => {
      const offsets = [0]
      const [indices, counts]: [number[], number[]] = [[], []]
      for (const row of rows) {
        for (let f = 0; f < size; f++) {
          if (dense[row * size + f] === 0) continue
          indices.push(f)
          counts.push(dense[row * size + f])
        }
        offsets.push(indices.length)
      }
      const features = Int32Array.from(indices)
      return { offsets: Int32Array.from(offsets), features, values: Float32Array.from(counts), labels: own }
    }
    const data = { train: sparse(DATA.train), dev: sparse(DATA.dev), test: sparse(DATA.test), width: size }
    await using laidOut = await Probe.open({ units: UNITS, layers: 1, width: size, values: dense })
    const options = { classes, l2: [1e-4, 1e-2], keepWeights: true }
    const [one, other] = [await probe.sparseLogistic(data, options), await laidOut.logistic(DATA, 0, options)]
    for (const [index, { loss }] of one.grid.entries()) assert.ok(Math.abs(loss - other.grid[index].loss) < 1e-6)
    assert.equal(one.l2, other.l2)
    assert.ok(distance(one.weights!, other.weights!) < 1e-2)
  })

  it('refuses what cannot be', async () => {
    const options = { classes, l2: [1e-2] }
    const changed = (split: object): ProbeData => ({ ...DATA, train: { ...DATA.train, ...split } })
    const rows = DATA.train.rows.slice()
    rows[7] = UNITS
    const wrong: [() => Promise<unknown>, RegExp][] = [
      [() => probe.logistic(changed({ rows }), 0, options), /rows\[7\] of train is 380; a unit from 0 to 379/],
      [() => probe.logistic(changed({ labels: labels.slice(0, 3) }), 0, options), /rows of train has 240 entries/],
      [() => probe.logistic(DATA, 3, options), /layer 3 was asked for; the features hold 3/],
      [() => probe.logistic(DATA, 0, { classes: 3, l2: [1] }), /labels\[\d+\] of train is 3; a class from 0 to 2/],
      [() => probe.logistic(DATA, 0, { classes: 1, l2: [1] }), /classes is 1; at least 2/],
      [() => probe.logistic(DATA, 0, { classes, l2: [] }), /l2 is empty/],
      [() => probe.logistic(DATA, 0, { classes, l2: [0] }), /l2 holds 0; numbers above 0/],
      [() => probe.logistic({ ...DATA, parts: 2 }, 0, options), /2 for each of 240 labels/],
      [() => probe.logisticMix(DATA, [0.5], options), /whole numbers were expected/],
      [() => probe.mlp(DATA, [], [], options), /neither layers nor mixed layers/],
      [() => Probe.open({ units: 2, layers: 1, width: 2, values: new Float32Array(3) }), /values has 3 numbers/],
      [() => Probe.open({ units: 2, layers: 1, width: 2 }), /both or neither/],
    ]
    for (const [attempt, message] of wrong) await refuses(attempt(), 'BAD_ARGUMENT', message)
    const path = '/no/such/file'
    await refuses(Probe.open({ units: 2, layers: 1, width: 2, path }), 'NOT_FOUND', /\/no\/such\/file/)
    const nothing = await Probe.open()
    await refuses(nothing.logistic(DATA, 0, options), 'BAD_ARGUMENT', /opened without features/)
    const before = counters().liveProbes
    await nothing.dispose()
    await nothing.dispose()
    assert.equal(counters().liveProbes, before - 1)
    await refuses(nothing.logistic(DATA, 0, options), 'DISPOSED')
    const broken = values.slice()
    broken[0] = Number.NaN
    await using bad = await Probe.open({ ...features, values: broken })
    await assert.rejects(bad.logistic(DATA, 0, options), { name: 'StrataError' })
  })

  it('averages states over spans as the states say', async () => {
    await using model = await smallModel()
    const batch = packSequences([
      [1, 2, 3, 4],
      [5, 6, 7],
    ])
    const states = await model.hiddenStates(batch, [0, 2])
    const spans = { starts: Int32Array.of(0, 1, 4), ends: Int32Array.of(4, 2, 7) }
    const means = await spanMeans(model, batch, [0, 2], spans)
    const hidden = 32
    assert.equal(means.length, 3 * 2 * hidden)
    for (let span = 0; span < 3; span++)
      for (let layer = 0; layer < 2; layer++)
        for (let h = 0; h < hidden; h++) {
          let sum = 0
          for (let t = spans.starts[span]; t < spans.ends[span]; t++) sum += states[layer][t * hidden + h]
          const expected = sum / (spans.ends[span] - spans.starts[span])
          assert.ok(Math.abs(means[(span * 2 + layer) * hidden + h] - expected) < 1e-5)
        }
    for (const [starts, ends] of [
      [[3], [3]],
      [[-1], [2]],
      [[0], [8]],
    ]) {
      const wrong = { starts: Int32Array.from(starts), ends: Int32Array.from(ends) }
      await refuses(spanMeans(model, batch, [0], wrong), 'BAD_ARGUMENT', /at least one of the 7 tokens/)
    }
    await refuses(spanMeans(model, batch, [3], spans), 'BAD_ARGUMENT', /layer is 3/)
  })
})
