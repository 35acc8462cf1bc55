/** Name and shape of every parameter of a model, as the native core makes them. Legend: H hidden, F intermediate, V vocabulary. */
import type { AdapterConfig, AgreementConfig, EncoderConfig, HeadConfig, ModelConfig } from './config.js'

type Shapes = Record<string, number[]>

/** Name and shape of every parameter of a model, in the order of the layers. */
export function modelParameterShapes(config: ModelConfig): Shapes {
  const { layers } = config.encoder
  const shapes = encoderShapes(config)
  if (config.agreements) Object.assign(shapes, agreementShapes(config.agreements, config.encoder))
  for (const adapter of config.adapters ?? []) Object.assign(shapes, adapterShapes(adapter, config.encoder))
  for (const mix of config.mixes ?? []) {
    shapes[`mixes.${mix.name}.weights`] = [mix.includeEmbeddings ? layers + 1 : layers]
    shapes[`mixes.${mix.name}.gamma`] = [1]
  }
  const { vocabSize, hiddenSize } = config.encoder
  if (config.heads.some((head) => 'pooler' in head && head.pooler === 'shared')) {
    linear(shapes, 'pooler.dense', hiddenSize, hiddenSize)
  }
  for (const head of config.heads) headShapes(shapes, head, hiddenSize, vocabSize)
  return shapes
}

function encoderShapes({ encoder }: ModelConfig): Shapes {
  return encoder.kind === 'crammed' ? crammedShapes(encoder) : bertShapes(encoder)
}

/** Of all submodels; those of one relation begin with `agreements.<relation>.`. */
function agreementShapes(agreements: AgreementConfig, { vocabSize: V, hiddenSize: H }: EncoderConfig): Shapes {
  const { size: D, layers, intermediateSize: F } = agreements
  const shapes: Shapes = {}
  for (const relation of agreements.relations) {
    const name = `agreements.${relation}`
    shapes[`${name}.words`] = [V, D]
    shapes[`${name}.position_scale`] = [1]
    layerNorm(shapes, `${name}.LayerNorm`, D)
    crammedBlockShapes(shapes, `${name}.layer`, layers, D, F)
    layerNorm(shapes, `${name}.last.LayerNorm`, D)
    shapes[`${name}.bilinear`] = [D, D]
    shapes[`${name}.linear`] = [2 * D]
    shapes[`${name}.projection`] = [H, 2 * D]
  }
  shapes['agreements.gates'] = [agreements.relations.length]
  return shapes
}

function crammedShapes({ vocabSize: V, hiddenSize: H, intermediateSize: F, layers }: EncoderConfig): Shapes {
  const shapes: Shapes = {}
  shapes['bert.embeddings.word_embeddings.weight'] = [V, H]
  shapes['bert.embeddings.position_scale'] = [1]
  layerNorm(shapes, 'bert.embeddings.LayerNorm', H)
  crammedBlockShapes(shapes, 'bert.encoder.layer', layers, H, F)
  layerNorm(shapes, 'bert.encoder.LayerNorm', H)
  return shapes
}

function crammedBlockShapes(shapes: Shapes, blocks: string, layers: number, H: number, F: number): void {
  for (let layer = 0; layer < layers; layer++) {
    const name = `${blocks}.${layer}`
    layerNorm(shapes, `${name}.attention.LayerNorm`, H)
    for (const part of ['query', 'key', 'value']) shapes[`${name}.attention.self.${part}.weight`] = [H, H]
    shapes[`${name}.attention.output.dense.weight`] = [H, H]
    layerNorm(shapes, `${name}.intermediate.LayerNorm`, H)
    shapes[`${name}.intermediate.dense.weight`] = [F, H]
    shapes[`${name}.output.dense.weight`] = [H, F / 2]
  }
}

function bertShapes(encoder: EncoderConfig): Shapes {
  const { vocabSize: V, hiddenSize: H, intermediateSize: F, maxPositions, segmentTypes, layers } = encoder
  const shapes: Shapes = {}
  shapes['bert.embeddings.word_embeddings.weight'] = [V, H]
  shapes['bert.embeddings.position_embeddings.weight'] = [maxPositions, H]
  shapes['bert.embeddings.token_type_embeddings.weight'] = [segmentTypes, H]
  layerNorm(shapes, 'bert.embeddings.LayerNorm', H)
  for (let layer = 0; layer < layers; layer++) {
    blockShapes(shapes, `bert.encoder.layer.${layer}`, H, F)
  }
  return shapes
}

function blockShapes(shapes: Shapes, name: string, H: number, F: number): void {
  attentionShapes(shapes, `${name}.attention`, H)
  linear(shapes, `${name}.intermediate.dense`, F, H)
  linear(shapes, `${name}.output.dense`, H, F)
  layerNorm(shapes, `${name}.output.LayerNorm`, H)
}

function attentionShapes(shapes: Shapes, name: string, size: number): void {
  qkv(shapes, `${name}.self`, size)
  linear(shapes, `${name}.output.dense`, size, size)
  layerNorm(shapes, `${name}.output.LayerNorm`, size)
}

