/** Every update rule: against torch and the papers' formulas, through its file, and when a gradient is not finite. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspectSafetensors, type Model, Optimizer, type OptimizerOptions, type Precision } from '../lib/model/index.js'
import { optimizerOptions, scheduleFactor } from '../lib/training/index.js'
import {
  addGradient,
  decode,
  GRADIENT_STEPS,
  type GradientFixture,
  gradientModel,
  readAll,
} from './golden/optimizers-gradients.js'
import { refuses } from './helpers/refuses.js'
import { normOf, relativeDistance, smallBatch, smallModel } from './helpers/small-model.js'
import { RULES, type Rule } from './helpers/update-rules.js'

interface GoldenCase {
  label: string
  options: Rule
  weightDecay: number
  maxGradNorm: number
  maxTensorGradNorm: number
  rates: number[]
  final: string
}

const read = (name: string) => JSON.parse(readFileSync(join(__dirname, 'golden', name), 'utf8'))
const betas = { beta1: 0.9, beta2: 0.999 }
const UPDATE = { learningRate: 1e-2, maxGradNorm: 1, maxTensorGradNorm: 0.5 }

describe('optimizers', function () {
  this.timeout(60_000)
  let folder: string
  const made: { dispose(): Promise<void> }[] = []
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-optimizers-'))
  })
  afterEach(async () => {
    for (const handle of made.splice(0).reverse()) await handle.dispose()
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  async function make(...args: Parameters<typeof smallModel>): Promise<Model> {
    const model = await smallModel(...args)
    made.push(model)
    return model
  }

  /** Over all parameters, half of them with decay. */
  async function optimize(model: Model, rule: Rule, weightDecay = 0.01): Promise<Optimizer> {
    const names = (decays: boolean) => model.parameters().flatMap((p) => (p.decays === decays ? [p.name] : []))
    const groups = [
      { names: names(true), weightDecay, learningRateFactor: 1 },
      { names: names(false), weightDecay: 0, learningRateFactor: 0.5 },
    ]
    const optimizer = await Optimizer.create(model, { ...rule, groups } as OptimizerOptions)
    made.push(optimizer)
    return optimizer
  }

  describe('goldens: 50 given gradients', () => {
    const fixture: GradientFixture = read('optimizers-gradients.json')
    const { cases }: { cases: GoldenCase[] } = read('optimizers.json')
    const gradients = decode(fixture.gradients)
    const weights = gradients.length / GRADIENT_STEPS

    // In float32 AdamW and BERTAdam have a kernel of their own; the gradients' rounding is most of what is allowed there.
    const precisions = [
      { precision: 'fp64', gradientLimit: 1e-12, limit: 1e-10 },
      { precision: 'fp32', gradientLimit: 1e-5, limit: 1e-5 },
    ] as const
    const runs = precisions.flatMap((precision) => cases.map((golden) => ({ ...precision, ...golden })))
    for (const run of runs) {
      const { precision, gradientLimit, limit } = run
      const { label, options, weightDecay, maxGradNorm, maxTensorGradNorm, rates, final } = run
      it(`${label}, ${precision}`, async () => {
        const model = await gradientModel(precision)
        made.push(model)
        const { names } = fixture
        const fixed = await readAll(model, 'value', names)
        const start =
          precision === 'fp32' ? Float64Array.from(decode(fixture.values), Math.fround) : decode(fixture.values)
        assert.deepEqual(flat(fixed, names), start, 'the weights start as in the fixture')
        const groups = names.map((name) => ({
          names: [name],
          weightDecay: /bias$|LayerNorm/.test(name) ? 0 : weightDecay,
          learningRateFactor: name.startsWith('heads.') ? 0.5 : 1,
        }))
        const optimizer = await Optimizer.create(model, {
          ...options,
          groups: joinStacked(groups),
        } as OptimizerOptions)
        made.push(optimizer)
        let own = fixed
        for (let step = 0; step < GRADIENT_STEPS; step++) {
          // The gradients are those of the first weights, so that every rule sees the same ones.
          await model.writeTensors(fixed)
          await addGradient(model, step)
          const gradient = flat(await readAll(model, 'gradient', names), names)
          const expected = gradients.subarray(step * weights, (step + 1) * weights)
          const apart = relativeDistance({ gradient }, { gradient: expected })
          assert.ok(apart <= gradientLimit, `gradient of step ${step}: ${apart}`)
          await model.writeTensors(own)
          const done = await optimizer.step({ learningRate: rates[step], maxGradNorm, maxTensorGradNorm })
          assert.ok(Math.abs((await done.read()).gradNorm / normOf(expected) - 1) <= gradientLimit)
          own = await readAll(model, 'value', names)
        }
        const expected = decode(final)
        const moved = relativeDistance({ all: expected }, { all: decode(fixture.values) })
        assert.ok(moved > 0.02, `the weights move far enough to tell rules apart: ${moved}`)
        const distance = relativeDistance({ all: flat(own, names) }, { all: expected })
        assert.ok(distance <= limit * Math.min(1, moved), `${distance} of ${moved}`)
      })
    }

    it("the rates of BERTAdam's case are those of its schedule", () => {
      const { rates } = cases.find(({ options }) => options.kind === 'bert-adam')!
      rates.forEach((rate, step) => {
        const place = { step, progress: step / GRADIENT_STEPS }
        const factor = scheduleFactor({ kind: 'bert', warmup: 0.1, finalFactor: 0 }, place)
        assert.ok(Math.abs(factor * 1e-2 - rate) <= 1e-16, `step ${step}`)
      })
    })
  })

  for (const precision of ['fp32', 'bf16', 'fp16'] as const) {
    for (const [label, rule] of Object.entries(RULES)) {
      it(`${label}: the first update follows from the gradient, ${precision}`, async () => {
        // More than one piece of the CPU's work a tensor, and a piece that is not full.
        const kernels = precision === 'fp16' ? 'portable' : 'fast'
        const model = await make({ precision, kernels }, { vocabSize: 2001 })
        await checkFirstUpdate(model, await optimize(model, rule, 0.1), rule)
      })
    }
  }

  for (const [label, rule] of Object.entries(RULES)) {
    for (const precision of ['fp32', 'bf16', 'fp64'] as const) {
      it(`${label}: goes on bit for bit from its file, ${precision}`, async () => {
        const straight = await trained(precision, rule, false)
        assert.deepEqual(await trained(precision, rule, true), straight)
      })
    }

    for (const precision of ['fp32', 'fp64'] as const) {
      it(`${label}: a gradient that is not finite leaves weights and moments untouched, ${precision}`, async () => {
        const [model, twin] = [await make({ precision }), await make({ precision })]
        const [optimizer, twinOptimizer] = [await optimize(model, rule), await optimize(twin, rule)]
        // Also before the first update, when the moments are still 0.
        for (const [seed, finite] of [
          [1, false],
          [2, true],
          [3, false],
          [4, true],
          [5, true],
        ] as const) {
          const before = await model.readTensors('value')
          const lossDivisors: Record<string, number> = finite ? {} : { mlm: 1e-320 }
          await model.step(smallBatch(seed), { lossDivisors })
          const { applied } = await (await optimizer.step(UPDATE)).read()
          assert.equal(applied, finite)
          if (!finite) {
            assert.deepEqual(await model.readTensors('value'), before)
            continue
          }
          await twin.step(smallBatch(seed))
          await twinOptimizer.step(UPDATE)
          assert.notDeepEqual(await model.readTensors('value'), before)
        }
        assert.deepEqual(await model.readTensors('value'), await twin.readTensors('value'))
      })
    }
  }

  async function trained(precision: Precision, rule: Rule, cut: boolean) {
    let model = await make({ precision })
    let optimizer = await optimize(model, rule)
    for (let step = 0; step < 6; step++) {
      if (cut && step === 3) {
        const mapping = Object.fromEntries(model.parameters().map(({ name }) => [name, name]))
        const [weights, moments] = [join(folder, 'weights'), join(folder, 'moments')]
        await Promise.all([model.save(weights, mapping), optimizer.save(moments)])
        model = await make({ precision, seed: 99 })
        optimizer = await optimize(model, rule)
        await Promise.all([model.load(weights, mapping), optimizer.load(moments)])
      }
      await model.step(smallBatch(step))
      const { stepCount } = await (await optimizer.step(UPDATE)).read()
      assert.equal(stepCount, step + 1)
    }
    return model.readTensors('value')
  }

  it('steps before and after a load are told apart', async () => {
    const model = await make()
    const optimizer = await optimize(model, RULES.adamax)
    const file = join(folder, 'fresh')
    await optimizer.save(file)
    const norms: number[] = []
    const steps = []
    for (const batch of [smallBatch(1), smallBatch(2)]) {
      await model.step(batch)
      norms.push(normOf(...Object.values(await model.readTensors('gradient'))))
      steps.push(await optimizer.step(UPDATE))
      await optimizer.load(file)
    }
    for (const [index, step] of steps.entries()) {
      const { gradNorm, stepCount } = await step.read()
      assert.equal(stepCount, 1)
      assert.ok(Math.abs(gradNorm / norms[index] - 1) < 1e-5, `step ${index}: ${gradNorm}, ${norms[index]}`)
    }
  })

  it('the loss scale of fp16 is part of the state', async () => {
    const options = { precision: 'fp16', kernels: 'portable' } as const
    const model = await make(options)
    const optimizer = await optimize(model, RULES.adamax)
    for (const divisor of [1, 1e-320, 1, 1, 1, 1]) {
      await model.step(smallBatch(), { lossDivisors: { mlm: divisor } })
      await optimizer.step(UPDATE)
    }
    const [first, second] = [join(folder, 'scaled'), join(folder, 'scaled-again')]
    await optimizer.save(first)
    const { metadata } = inspectSafetensors(first)
    const [scale, goodSteps] = [Number(metadata.lossScale), Number(metadata.goodSteps)]
    assert.ok(scale >= 1 && scale < 65536 && goodSteps > 0, JSON.stringify(metadata))
    const again = await make(options)
    const resumed = await optimize(again, RULES.adamax)
    await resumed.load(first)
    await resumed.save(second)
    assert.deepEqual(readFileSync(second), readFileSync(first))
    await again.step(smallBatch())
    const [gradients, norm] = [await again.readTensors('gradient'), await (await resumed.step(UPDATE)).read()]
    assert.ok(
      Math.abs(normOf(...Object.values(gradients)) / norm.gradNorm / scale - 1) < 1e-4,
      'the next loss is scaled so',
    )
    const single = await optimize(await make(), RULES.adamax)
    await single.load(first)
    await single.save(second)
    assert.equal(inspectSafetensors(second).metadata.lossScale, undefined)
  })

  it('the state of one kind is refused by every other, with both names', async () => {
    const model = await make()
    const names = ['adamw', 'adamax', 'adamax-mt-dnn', 'bert-adam', 'sgd']
    const labels = ['adamw', 'adamax', 'adamax as MT-DNN', 'bert-adam', 'sgd with momentum']
    const optimizers: Optimizer[] = []
    for (const [index, label] of labels.entries()) {
      optimizers.push(await optimize(model, RULES[label]))
      await optimizers[index].save(join(folder, names[index]))
    }
    for (const [own, optimizer] of optimizers.entries()) {
      for (const [other, name] of names.entries()) {
        const load = optimizer.load(join(folder, name))
        if (own === other) await load
        else await assert.rejects(load, refuses('BAD_CHECKPOINT', join(folder, name), ` ${name},`, ` ${names[own]} `))
      }
    }
    const plain = await optimize(model, RULES.sgd)
    await assert.rejects(plain.load(join(folder, 'sgd')), refuses('BAD_CHECKPOINT', 'tensors'))
  })

  // biome-ignore format: a table, one case a line
  const refused: [object, string, ...string[]][] = [
    [{ kind: 'lion' }, 'UNSUPPORTED', 'lion', 'bert-adam'],
    [{ kind: 'adamax', ...betas, epsilon: 1e-8, variant: 'keras' }, 'BAD_ARGUMENT', 'variant', 'keras', 'mt-dnn'],
    [{ kind: 'adamax', ...betas, epsilon: 0 }, 'BAD_ARGUMENT', 'epsilon'],
    [{ kind: 'bert-adam', ...betas, beta1: 1, epsilon: 1e-6 }, 'BAD_ARGUMENT', 'beta1 is 1'],
    [{ kind: 'bert-adam', ...betas, beta2: '0.9', epsilon: 1e-6 }, 'BAD_ARGUMENT', 'beta2 is a string'],
    [{ kind: 'sgd', momentum: 1 }, 'BAD_ARGUMENT', 'momentum is 1'],
    [{ kind: 'sgd', momentum: -0.1 }, 'BAD_ARGUMENT', 'momentum is -0.1'],
    [{ kind: 'sgd', momentum: 0.9, dampening: 2 }, 'BAD_ARGUMENT', 'dampening is 2'],
    [{ kind: 'sgd', nesterov: true }, 'BAD_ARGUMENT', 'nesterov', 'momentum'],
    [{ kind: 'sgd', momentum: 0.9, dampening: 0.1, nesterov: true }, 'BAD_ARGUMENT', 'nesterov', 'dampening'],
    [{ kind: 'sgd', momentum: 0.9, nesterov: 1 }, 'BAD_ARGUMENT', 'nesterov is a number'],
  ]
  for (const [rule, code, ...parts] of refused) {
    it(`refuses ${JSON.stringify(rule)}`, async () => {
      await assert.rejects(optimize(await make(), rule as Rule), refuses(code, ...parts))
    })
  }

  it("a stage's settings become the rule's options and nothing else", () => {
    const settings = { learningRate: 1, ...betas, epsilon: 1e-8, momentum: 0.9, nesterov: true }
    assert.deepEqual(optimizerOptions({ kind: 'adamw', ...settings }, []), {
      kind: 'adamw',
      ...betas,
      epsilon: 1e-8,
      groups: [],
    })
    assert.deepEqual(optimizerOptions({ kind: 'sgd', ...settings }, []), {
      kind: 'sgd',
      momentum: 0.9,
      dampening: undefined,
      nesterov: true,
      groups: [],
    })
  })
})

