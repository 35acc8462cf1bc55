/** Adapters that the encoder's own weights can express, folded into them. */
import { StrataError } from '../errors.js'
import type { ValueReader } from './adapter-folder.js'
import type { AdapterConfig, EncoderConfig } from './config.js'
import { adapterNorm, encoderNorms } from './parameter-shapes.js'

/** Why an adapter of a kind cannot be merged. */
const NOT_EXACT: Partial<Record<AdapterConfig['kind'], string>> = {
  pal: 'attends by itself beside each block',
  'low-rank': 'has a GELU beside each block',
  houlsby: 'has a GELU inside each block',
  'top-attention': 'is layers of its own above the encoder',
  'top-layer': 'is a layer of its own above the encoder',
}

/**
 * The encoder weights that an adapter changes, with the adapter folded in: the merged encoder computes what encoder and adapter
 * computed. Throws UNSUPPORTED, with the reason, for an adapter that no encoder weights can express.
 */
export async function mergedWeights(
  adapter: AdapterConfig,
  encoder: EncoderConfig,
  read: ValueReader,
): Promise<Record<string, Float32Array>> {
  const scalesStream = adapter.kind === 'lhuc' && encoder.kind === 'crammed'
  const reason = scalesStream ? 'scales a stream that no LayerNorm closes in this encoder' : NOT_EXACT[adapter.kind]
  if (reason) {
    throw new StrataError(
      'UNSUPPORTED',
      `adapter ${adapter.name} is of kind ${adapter.kind}, which ${reason}: no encoder weights compute the same; keep it as an adapter, or extract it`,
    )
  }
  const norms: Record<string, Float32Array> = {}
  if (adapter.layerNorms) {
    for (const name of encoderNorms(encoder)) norms[name] = await read(adapterNorm(adapter.name, name))
  }
  const readMerged: ValueReader = (name) => norms[name] ?? read(name)
  const merge = adapter.kind === 'lora' ? mergeLora : mergeLhuc
  return { ...norms, ...(await merge(adapter, encoder, readMerged)) }
}

/** W + alpha / size · B A for each product that has an update (Hu et al. 2021, arXiv 2106.09685, section 4.1). */
async function mergeLora(
  adapter: AdapterConfig,
  { layers, hiddenSize }: EncoderConfig,
  read: ValueReader,
): Promise<Record<string, Float32Array>> {
  const rank = adapter.size!
  const scale = (adapter.alpha ?? rank) / rank
  const merged: Record<string, Float32Array> = {}
  for (let layer = 0; layer < layers; layer++) {
    for (const target of adapter.targets ?? ['query', 'value']) {
      const name = `bert.encoder.layer.${layer}.attention.self.${target}.weight`
      const own = `adapters.${adapter.name}.layer.${layer}.${target}`
      const a = await read(`${own}.a`)
      const b = await read(`${own}.b`)
      const weight = Float32Array.from(await read(name))
      const sums = new Float64Array(hiddenSize)
      for (let row = 0; row < hiddenSize; row++) {
        sums.fill(0)
        for (let inner = 0; inner < rank; inner++) {
          const factor = scale * b[row * rank + inner]
          for (let column = 0; column < hiddenSize; column++) sums[column] += factor * a[inner * hiddenSize + column]
        }
        for (let column = 0; column < hiddenSize; column++) weight[row * hiddenSize + column] += sums[column]
      }
      merged[name] = weight
    }
  }
  return merged
}

/** The output of a block is its last LayerNorm's, x · w + b: a factor on it is a factor on w and b. */
async function mergeLhuc(
  adapter: AdapterConfig,
  { layers }: EncoderConfig,
  read: ValueReader,
): Promise<Record<string, Float32Array>> {
  const merged: Record<string, Float32Array> = {}
  for (let layer = 0; layer < layers; layer++) {
    const logits = await read(`adapters.${adapter.name}.layer.${layer}.scale`)
    for (const part of ['weight', 'bias']) {
      const name = `bert.encoder.layer.${layer}.output.LayerNorm.${part}`
      merged[name] = Float32Array.from(await read(name), (value, unit) => (value * 2) / (1 + Math.exp(-logits[unit])))
    }
  }
  return merged
}
