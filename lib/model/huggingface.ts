/**
 * Hugging Face's BERT: config.json and tensor names, in both directions. Nothing here reads or writes a file.
 *
 * In a written file the encoder stands under `bert.…`; the first masked-LM head at the top layer without a transfer is
 * `cls.predictions.…` (its decoder is the word embedding and is not written); the first next-sentence head at the top
 * layer is `bert.pooler.dense` and `cls.seq_relationship`; every other head keeps `heads.<name>.…`. So a model with both
 * heads at the top opens as BertForPreTraining with the same logits, and every model opens as BertModel.
 */
import { StrataError } from '../errors.js'
import type { EncoderConfig, HeadConfig, MaskedLmHeadConfig, ModelConfig, NextSentenceHeadConfig } from './config.js'
import { modelParameterShapes } from './parameter-shapes.js'

/** Name and shape of a tensor in a weights file. */
export interface TensorShape {
  name: string
  shape: number[]
}

export type BertArchitecture = 'BertModel' | 'BertForMaskedLM' | 'BertForNextSentencePrediction' | 'BertForPreTraining'

const ACTIVATIONS: Record<string, EncoderConfig['activation']> = {
  gelu: 'gelu',
  gelu_new: 'gelu_tanh',
  gelu_pytorch_tanh: 'gelu_tanh',
  relu: 'relu',
}

const ACTIVATION_NAMES: Record<EncoderConfig['activation'], string> = {
  gelu: 'gelu',
  gelu_tanh: 'gelu_new',
  relu: 'relu',
}

/** As in the native core: far above any encoder, and a mistaken number does not name tensors without end. */
const MOST_LAYERS = 4096

/**
 * The encoder that a Hugging Face config.json describes. Throws BAD_CHECKPOINT on a missing or impossible value and
 * UNSUPPORTED on a BERT that this package does not compute; `file` is named in the message.
 */
export function parseHuggingFaceConfig(json: unknown, file: string): EncoderConfig {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new StrataError(
      'BAD_CHECKPOINT',
      `${file} holds no JSON object; the config.json of a BERT model was expected`,
    )
  }
  const fields = json as Record<string, unknown>
  const unsupported = (field: string, expected: string): StrataError =>
    new StrataError(
      'UNSUPPORTED',
      `${file}: ${field} is ${JSON.stringify(fields[field])}, expected ${expected}; this package computes the published BERT only`,
      { details: { file, field } },
    )
  if (fields.model_type !== undefined && fields.model_type !== 'bert') throw unsupported('model_type', '"bert"')
  if ((fields.position_embedding_type ?? 'absolute') !== 'absolute') {
    throw unsupported('position_embedding_type', '"absolute"')
  }
  if (fields.is_decoder === true) throw unsupported('is_decoder', 'false')
  if (fields.add_cross_attention === true) throw unsupported('add_cross_attention', 'false')
  const named = fields.hidden_act
  const activation = typeof named === 'string' && Object.hasOwn(ACTIVATIONS, named) ? ACTIVATIONS[named] : undefined
  if (fields.hidden_act !== undefined && !activation) {
    throw unsupported('hidden_act', `one of ${Object.keys(ACTIVATIONS).join(', ')}`)
  }

  const bad = (field: string, expected: string): StrataError =>
    new StrataError(
      'BAD_CHECKPOINT',
      `${file}: ${field} is ${JSON.stringify(fields[field]) ?? 'missing'}, expected ${expected}; check that this is the config.json of a BERT model`,
      { details: { file, field } },
    )
  const count = (field: string, fallback?: number, most = 2 ** 31 - 1): number => {
    const value = fields[field] ?? fallback
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > most) {
      throw bad(field, `a whole number from 1 to ${most}`)
    }
    return value
  }
  const real = (field: string, fallback: number, low: number, high: number): number => {
    const value = fields[field] ?? fallback
    if (typeof value !== 'number' || !(value >= low && value <= high)) {
      throw bad(field, `a number from ${low} to ${high}`)
    }
    return value
  }
  const hiddenSize = count('hidden_size')
  const heads = count('num_attention_heads')
  if (hiddenSize % heads !== 0) throw bad('num_attention_heads', `a divisor of hidden_size ${hiddenSize}`)
  return {
    kind: 'bert',
    vocabSize: count('vocab_size'),
    layers: count('num_hidden_layers', undefined, MOST_LAYERS),
    hiddenSize,
    heads,
    intermediateSize: count('intermediate_size'),
    maxPositions: count('max_position_embeddings', 512),
    segmentTypes: count('type_vocab_size', 2),
    layerNormEpsilon: real('layer_norm_eps', 1e-12, 0, 1),
    hiddenDropout: real('hidden_dropout_prob', 0.1, 0, 1),
    attentionDropout: real('attention_probs_dropout_prob', 0.1, 0, 1),
    activation: activation ?? 'gelu',
    initializerRange: real('initializer_range', 0.02, 0, 100),
  }
}