/** The first update in closed form, with clipping over all tensors and decay 0.1 on some. */
async function checkFirstUpdate(model: Model, optimizer: Optimizer, rule: Rule): Promise<void> {
  await model.step(smallBatch())
  const [values, gradients] = [await model.readTensors('value'), await model.readTensors('gradient')]
  // The loss scale that fp16 starts with.
  const scale = model.precision === 'fp16' ? 65536 : 1
  for (const gradient of Object.values(gradients)) for (let i = 0; i < gradient.length; i++) gradient[i] /= scale
  const [rate, limit] = [0.5, 0.25]
  const { gradNorm, applied } = await (await optimizer.step({ learningRate: rate, maxGradNorm: limit })).read()
  assert.equal(applied, true)
  const norm = normOf(...Object.values(gradients))
  assert.ok(Math.abs(gradNorm / norm - 1) <= 1e-5, `${gradNorm} and ${norm}`)
  const clip = Math.min(1, limit / (norm + 1e-6))
  assert.ok(clip < 1)
  const moved = await model.readTensors('value')
  for (const { name, decays } of model.parameters()) {
    const [ownRate, decay] = decays ? [rate, 0.1] : [rate / 2, 0]
    const expected = values[name].map(
      (value, i) => value - ownRate * firstMove(rule, gradients[name][i] * clip, value, decay),
    )
    const difference = normOf(moved[name].map((value, i) => value - expected[i]))
    const movement = normOf(expected.map((value, i) => value - values[name][i]))
    // A key's bias has no gradient but rounding.
    if (name.endsWith('key.bias')) continue
    assert.ok(difference <= 2e-5 * movement + 1e-7 * normOf(values[name]), `${name}: ${difference} of ${movement}`)
  }
}

