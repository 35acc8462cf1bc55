/** How many steps the demo can afford on this machine. */
import {
  type BatchSource,
  type Model,
  Optimizer,
  type OptimizerSettings,
  optimizerOptions,
  parameterGroups,
} from '../lib/index.js'

const WARMUP_STEPS = 5
const MEASURED_STEPS = 25

/** Steps of `model` that fit into `seconds`, in fifties between 50 and `most`; a step takes a batch of each source in turn. Changes no weight. */
export async function affordableSteps(
  model: Model,
  sources: readonly BatchSource[],
  optimizer: OptimizerSettings,
  { seconds, most }: { seconds: number; most: number },
): Promise<number> {
  const groups = parameterGroups(model.parameters(), optimizer)
  const still = await Optimizer.create(model, optimizerOptions(optimizer, groups))
  let measured = 0
  for (let step = 0; step < WARMUP_STEPS + MEASURED_STEPS; step++) {
    const started = performance.now()
    const source = sources[step % sources.length]
    await model.step(source.build(0, Math.floor(step / sources.length) % source.batchCount(0)))
    await (await still.step({ learningRate: 0 })).read()
    if (step >= WARMUP_STEPS) measured += (performance.now() - started) / 1000
  }
  await still.dispose()
  const affordable = (seconds / measured) * MEASURED_STEPS
  return Math.max(50, Math.min(most, 50 * Math.round(affordable / 50)))
}