/** The content of config.json for a model, readable by transformers. */
export function huggingFaceConfig(config: ModelConfig): Record<string, unknown> {
  const { encoder } = config
  return {
    architectures: [exportMapping(config).architecture],
    model_type: 'bert',
    attention_probs_dropout_prob: encoder.attentionDropout,
    classifier_dropout: null,
    hidden_act: ACTIVATION_NAMES[encoder.activation],
    hidden_dropout_prob: encoder.hiddenDropout,
    hidden_size: encoder.hiddenSize,
    initializer_range: encoder.initializerRange,
    intermediate_size: encoder.intermediateSize,
    layer_norm_eps: encoder.layerNormEpsilon,
    max_position_embeddings: encoder.maxPositions,
    num_attention_heads: encoder.heads,
    num_hidden_layers: encoder.layers,
    pad_token_id: 0,
    position_embedding_type: 'absolute',
    tie_word_embeddings: true,
    torch_dtype: 'float32',
    type_vocab_size: encoder.segmentTypes,
    use_cache: true,
    vocab_size: encoder.vocabSize,
  }
}

/** Our parameter name → Hugging Face's, for the part after `heads.<name>.`. */
const MASKED_LM_NAMES: Record<string, string> = {
  'transform.dense.weight': 'cls.predictions.transform.dense.weight',
  'transform.dense.bias': 'cls.predictions.transform.dense.bias',
  'transform.LayerNorm.weight': 'cls.predictions.transform.LayerNorm.weight',
  'transform.LayerNorm.bias': 'cls.predictions.transform.LayerNorm.bias',
  bias: 'cls.predictions.bias',
}

const NEXT_SENTENCE_NAMES: Record<string, string> = {
  'pooler.weight': 'bert.pooler.dense.weight',
  'pooler.bias': 'bert.pooler.dense.bias',
  'classifier.weight': 'cls.seq_relationship.weight',
  'classifier.bias': 'cls.seq_relationship.bias',
}

const KIND_NAMES: Partial<Record<HeadConfig['kind'], Record<string, string>>> = {
  'masked-lm': MASKED_LM_NAMES,
  'next-sentence': NEXT_SENTENCE_NAMES,
}

function isTopMaskedLm(head: HeadConfig, layers: number): head is MaskedLmHeadConfig {
  return head.kind === 'masked-lm' && head.tap.layer === layers
}

function isTopNextSentence(head: HeadConfig, layers: number): head is NextSentenceHeadConfig {
  return head.kind === 'next-sentence' && head.tap.layer === layers
}

/** The name in the written file of every parameter, and the class that opens it in transformers. */
export function exportMapping(config: ModelConfig): {
  mapping: Record<string, string>
  architecture: BertArchitecture
} {
  const { layers } = config.encoder
  const maskedLm = config.heads.find((head) => isTopMaskedLm(head, layers) && !head.transfer)
  const nextSentence = config.heads.find((head) => isTopNextSentence(head, layers))
  const mapping: Record<string, string> = {}
  for (const name of Object.keys(modelParameterShapes(config))) mapping[name] = name
  for (const head of [maskedLm, nextSentence])
    if (head) {
      const names = KIND_NAMES[head.kind] ?? {}
      for (const [ours, theirs] of Object.entries(names)) mapping[`heads.${head.name}.${ours}`] = theirs
    }
  const architecture = maskedLm
    ? nextSentence
      ? 'BertForPreTraining'
      : 'BertForMaskedLM'
    : nextSentence
      ? 'BertForNextSentencePrediction'
      : 'BertModel'
  return { mapping, architecture }
}

/** Other names under which old files hold the same tensor. */
function spellings(name: string): string[] {
  const names = [name]
  if (name.startsWith('bert.')) names.push(name.slice('bert.'.length))
  if (name === 'cls.predictions.bias') names.push('cls.predictions.decoder.bias')
  for (const spelling of [...names]) {
    if (spelling.endsWith('LayerNorm.weight')) names.push(spelling.replace(/weight$/, 'gamma'))
    if (spelling.endsWith('LayerNorm.bias')) names.push(spelling.replace(/bias$/, 'beta'))
  }
  return names
}

/** Tensors that hold nothing of their own: index buffers and the decoder, which is the word embedding again. */
function isRedundant(name: string): boolean {
  return (
    /(^|\.)embeddings\.(position_ids|token_type_ids)$/.test(name) ||
    /^cls\.predictions\.decoder\.(weight|bias)$/.test(name)
  )
}

