import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { StrataError } from '../lib/errors.js'
import type { Model } from '../lib/model/index.js'
import { batchesAt, batchesTaken, checkRamp, forecastOfBatches, forecastOfSteps } from '../lib/training/accumulation.js'
import { budgetProgress, budgetUnit, secondsLeft } from '../lib/training/budgets.js'
import { parameterGroups, reachedParameters } from '../lib/training/parameter-groups.js'
import { checkSchedule, scheduleFactor } from '../lib/training/schedules.js'
import { stageGroups, trainedNames } from '../lib/training/trained-parameters.js'
import type { ScheduleConfig, Stage, StageState } from '../lib/training/types.js'
import { refuses } from './helpers/refuses.js'

interface GoldenCase {
  schedule: ScheduleConfig
  steps: number
  factors: number[]
}
const golden: { cases: GoldenCase[] } = JSON.parse(readFileSync(join(__dirname, 'golden/schedules.json'), 'utf8'))

const place = (part: Partial<StageState>): StageState => ({
  index: 0,
  name: 'only',
  step: 0,
  tokens: 0,
  elapsedSeconds: 0,
  draws: 0,
  tasks: { text: { epoch: 0, index: 0, batches: 10, steps: 0 } },
  ...part,
})

describe('schedules', () => {
  for (const { schedule, steps, factors } of golden.cases) {
    it(`${schedule.kind}, warm-up ${schedule.warmup}, to ${schedule.finalFactor}: as torch and transformers`, () => {
      const ours = factors.map((_, step) => scheduleFactor(schedule, { step, progress: step / steps }))
      ours.forEach((factor, step) => {
        assert.ok(Math.abs(factor - factors[step]) <= 1e-12, `step ${step}: ${factor}, expected ${factors[step]}`)
      })
    })
  }

  it('the triangle starts at 0.25, peaks at 1 after three quarters and ends at 0', () => {
    const triangle: ScheduleConfig = { kind: 'triangle', warmup: 0, finalFactor: 0 }
    const at = (progress: number) => scheduleFactor(triangle, { step: 5, progress })
    assert.deepEqual([at(0), at(0.75), at(1), at(2)], [0.25, 1, 0, 0])
    assert.equal(scheduleFactor({ ...triangle, warmup: 10 }, { step: 5, progress: 0 }), 0.125)
  })

  it('the other triangles of Cramming have their corners where they belong', () => {
    const at = (kind: ScheduleConfig['kind'], progress: number, finalFactor = 0) =>
      scheduleFactor({ kind, warmup: 0, finalFactor }, { step: 5, progress })
    assert.deepEqual(
      [0, 0.375, 0.75, 0.875, 1].map((x) => at('triangle1', x)),
      [0.5, 0.75, 1, 0.5, 0],
    )
    for (const x of [0, 0.1, 0.75, 0.9, 1]) assert.equal(at('triangle2', x), at('triangle', x))
    assert.deepEqual(
      [0, 0.25, 0.5, 0.75, 1].map((x) => at('one-cycle', x)),
      [0, 0.5, 1, 0.5, 0],
    )
    assert.deepEqual(
      [0, 1 / 32, 1 / 16, 1 / 8, 3 / 16, 15 / 16, 1].map((x) => at('multi-cycle', x)),
      [0, 0.5, 1, 0, 1, 1, 0],
    )
    assert.equal(at('one-cycle', 1, 0.1), 0.1)
    checkSchedule({ kind: 'multi-cycle', warmup: 0, finalFactor: 0 })
  })

  it('bert jumps from nearly 1 to 0.9 at the end of a warm-up of 0.1', () => {
    const bert: ScheduleConfig = { kind: 'bert', warmup: 0.1, finalFactor: 0 }
    const at = (step: number) => scheduleFactor(bert, { step, progress: step / 1000 })
    assert.deepEqual([at(0), at(50), at(99), at(100), at(500), at(1000)], [0, 0.5, 0.99, 0.9, 0.5, 0])
    checkSchedule(bert)
  })

  it('a warm-up in steps under a budget in tokens is found from the tokens a step so far', () => {
    const schedule: ScheduleConfig = { kind: 'linear', warmup: 10, finalFactor: 0 }
    // 100 tokens a step, 10,000 in all: warm-up ends at a tenth.
    assert.equal(scheduleFactor(schedule, { step: 5, progress: 0.05 }), 0.5)
    assert.equal(scheduleFactor(schedule, { step: 10, progress: 0.1 }), 1)
    assert.ok(Math.abs(scheduleFactor(schedule, { step: 55, progress: 0.55 }) - 0.5) < 1e-12)
    assert.equal(scheduleFactor(schedule, { step: 100, progress: 1 }), 0)
  })

  it('refuses what is out of range and names it', () => {
    const refused = (part: Partial<ScheduleConfig>, field: RegExp) => {
      const schedule = { kind: 'linear', warmup: 0, finalFactor: 0, ...part } as ScheduleConfig
      assert.throws(() => checkSchedule(schedule), { name: 'StrataError', code: 'BAD_ARGUMENT', message: field })
    }
    refused({ warmup: -1 }, /warmup is -1/)
    refused({ warmup: 2.5 }, /warmup is 2.5/)
    refused({ finalFactor: 2 }, /finalFactor is 2/)
    refused({ kind: 'wave' as 'linear' }, /kind is wave/)
  })
})

