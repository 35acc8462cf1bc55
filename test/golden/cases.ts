/** Goldens that test/golden/post_ln.py makes: a model, one batch, and what comes out of it. */
import assert from 'node:assert/strict'
import { encoderConfig, type ModelConfig } from '../../lib/model/config.js'
import { computeThreads, Model, type ModelOptions, type Precision } from '../../lib/model/index.js'
import { type Digest, digestDistance, digestOf, type GoldenBatch, packedBatch, writeFormula } from './golden.js'

export interface CaseGoldens {
  encoder: Parameters<typeof encoderConfig>[0]
  batch: GoldenBatch
  cases: Record<string, AdapterCase>
}

export interface AdapterCase extends Pick<ModelConfig, 'heads' | 'mixes' | 'adapters'> {
  /** Adapter that the batch names. */
  adapter?: string
  /** Heads with labels; default all. */
  labelled?: string[]
  /** Values other than the formula's; one number stands for a whole tensor. */
  values?: Record<string, number[]>
  hidden: Digest[]
  losses: Record<string, number>
  logits: Record<string, Digest>
  gradients: Record<string, Digest>
}

export async function goldenModel(
  goldens: CaseGoldens,
  golden: AdapterCase,
  precision: Precision,
  kernels: ModelOptions['kernels'] = 'fast',
): Promise<Model> {
  computeThreads(1)
  const { heads, mixes, adapters } = golden
  const config = { encoder: encoderConfig(goldens.encoder), heads, mixes, adapters }
  const model = await Model.create(config, { precision, device: 'cpu', kernels })
  await writeFormula(model, (name) => golden.values?.[name] === undefined)
  for (const { name, shape } of model.parameters()) {
    const values = golden.values?.[name]
    if (!values) continue
    const count = shape.reduce((a, b) => a * b, 1)
    const filled = Float64Array.from({ length: count }, (_, index) => values[index % values.length])
    await model.writeTensors({ [name]: precision === 'fp64' ? filled : Float32Array.from(filled) })
  }
  return model
}

/** Worst relative errors of one case; the limits are those of the encoder's goldens. */
export async function checkGoldenCase(
  goldens: CaseGoldens,
  name: string,
  precision: Precision,
  kernels: ModelOptions['kernels'] = 'fast',
): Promise<{ hidden: number; loss: number; logits: number; gradient: number }> {
  const golden = goldens.cases[name]
  await using model = await goldenModel(goldens, golden, precision, kernels)
  const heads = golden.heads.filter((head) => golden.labelled?.includes(head.name) ?? true)
  const batch = { ...packedBatch(goldens.batch, heads), ...(golden.adapter ? { adapter: golden.adapter } : {}) }
  const layers = golden.hidden.length - 1
  const states = await model.hiddenStates(
    batch,
    Array.from({ length: layers + 1 }, (_, layer) => layer),
  )
  const errorOf = (values: Float32Array | Float64Array, expected: Digest, floor = 0) =>
    digestDistance(digestOf(values, expected.shape), expected) / Math.max(expected.norm, floor, Number.MIN_VALUE)
  const worst = { hidden: 0, loss: 0, logits: 0, gradient: 0 }
  states.forEach((state, layer) => {
    worst.hidden = Math.max(worst.hidden, errorOf(state, golden.hidden[layer]))
  })
  const losses = await (await model.step(batch)).read()
  const gradients = await model.readTensors('gradient')
  for (const [head, expected] of Object.entries(golden.losses)) {
    worst.loss = Math.max(worst.loss, Math.abs(losses[head].loss - expected) / expected)
    worst.logits = Math.max(worst.logits, errorOf((await model.headLogits(batch, head)).values, golden.logits[head]))
  }
  // Key biases have no gradient in exact arithmetic, hence a floor of 1e-6 of the global norm.
  const floor = 1e-6 * Math.hypot(...Object.values(golden.gradients).map(({ norm }) => norm))
  let worstName = ''
  for (const [parameter, values] of Object.entries(gradients)) {
    const expected = golden.gradients[parameter]
    // What the case never touches has no gradient at all.
    if (!expected)
      assert.ok(
        values.every((value) => value === 0),
        `${name}: ${parameter} has a gradient`,
      )
    else {
      const error = errorOf(values, expected, floor)
      if (!(error <= worst.gradient)) [worst.gradient, worstName] = [error, parameter]
    }
  }
  for (const parameter of Object.keys(golden.gradients)) assert.ok(gradients[parameter], `no parameter ${parameter}`)
  const fp64 = precision === 'fp64'
  assert.ok(worst.hidden <= (fp64 ? 1e-9 : 1e-5), `${name}: hidden states ${worst.hidden}`)
  assert.ok(worst.loss <= (fp64 ? 1e-9 : 1e-6), `${name}: loss ${worst.loss}`)
  assert.ok(worst.logits <= (fp64 ? 1e-9 : 1e-5), `${name}: logits ${worst.logits}`)
  assert.ok(worst.gradient <= (fp64 ? 1e-9 : 1e-4), `${name}: gradient of ${worstName}: ${worst.gradient}`)
  return worst
}