/** The heads that a file from transformers holds: `mlm` and `nsp`, both at the top layer. */
export function headsOfTensors(tensors: readonly TensorShape[], layers: number): HeadConfig[] {
  const names = new Set(tensors.map((tensor) => tensor.name))
  const heads: HeadConfig[] = []
  if (names.has('cls.predictions.transform.dense.weight')) {
    heads.push({ kind: 'masked-lm', name: 'mlm', tap: { layer: layers }, weight: 1 })
  }
  if (names.has('cls.seq_relationship.weight')) {
    heads.push({ kind: 'next-sentence', name: 'nsp', tap: { layer: layers }, weight: 1 })
  }
  return heads
}

export interface ImportMapping {
  /** Our parameter name → tensor name in the file. */
  mapping: Record<string, string>
  /** Our (H, 2H) parameter → the file's (H, H) tensor that fills its left block; the right block becomes 0. */
  leftBlocks: Record<string, string>
  /** Parameters that the file does not hold: they keep their fresh draw. */
  fresh: string[]
  /** Tensors of the file that nothing of the model reads. */
  unused: string[]
}

/**
 * Which tensor of a file fills which parameter of a model. `fileHeads` are the heads that stratabert.json lists, undefined
 * for a file from elsewhere. A head of the model takes the weights of the file's head of the same name and kind; from a
 * file from elsewhere, the top layer's masked-LM and next-sentence head. Throws BAD_CHECKPOINT where the encoder lacks a
 * tensor or a shape differs.
 */
export function importMapping(
  config: ModelConfig,
  tensors: readonly TensorShape[],
  file: string,
  fileHeads?: readonly HeadConfig[],
): ImportMapping {
  const { encoder } = config
  const shapes = new Map(tensors.map((tensor) => [tensor.name, tensor.shape]))
  const find = (name: string): string | undefined => spellings(name).find((spelling) => shapes.has(spelling))
  const fileNames = fileHeads ? exportMapping({ encoder, heads: [...fileHeads] }).mapping : {}
  /** Name in the file, by our rule of names, of one parameter of one head; undefined if the file has no such head. */
  const headTensor = (head: HeadConfig, part: string): string | undefined => {
    if (fileHeads) {
      const same = fileHeads.some((other) => other.name === head.name && other.kind === head.kind)
      return same ? fileNames[`heads.${head.name}.${part}`] : undefined
    }
    const first = config.heads.find((other) => other.kind === head.kind && other.tap.layer === encoder.layers)
    return first === head ? KIND_NAMES[head.kind]?.[part] : undefined
  }

  const result: ImportMapping = { mapping: {}, leftBlocks: {}, fresh: [], unused: [] }
  const used = new Set<string>()
  for (const [name, shape] of Object.entries(modelParameterShapes(config))) {
    const head = config.heads.find(
      (candidate) => name.startsWith(`heads.${candidate.name}.`) && !name.startsWith('bert.'),
    )
    const wanted = head ? headTensor(head, name.slice(`heads.${head.name}.`.length)) : name
    const found = wanted === undefined ? undefined : find(wanted)
    if (found === undefined) {
      if (head) {
        result.fresh.push(name)
        continue
      }
      throw new StrataError(
        'BAD_CHECKPOINT',
        `${file} holds no tensor ${name} of shape (${shape.join(', ')}), which its config.json asks for; check that config.json and the weights belong together`,
        { details: { file, tensor: name, expected: shape } },
      )
    }
    const actual = shapes.get(found)!
    const leftBlock = isLeftBlock(head, name, shape, actual)
    if (!leftBlock && (actual.length !== shape.length || actual.some((size, axis) => size !== shape[axis]))) {
      throw new StrataError(
        'BAD_CHECKPOINT',
        `${file}: tensor ${found} has shape (${actual.join(', ')}), the model's ${name} has shape (${shape.join(', ')}); load it with the configuration that it was written with`,
        { details: { file, tensor: found, actual, expected: shape } },
      )
    }
    used.add(found)
    ;(leftBlock ? result.leftBlocks : result.mapping)[name] = found
  }
  result.unused = tensors.map((tensor) => tensor.name).filter((name) => !used.has(name) && !isRedundant(name))
  return result
}

/** A masked LM trained without transfer starts one with a concatenating transfer: [h ; p] with a zero right block. */
function isLeftBlock(head: HeadConfig | undefined, name: string, shape: number[], actual: number[]): boolean {
  if (head?.kind !== 'masked-lm' || !name.endsWith('.transform.dense.weight')) return false
  const mode = head.transfer?.mode
  return (
    (mode === 'concat' || mode === 'label') &&
    actual.length === 2 &&
    actual[0] === shape[0] &&
    2 * actual[1] === shape[1]
  )
}