describe('a growing batch', () => {
  // min((floor(x * 8192 / (0.6 * 128)) + 1) * 128, 8192) of Cramming's bert-o4, in sequences.
  const target = { accumulation: 64, accumulationRamp: 0.6 }

  it('has the sizes of the published ramp', () => {
    const sequences = (x: number) => 128 * batchesAt(target, x, 0)
    assert.deepEqual(
      [0, 0.001, 0.01, 0.1, 0.31, 0.59, 0.6, 1].map(sequences),
      [128, 128, 256, 1408, 4352, 8064, 8192, 8192],
    )
    for (let x = 0; x <= 1; x += 1 / 512) {
      assert.equal(sequences(x), Math.min((Math.floor((x * 8192) / (0.6 * 128)) + 1) * 128, 8192), `x = ${x}`)
    }
  })

  it('counts batches when the ramp is given in batches, as bert-o3 does', () => {
    const ramp = { accumulation: 32, accumulationRamp: 300_000 }
    assert.deepEqual(
      [0, 9374, 9375, 150_000, 290_624, 290_625, 300_000, 600_000].map((batches) => batchesAt(ramp, 0.5, batches)),
      [1, 1, 2, 17, 31, 32, 32, 32],
    )
    const tasks = {
      a: { epoch: 2, index: 3, batches: 10, steps: 4 },
      b: { epoch: 0, index: 5, batches: 7, steps: 1 },
    }
    assert.equal(batchesTaken({ tasks }), 28)
  })

  it('is forecast step by step', () => {
    const ramp = { accumulation: 4, accumulationRamp: 0.5 }
    // Ten steps see x = 0, 0.1, … 0.9: floor(8 x) + 1 = 1, 1, 2, 3, 4, then 4.
    assert.deepEqual(forecastOfSteps(ramp, 10), { steps: 10, batches: 1 + 1 + 2 + 3 + 4 + 5 * 4 })
    // Twenty batches: 0, 1, 2, 3, 5, 8 taken ones give floor(0.4 taken) + 1 = 1, 1, 1, 2, 3, 4; then 12, 16, 20.
    assert.deepEqual(forecastOfBatches(ramp, 20), { steps: 8, batches: 20 })
    assert.deepEqual(forecastOfSteps({ accumulation: 3 }, 5), { steps: 5, batches: 15 })
    assert.deepEqual(forecastOfBatches({ accumulation: 3 }, 15.5), { steps: 6, batches: 18 })
  })

  it('refuses what is neither a share nor a number of batches', () => {
    for (const accumulationRamp of [-0.1, 1.5, Number.NaN]) {
      assert.throws(() => checkRamp({ accumulation: 2, accumulationRamp }), {
        code: 'BAD_ARGUMENT',
        message: /accumulationRamp is/,
      })
    }
  })
})

describe('budgets', () => {
  it('count in their own unit', () => {
    assert.equal(budgetProgress({ steps: 8 }, place({ step: 2 })), 0.25)
    assert.equal(budgetProgress({ tokens: 1000 }, place({ tokens: 900 })), 0.9)
    assert.equal(budgetProgress({ hours: 0.5 }, place({ elapsedSeconds: 900 })), 0.5)
    assert.equal(budgetProgress({ hours: 0.5 }, place({ elapsedSeconds: 9000 })), 1)
  })

  it('an epoch is as many batches as all tasks have together', () => {
    const tasks = {
      small: { epoch: 5, index: 0, batches: 2, steps: 10 },
      large: { epoch: 1, index: 5, batches: 10, steps: 15 },
    }
    assert.equal(budgetProgress({ epochs: 4 }, place({ tasks })), 25 / 12 / 4)
    const alone = { large: { epoch: 1, index: 5, batches: 10, steps: 15 } }
    assert.equal(budgetProgress({ epochs: 3 }, place({ tasks: alone })), 0.5)
    const ending = { large: { epoch: 0, index: 11, batches: 10, steps: 11 } }
    assert.ok(budgetProgress({ epochs: 1 }, place({ tasks: ending })) < 1, 'a longer later pass is not cut')
  })

  it('say how much time is left', () => {
    assert.equal(secondsLeft({ steps: 100 }, place({ step: 25, elapsedSeconds: 50 })), 150)
    assert.equal(secondsLeft({ hours: 1 }, place({ elapsedSeconds: 600 })), 3000)
    assert.equal(secondsLeft({ steps: 100 }, place({})), undefined)
  })

  it('refuse none, two and nonsense', () => {
    for (const budget of [{}, { steps: 1, tokens: 1 }, { steps: 0 }, { hours: Number.NaN }]) {
      assert.throws(
        () => budgetUnit(budget),
        (error) => error instanceof StrataError && error.code === 'BAD_ARGUMENT',
      )
    }
  })
})

