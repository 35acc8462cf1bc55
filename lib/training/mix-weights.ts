/** What the model's layer mixes have learned: the share of each layer and the scale. */
import type { MixConfig, Model, ModelConfig } from '../model/index.js'
import { softmax } from '../softmax.js'

export interface MixReading {
  /** Share of each layer that takes part, lowest first (the embeddings, where the mix includes them); they sum to 1. */
  weights: number[]
  /** γ, the factor on the sum. */
  gamma: number
}

/** Names of the tensors that hold a mix. */
const tensorsOf = ({ name }: Pick<MixConfig, 'name'>) => ({
  weights: `mixes.${name}.weights`,
  gamma: `mixes.${name}.gamma`,
})

/** Shares and scale of each mix from its tensors, BERMo's softmax(w) and γ (Kodge & Roy 2021, arXiv 2110.15802). */
export function mixReadings(
  mixes: readonly Pick<MixConfig, 'name'>[],
  tensors: Record<string, ArrayLike<number>>,
): Record<string, MixReading> {
  return Object.fromEntries(
    mixes.map((mix) => {
      const names = tensorsOf(mix)
      return [mix.name, { weights: softmax(tensors[names.weights]), gamma: tensors[names.gamma][0] }]
    }),
  )
}

/** Reads the mixes of a model; undefined when it has none. */
export async function readMixes(
  model: Pick<Model, 'readTensors'> & { readonly config: Pick<ModelConfig, 'mixes'> },
): Promise<Record<string, MixReading> | undefined> {
  const mixes = model.config.mixes ?? []
  if (mixes.length === 0) return undefined
  const names = mixes.flatMap((mix) => Object.values(tensorsOf(mix)))
  return mixReadings(mixes, await model.readTensors('value', names))
}