function qkv(shapes: Shapes, name: string, size: number): void {
  for (const part of ['query', 'key', 'value']) linear(shapes, `${name}.${part}`, size, size)
}

/** Name and shape of an adapter's own parameters. */
export function adapterShapes(adapter: AdapterConfig, encoder: EncoderConfig): Shapes {
  const { hiddenSize: H, intermediateSize: F, layers } = encoder
  const S = adapter.size ?? 0
  const name = `adapters.${adapter.name}`
  const shapes: Shapes = {}
  const project = (owner: string) => {
    linear(shapes, `${owner}.encoder`, S, H)
    linear(shapes, `${owner}.decoder`, H, S)
  }
  const blocks = Array.from({ length: layers }, (_, layer) => `${name}.layer.${layer}`)
  switch (adapter.kind) {
    case 'pal':
      project(name)
      for (const block of blocks) qkv(shapes, block, S)
      break
    case 'low-rank':
      for (const block of blocks) project(block)
      break
    case 'houlsby':
      for (const block of blocks) {
        project(`${block}.attention`)
        project(`${block}.output`)
      }
      break
    case 'lhuc':
      for (const block of blocks) shapes[`${block}.scale`] = [H]
      break
    case 'top-attention':
      project(name)
      for (let index = 0; index < (adapter.blocks ?? 6); index++)
        attentionShapes(shapes, `${name}.attention.${index}`, S)
      break
    case 'top-layer':
      blockShapes(shapes, `${name}.top`, H, F)
      break
    case 'lora':
      for (const block of blocks)
        for (const target of adapter.targets ?? ['query', 'value']) {
          shapes[`${block}.${target}.a`] = [S, H]
          shapes[`${block}.${target}.b`] = [H, S]
        }
      break
  }
  if (adapter.layerNorms) for (const norm of encoderNorms(encoder)) shapes[adapterNorm(adapter.name, norm)] = [H]
  return shapes
}

/** Names of the encoder's LayerNorm parameters. */
export function encoderNorms(encoder: EncoderConfig): string[] {
  return Object.keys(encoderShapes({ encoder, heads: [] })).filter((name) => ENCODER_NORM.test(name))
}

export const ENCODER_NORM = /^bert\..*\bLayerNorm\b/

/** The parameter that an adapter with LayerNorms of its own has in place of one of the encoder's. */
export function adapterNorm(adapter: string, encoderNorm: string): string {
  return `adapters.${adapter}.norms.${encoderNorm.slice('bert.'.length)}`
}

function headShapes(shapes: Shapes, head: HeadConfig, H: number, V: number): void {
  const name = `heads.${head.name}`
  switch (head.kind) {
    case 'masked-lm': {
      if (head.transform === false) break
      const mode = head.transfer?.mode
      linear(shapes, `${name}.transform.dense`, H, mode === 'concat' || mode === 'label' ? 2 * H : H)
      layerNorm(shapes, `${name}.transform.LayerNorm`, H)
      shapes[`${name}.bias`] = [V]
      if (mode === 'add') shapes[`${name}.transfer.weight`] = [H, H]
      if (mode === 'label') shapes[`${name}.transfer.labels`] = [2, H]
      break
    }
    case 'next-sentence':
      linear(shapes, `${name}.pooler`, H, H)
      linear(shapes, `${name}.classifier`, 2, H)
      break
    case 'bigram-shift':
    case 'span':
      linear(shapes, `${name}.classifier`, 2, H)
      break
    case 'tagger':
      linear(shapes, `${name}.classifier`, head.classes, H)
      break
    case 'parser':
      for (const [part, size] of [
        ['arc', head.arcSize],
        ['label', head.labelSize],
      ] as const) {
        linear(shapes, `${name}.${part}.dependent`, size, H)
        linear(shapes, `${name}.${part}.head`, size, H)
        linear(shapes, `${name}.${part}.product`, part === 'arc' ? size : head.classes * size, size)
      }
      linear(shapes, `${name}.label.classifier`, head.classes, head.labelSize)
      if (head.tags) linear(shapes, `${name}.tagger`, head.tags, H)
      break
    case 'classifier':
    case 'regressor':
    case 'ranker': {
      const pooled = head.poolerSize ?? H
      if (head.pooler === 'own') linear(shapes, `${name}.pooler`, pooled, H)
      linear(shapes, `${name}.classifier`, head.kind === 'classifier' ? head.classes : 1, pooled)
      break
    }
    case 'san':
      linear(shapes, `${name}.start`, 1, H)
      linear(shapes, `${name}.attention`, H, H)
      linear(shapes, `${name}.gru.input`, 3 * H, H)
      linear(shapes, `${name}.gru.hidden`, 3 * H, H)
      linear(shapes, `${name}.classifier`, head.classes, 4 * H)
      break
  }
}

function linear(shapes: Shapes, name: string, outputs: number, inputs: number): void {
  shapes[`${name}.weight`] = [outputs, inputs]
  shapes[`${name}.bias`] = [outputs]
}

function layerNorm(shapes: Shapes, name: string, size: number): void {
  shapes[`${name}.weight`] = [size]
  shapes[`${name}.bias`] = [size]
}
