import assert from 'node:assert/strict'
import {
  annealedExponent,
  createTaskSampler,
  powerProbabilities,
  type SamplerConfig,
} from '../lib/data/task-sampler.js'

// BERT and PALs (Stickland & Murray 2019): training sizes of the official code, and the probabilities that they imply.
const sizes = { cola: 6680, mrpc: 2865, mnli: 306798, rte: 1945, sts: 4491, sst: 52616, qqp: 284257, qnli: 84715 }
const tasks = Object.entries(sizes).map(([name, size]) => ({ name, size }))
const published: Record<string, [number, number, number]> = {
  cola: [0.009, 0.033, 0.091],
  mrpc: [0.004, 0.02, 0.077],
  mnli: [0.412, 0.328, 0.196],
  rte: [0.003, 0.016, 0.071],
  sts: [0.006, 0.026, 0.084],
  sst: [0.071, 0.114, 0.138],
  qqp: [0.382, 0.313, 0.193],
  qnli: [0.114, 0.151, 0.151],
}

function assertPublished(probabilities: Float64Array, column: number): void {
  tasks.forEach(({ name }, i) => {
    assert.ok(Math.abs(probabilities[i] - published[name][column]) <= 0.00051, `${name}: ${probabilities[i]}`)
  })
  assert.ok(Math.abs(probabilities.reduce((sum, value) => sum + value, 0) - 1) < 1e-12)
}