describe('parameter groups', () => {
  const parameters = [
    { name: 'bert.embeddings.word_embeddings.weight', shape: [8, 4], decays: true, layer: 0 },
    { name: 'bert.embeddings.LayerNorm.bias', shape: [4], decays: false, layer: 0 },
    { name: 'bert.encoder.layer.0.output.dense.weight', shape: [4, 4], decays: true, layer: 1 },
    { name: 'bert.encoder.layer.1.output.dense.weight', shape: [4, 4], decays: true, layer: 2 },
    { name: 'heads.nsp.classifier.weight', shape: [2, 4], decays: true, layer: 3 },
    { name: 'heads.nsp.classifier.bias', shape: [2], decays: false, layer: 3 },
    { name: 'heads.mlm.bias', shape: [8], decays: false, layer: 3 },
  ]
  const settings = { weightDecay: 0.01, layerDecay: 1 }

  it('biases and LayerNorm do not decay', () => {
    const groups = parameterGroups(parameters, settings)
    assert.equal(groups.length, 2)
    const still = groups.find((group) => group.weightDecay === 0)
    assert.deepEqual(still?.names, ['bert.embeddings.LayerNorm.bias', 'heads.nsp.classifier.bias', 'heads.mlm.bias'])
  })

  it('layer decay multiplies from the heads down', () => {
    const groups = parameterGroups(parameters, { weightDecay: 0.01, layerDecay: 0.5 })
    const factor = (name: string) => groups.find((group) => group.names.includes(name))?.learningRateFactor
    assert.deepEqual(
      parameters.map(({ name }) => factor(name)),
      [0.125, 0.125, 0.25, 0.5, 1, 1, 1],
    )
  })

  it('freeze leaves out, and refuses a prefix that matches nothing or everything', () => {
    const names = parameterGroups(parameters, settings, ['bert.embeddings.']).flatMap((group) => group.names)
    assert.equal(names.length, 5)
    assert.ok(!names.some((name) => name.startsWith('bert.embeddings.')))
    assert.throws(() => parameterGroups(parameters, settings, ['bert.pooler']), { message: /bert\.pooler/ })
    assert.throws(() => parameterGroups(parameters, settings, ['bert.', 'heads.']), { code: 'BAD_ARGUMENT' })
  })

  it('what no head of the stage reaches is left alone', () => {
    const heads = [
      { name: 'nsp', kind: 'next-sentence' as const, tap: { layer: 1 }, weight: 1 },
      { name: 'mlm', kind: 'masked-lm' as const, tap: { layer: 2 }, weight: 1 },
    ]
    const config = { encoder: { layers: 2 }, heads } as Parameters<typeof reachedParameters>[1]
    const names = (active: string[]) => reachedParameters(parameters, config, active).map(({ name }) => name)
    assert.ok(!names(['nsp']).includes('bert.encoder.layer.1.output.dense.weight'))
    assert.ok(!names(['nsp']).includes('heads.mlm.bias'))
    assert.ok(!names(['mlm']).includes('heads.nsp.classifier.weight'))
    assert.equal(names(['nsp', 'mlm']).length, parameters.length)
  })

  it('a head whose vector a masked LM takes over is reached with it, unless no gradient goes there', () => {
    for (const stopGradient of [false, true]) {
      const transfer = { from: 'nsp', mode: 'add' as const, stopGradient }
      const heads = [
        { name: 'nsp', kind: 'next-sentence' as const, tap: { layer: 1 }, weight: 1 },
        { name: 'mlm', kind: 'masked-lm' as const, tap: { layer: 2 }, weight: 1, transfer },
      ]
      const config = { encoder: { layers: 2 }, heads } as Parameters<typeof reachedParameters>[1]
      const names = reachedParameters(parameters, config, ['mlm']).map(({ name }) => name)
      assert.equal(names.includes('heads.nsp.classifier.weight'), !stopGradient)
    }
  })

  it('scores of pruning learn at their own rate, whatever the decay by layer', () => {
    const scores = { name: `pruning.${parameters[2].name}.scores`, shape: [4, 4], decays: true, layer: 1 }
    const heads = [{ name: 'nsp', kind: 'next-sentence' as const, tap: { layer: 2 }, weight: 1 }]
    const config = { encoder: { layers: 2 }, heads, pruning: { method: 'movement' } }
    const model = { config, parameters: () => [...parameters.slice(0, 6), scores] } as unknown as Model
    const stage = {
      tasks: [{ name: 'nsp', heads: ['nsp'] }],
      optimizer: { learningRate: 1e-3, weightDecay: 0.01, layerDecay: 0.5 },
      pruning: { scoreLearningRate: 1e-2 },
      freeze: [],
    } as unknown as Stage
    const group = stageGroups(model, stage).find(({ names }) => names.includes(scores.name))!
    assert.ok(Math.abs(group.learningRateFactor! - 10) < 1e-12)
    assert.deepEqual([group.names, group.weightDecay], [[scores.name], 0])
  })

  it("the encoder's LayerNorms are left alone only where every task has its own", () => {
    const heads = [{ name: 'nsp', kind: 'next-sentence' as const, tap: { layer: 2 }, weight: 1 }]
    const adapters = ['own', 'plain'].map((name) => ({ name, kind: 'lora', size: 2, layerNorms: name === 'own' }))
    const model = { config: { encoder: { layers: 2 }, heads, adapters }, parameters: () => parameters.slice(0, 6) }
    const trains = (...tasks: (string | undefined)[]) =>
      trainedNames(model as unknown as Model, {
        tasks: tasks.map((adapter) => ({ heads: ['nsp'], adapter })),
        freeze: [],
      }).includes('bert.embeddings.LayerNorm.bias')
    assert.deepEqual([trains('own'), trains('own', 'plain'), trains('own', undefined)], [false, true, true])
  })

  it('gates of agreements never decay', () => {
    const gates = { name: 'agreements.gates', shape: [4], decays: true, layer: 0 }
    const projection = { name: 'agreements.subj.projection', shape: [4, 4], decays: true, layer: 0 }
    for (const decayAll of [false, true]) {
      const groups = parameterGroups([gates, projection], { ...settings, decayAll })
      assert.deepEqual(
        groups.map(({ names, weightDecay }) => [names, weightDecay]),
        [
          [['agreements.gates'], 0],
          [['agreements.subj.projection'], 0.01],
        ],
      )
    }
  })

  describe('of a model with task heads, a mix, a shared pooler and adapters', () => {
    const parameter = (name: string, layer: number, decays = true) => ({ name, shape: [4], decays, layer })
    const parameters = [
      parameter('bert.embeddings.word_embeddings.weight', 0),
      parameter('bert.encoder.layer.0.output.dense.weight', 1),
      parameter('bert.encoder.layer.0.output.LayerNorm.weight', 1, false),
      parameter('bert.encoder.layer.1.output.dense.weight', 2),
      parameter('bert.encoder.layer.1.output.LayerNorm.bias', 2, false),
      parameter('adapters.rte.encode.weight', 1),
      parameter('adapters.rte.layer.1.attention.query.weight', 2),
      parameter('adapters.cola.top.weight', 3),
      parameter('mixes.all.weights', 3),
      parameter('mixes.all.gamma', 3),
      parameter('mixes.other.weights', 3),
      parameter('pooler.dense.weight', 3),
      parameter('heads.rte.classifier.weight', 3),
      parameter('heads.cola.classifier.bias', 3, false),
      parameter('heads.low.classifier.weight', 3),
    ]
    const head = { kind: 'classifier' as const, classes: 2, dropout: 0, weight: 1 }
    const config = {
      encoder: { layers: 2 },
      heads: [
        { ...head, name: 'rte', tap: { mix: 'all' }, pooler: 'shared' as const },
        { ...head, name: 'cola', tap: { layer: 2 }, pooler: 'own' as const },
        { ...head, name: 'low', tap: { layer: 1 }, pooler: 'none' as const },
      ],
    } as Parameters<typeof reachedParameters>[1]
    const reached = (heads: string[], adapters?: string[]) =>
      reachedParameters(parameters, config, heads, adapters).map(({ name }) => name)
    const find = (groups: ReturnType<typeof parameterGroups>, name: string) =>
      groups.find((group) => group.names.includes(name))

    it('a head on a mix reaches the whole encoder, its mix and the shared pooler, and the active adapters only', () => {
      const names = reached(['rte'], ['rte'])
      const others = ['adapters.cola.top.weight', 'mixes.other.weights', 'heads.cola.classifier.bias']
      assert.deepEqual(
        names,
        parameters.map(({ name }) => name).filter((name) => ![...others, 'heads.low.classifier.weight'].includes(name)),
      )
    })

    it('a head on a layer reaches no mix and no shared pooler; without an active adapter none is reached', () => {
      assert.deepEqual(
        reached(['cola']).filter((name) => !name.startsWith('bert.')),
        ['heads.cola.classifier.bias'],
      )
      assert.ok(reached(['cola'], ['cola']).includes('adapters.cola.top.weight'))
    })

    it('above a low tap neither blocks nor modules are reached', () => {
      assert.deepEqual(reached(['low'], ['rte', 'cola']), [
        'bert.embeddings.word_embeddings.weight',
        'bert.encoder.layer.0.output.dense.weight',
        'bert.encoder.layer.0.output.LayerNorm.weight',
        'adapters.rte.encode.weight',
        'heads.low.classifier.weight',
      ])
    })

    it("train: 'adapters' leaves the encoder as it is but for its LayerNorms", () => {
      const trained = parameterGroups(parameters, settings, [], 'adapters').flatMap(({ names }) => names)
      const left = parameters.map(({ name }) => name).filter((name) => !trained.includes(name))
      assert.deepEqual(left, [
        'bert.embeddings.word_embeddings.weight',
        'bert.encoder.layer.0.output.dense.weight',
        'bert.encoder.layer.1.output.dense.weight',
      ])
      const frozen = parameterGroups(parameters, settings, ['bert.'], 'adapters').flatMap(({ names }) => names)
      assert.ok(!frozen.some((name) => name.startsWith('bert.')))
      assert.throws(
        () => parameterGroups(parameters, settings, [], 'some' as 'all'),
        refuses('BAD_ARGUMENT', 'train is some'),
      )
    })

    it('the longest fitting name of rateFactors multiplies the rate', () => {
      const rateFactors = { 'mixes.': 100, 'mixes.all.gamma': 10, 'adapters.*attention': 15, 'adapters.': 2 }
      const groups = parameterGroups(parameters, { weightDecay: 0.01, layerDecay: 0.5, rateFactors })
      const factor = (name: string) => find(groups, name)?.learningRateFactor
      assert.equal(factor('mixes.all.weights'), 100)
      assert.equal(factor('mixes.all.gamma'), 10)
      assert.equal(factor('adapters.rte.layer.1.attention.query.weight'), 7.5)
      assert.equal(factor('adapters.rte.encode.weight'), 0.5)
      assert.equal(factor('heads.rte.classifier.weight'), 1)
    })

    it('refuses a factor that is none and a name that fits nothing', () => {
      const refused = (rateFactors: Record<string, number>, ...parts: string[]) =>
        assert.throws(
          () => parameterGroups(parameters, { ...settings, rateFactors }),
          refuses('BAD_ARGUMENT', 'rateFactors', ...parts),
        )
      refused({ 'mixes.': -1 }, 'mixes.', '-1')
      refused({ 'mixes.': Number.NaN }, 'mixes.', 'NaN')
      refused({ 'mixes.': '100' as unknown as number }, 'mixes.')
      refused({ mixers: 2 }, 'mixers')
      // What the stage does not reach is no mistake.
      const few = parameters.slice(0, 2)
      parameterGroups(few, { ...settings, rateFactors: { 'mixes.': 2 } }, ['pooler.'], 'all', parameters)
      // A dot is a dot.
      refused({ 'mixes.all.': 2, 'mixes.a.l': 2 }, 'mixes.a.l')
    })

    it('mixes never decay; decayAll takes biases and LayerNorm along', () => {
      for (const decayAll of [false, true]) {
        const groups = parameterGroups(parameters, { ...settings, decayAll })
        const decay = (name: string) => find(groups, name)?.weightDecay
        assert.equal(decay('mixes.all.weights'), 0)
        assert.equal(decay('mixes.all.gamma'), 0)
        assert.equal(decay('heads.rte.classifier.weight'), 0.01)
        assert.equal(decay('heads.cola.classifier.bias'), decayAll ? 0.01 : 0)
        assert.equal(decay('bert.encoder.layer.1.output.LayerNorm.bias'), decayAll ? 0.01 : 0)
      }
    })
  })
})