function firstMove(rule: Rule, gradient: number, value: number, decay: number): number {
  if (rule.kind === 'sgd') {
    const own = gradient + decay * value
    return rule.nesterov ? own * (1 + (rule.momentum ?? 0)) : own
  }
  const { epsilon } = rule
  if (rule.kind === 'adamw') return gradient / (Math.abs(gradient) + epsilon) + decay * value
  if (rule.kind === 'bert-adam') {
    return (0.1 * gradient) / (Math.sqrt(0.001) * Math.abs(gradient) + epsilon) + decay * value
  }
  if (rule.variant === 'mt-dnn') return (0.1 * gradient) / (Math.abs(gradient) + 2 * epsilon) + decay * value
  const own = gradient + decay * value
  return own / (Math.abs(own) + epsilon)
}

function flat(tensors: Record<string, Float64Array>, names: readonly string[]): Float64Array {
  return Float64Array.from(names.flatMap((name) => [...tensors[name]]))
}

/** Query, key and value are one parameter and share a group. */
function joinStacked<T extends { names: string[] }>(groups: T[]): T[] {
  const joined = new Map<string, T>()
  for (const group of groups) {
    const key = group.names[0].replace(/self\.(query|key|value)/, 'self')
    const known = joined.get(key)
    if (known) known.names.push(...group.names)
    else joined.set(key, { ...group, names: [...group.names] })
  }
  return [...joined.values()]
}