describe('task sampler', () => {
  it('annealing goes from α = 1 over 0.6 to 0.2 with the published probabilities', () => {
    const sampler = createTaskSampler({ kind: 'annealed', epochs: 25, stepsPerEpoch: 2400 }, tasks, 1)
    for (const [step, column] of [
      [0, 0],
      [2399, 0],
      [12 * 2400, 1],
      [24 * 2400, 2],
      [90 * 2400, 2],
    ]) {
      assertPublished(sampler.probabilities(step), column)
    }
    for (const [epoch, epochs, alpha] of [
      [1, 25, 1],
      [13, 25, 0.6],
      [25, 25, 0.2],
      [1, 1, 1],
    ]) {
      assert.ok(Math.abs(annealedExponent(epoch, epochs) - alpha) < 1e-12)
    }
    const byProgress = createTaskSampler({ kind: 'annealed', epochs: 25 }, tasks, 1)
    assertPublished(byProgress.probabilities(5, 0), 0)
    assertPublished(byProgress.probabilities(5, 0.5), 1)
    assertPublished(byProgress.probabilities(5, 1), 2)
    assert.throws(() => byProgress.taskAt(5), { code: 'BAD_ARGUMENT', message: /progress/ })
  })

  it('an epoch of annealing begins with its first step, though 29 / 100 * 100 is less than 29', () => {
    for (const epochs of [3, 49, 100]) {
      const sampler = createTaskSampler({ kind: 'annealed', epochs }, tasks, 1)
      for (let epoch = 1; epoch <= epochs; epoch++) {
        const first = sampler.probabilities(0, (epoch - 1) / epochs)
        const expected = powerProbabilities(
          tasks.map(({ size }) => size),
          annealedExponent(epoch, epochs),
        )
        assert.deepEqual(first, expected, `epoch ${epoch} of ${epochs}`)
      }
    }
  })

  it('proportional, square root and temperature are powers of the sizes', () => {
    const two = [
      { name: 'large', size: 400 },
      { name: 'small', size: 100 },
    ]
    const cases: [SamplerConfig, number][] = [
      [{ kind: 'proportional' }, 4 / 5],
      [{ kind: 'sqrt' }, 2 / 3],
      [{ kind: 'temperature', temperature: 1 }, 4 / 5],
      [{ kind: 'temperature', temperature: 2 }, 2 / 3],
      [{ kind: 'temperature', temperature: 1, cap: 300 }, 3 / 4],
      [{ kind: 'temperature', temperature: 5, cap: 100 }, 1 / 2],
      [{ kind: 'weights', weights: { large: 1, small: 9 } }, 1 / 10],
    ]
    for (const [config, share] of cases) {
      const [large] = createTaskSampler(config, two, 1).probabilities(17)
      assert.ok(Math.abs(large - share) < 1e-12, `${JSON.stringify(config)}: ${large}`)
    }
    assertPublished(createTaskSampler({ kind: 'proportional' }, tasks, 1).probabilities(0), 0)
  })

  it('draws tasks as often as their probabilities say', () => {
    const sampler = createTaskSampler({ kind: 'sqrt' }, tasks, 3)
    const probabilities = sampler.probabilities(0)
    const steps = 40_000
    const counts = new Float64Array(tasks.length)
    for (let step = 0; step < steps; step++) counts[sampler.taskAt(step)]++
    probabilities.forEach((p, i) => {
      assert.ok(Math.abs(counts[i] / steps - p) < 5 * Math.sqrt((p * (1 - p)) / steps), tasks[i].name)
    })
  })

  it('is a pure function of the step: asking in any order gives the same tasks', () => {
    const ask = (steps: number[], seed: number): number[] => {
      const sampler = createTaskSampler({ kind: 'sqrt' }, tasks, seed)
      return steps.map((step) => sampler.taskAt(step))
    }
    const steps = Array.from({ length: 200 }, (_, i) => i)
    assert.deepEqual(ask([...steps].reverse(), 7).reverse(), ask(steps, 7))
    assert.deepEqual(ask(steps.slice(100), 7), ask(steps, 7).slice(100))
    assert.notDeepEqual(ask(steps, 8), ask(steps, 7))
  })

  it('round robin takes each task in turn', () => {
    const sampler = createTaskSampler({ kind: 'roundRobin' }, tasks, 1)
    assert.deepEqual(
      Array.from({ length: 16 }, (_, step) => sampler.taskAt(step)),
      [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7],
    )
    assert.deepEqual([...sampler.probabilities(9)], [0, 1, 0, 0, 0, 0, 0, 0])
  })

  describe('shuffled', () => {
    const three = [
      { name: 'large', size: 1, drawsPerPass: 40 },
      { name: 'middle', size: 1, drawsPerPass: 9 },
      { name: 'small', size: 1, drawsPerPass: 1 },
    ]
    const draw = (seed: number, from: number, to: number, tasks: Parameters<typeof createTaskSampler>[1] = three) => {
      const sampler = createTaskSampler({ kind: 'shuffled' }, tasks, seed)
      return Array.from({ length: to - from }, (_, i) => sampler.taskAt(from + i))
    }
    const tally = (drawn: number[]) => three.map((_, task) => drawn.filter((one) => one === task).length)

    it('every epoch holds each batch of each task once, in another order', () => {
      const epochs = [0, 1, 2, 3].map((epoch) => draw(5, 50 * epoch, 50 * epoch + 50))
      for (const epoch of epochs) assert.deepEqual(tally(epoch), [40, 9, 1])
      assert.equal(new Set(epochs.map(String)).size, 4)
      assert.notDeepEqual(draw(6, 0, 50), epochs[0])
      assert.deepEqual(
        [...createTaskSampler({ kind: 'shuffled' }, three, 5).probabilities(60)],
        [40 / 50, 9 / 50, 1 / 50],
      )
    })

    it('is a pure function of the step', () => {
      const forward = draw(7, 0, 175)
      const sampler = createTaskSampler({ kind: 'shuffled' }, three, 7)
      const backward = Array.from({ length: 175 }, (_, i) => sampler.taskAt(174 - i)).reverse()
      assert.deepEqual(backward, forward)
      assert.deepEqual(draw(7, 77, 175), forward.slice(77))
    })

    it('follows passes of different lengths', () => {
      const growing = [
        { name: 'a', size: 1, drawsPerPass: (pass: number) => 2 + pass },
        { name: 'b', size: 1, drawsPerPass: 3 },
      ]
      const drawn = draw(1, 0, 18, growing)
      const ofA = (from: number, to: number) => drawn.slice(from, to).filter((task) => task === 0).length
      assert.deepEqual([ofA(0, 5), ofA(5, 11), ofA(11, 18)], [2, 3, 4])
    })

    it('mixes: the small task is not always last or first', () => {
      const places = Array.from({ length: 60 }, (_, seed) => draw(seed, 0, 50).indexOf(2))
      const mean = places.reduce((sum, place) => sum + place, 0) / places.length
      assert.ok(Math.abs(mean - 24.5) < 4 * (14.4 / Math.sqrt(60)), `mean place ${mean}, 24.5 expected`)
    })

    it('needs the number of draws', () => {
      assert.throws(() => draw(1, 0, 1, [{ name: 'a', size: 3 }]), {
        code: 'BAD_RECIPE',
        message: /task a has undefined/,
      })
      assert.throws(() => draw(1, 0, 1, [{ name: 'a', size: 3, drawsPerPass: 0 }]), { code: 'BAD_RECIPE' })
      assert.throws(() => draw(1, -1, 0), { code: 'BAD_ARGUMENT' })
    })
  })

  it('never draws a task of weight 0', () => {
    const sampler = createTaskSampler(
      { kind: 'weights', weights: { a: 0, b: 1, c: 0 } },
      'abc'.split('').map((name) => ({ name, size: 1 })),
      1,
    )
    for (let step = 0; step < 500; step++) assert.equal(sampler.taskAt(step), 1)
  })

  it('names the key of settings that do not fit', () => {
    const cases: [unknown, RegExp][] = [
      [{ kind: 'weights', weights: { cola: 1 } }, /sampler\.weights\.mrpc is missing/],
      [
        { kind: 'weights', weights: { colla: 1 } },
        /sampler\.weights\.colla: there is no such task; the tasks are cola/,
      ],
      [{ kind: 'weights', weights: { ...sizes, cola: -1 } }, /sampler\.weights\.cola/],
      [{ kind: 'weights', weights: Object.fromEntries(tasks.map(({ name }) => [name, 0])) }, /all are 0/],
      [{ kind: 'temperature', temperature: 0 }, /sampler\.temperature/],
      [{ kind: 'temperature', temperature: 2, cap: Number.NaN }, /sampler\.cap/],
      [{ kind: 'annealed', epochs: 0 }, /sampler\.epochs/],
      [{ kind: 'annealed', epochs: 2, stepsPerEpoch: 0 }, /sampler\.stepsPerEpoch/],
      [{ kind: 'anealed' }, /sampler\.kind: anealed/],
    ]
    for (const [config, message] of cases) {
      assert.throws(() => createTaskSampler(config as SamplerConfig, tasks, 1), { code: 'BAD_RECIPE', message })
    }
    assert.throws(() => createTaskSampler({ kind: 'sqrt' }, [], 1), { code: 'BAD_RECIPE' })
    assert.throws(() => createTaskSampler({ kind: 'sqrt' }, [{ name: 'a', size: 0 }], 1), { code: 'BAD_RECIPE' })
    assert.throws(() => createTaskSampler({ kind: 'sqrt' }, tasks, 1).taskAt(-1), { code: 'BAD_ARGUMENT' })
  })
})
