/** What the gates of a model with agreements have learned: how much of each relation's embedding the encoder takes. */
import type { Model, ModelConfig } from '../model/index.js'

const GATES = 'agreements.gates'

/** By relation; 0 for one that is off. Undefined for a model without agreements. */
export async function readGates(
  model: Pick<Model, 'readTensors'> & { readonly config: Pick<ModelConfig, 'agreements'> },
): Promise<Record<string, number> | undefined> {
  const { agreements } = model.config
  if (!agreements) return undefined
  const { relations, off = [] } = agreements
  const values = (await model.readTensors('value', [GATES]))[GATES]
  return Object.fromEntries(relations.map((name, index) => [name, off.includes(name) ? 0 : values[index]]))
}
