/** Hugging Face's config.json of a BERT, in both directions. Nothing here reads or writes a file. */
import { StrataError } from '../errors.js'
import { shownValue } from '../shown-value.js'
import type { EncoderConfig, HeadConfig, ModelConfig } from './config.js'
import { exportMapping } from './huggingface.js'
import { publishedTaskHead } from './huggingface-heads.js'
import { type SavedTask, targetDivisorOf } from './saved-task.js'

/** config.json's model_type of the Crammed BERT encoder: transformers has no such class, and its BertModel must not open it. */
const CRAMMED_TYPE = 'stratabert-crammed'
/** That of BERT's blocks on embeddings that agreements join, for the same reason. */
const AGREEMENT_TYPE = 'stratabert-agreements'

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
      `${file}: ${field} is ${shownValue(fields[field])}, expected ${expected}; this package computes the published BERT and its own crammed encoder only`,
      { details: { file, field } },
    )
  const kind = fields.model_type === CRAMMED_TYPE ? 'crammed' : 'bert'
  if (
    kind === 'bert' &&
    fields.model_type !== undefined &&
    fields.model_type !== 'bert' &&
    fields.model_type !== AGREEMENT_TYPE
  )
    throw unsupported('model_type', `"bert", "${CRAMMED_TYPE}" or "${AGREEMENT_TYPE}"`)
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
      `${file}: ${field} is ${shownValue(fields[field])}, expected ${expected}; check that this is the config.json of a BERT model`,
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
    kind,
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

/**
 * The content of config.json for a model, readable by transformers. `tasks` give the class names of the head that a published
 * class opens.
 */
export function huggingFaceConfig(config: ModelConfig, tasks: readonly SavedTask[] = []): Record<string, unknown> {
  const { encoder } = config
  const { head } = publishedTaskHead(config) ?? {}
  return {
    architectures: [exportMapping(config).architecture],
    model_type: encoder.kind === 'crammed' ? CRAMMED_TYPE : config.agreements ? AGREEMENT_TYPE : 'bert',
    attention_probs_dropout_prob: encoder.attentionDropout,
    classifier_dropout: head?.dropout ?? null,
    hidden_act: ACTIVATION_NAMES[encoder.activation],
    hidden_dropout_prob: encoder.hiddenDropout,
    hidden_size: encoder.hiddenSize,
    ...(head ? labelFields(head, tasks) : {}),
    initializer_range: encoder.initializerRange,
    intermediate_size: encoder.intermediateSize,
    layer_norm_eps: encoder.layerNormEpsilon,
    max_position_embeddings: encoder.maxPositions,
    num_attention_heads: encoder.heads,
    num_hidden_layers: encoder.layers,
    pad_token_id: 0,
    ...(encoder.kind === 'bert' ? { position_embedding_type: 'absolute' } : {}),
    tie_word_embeddings: true,
    torch_dtype: 'float32',
    type_vocab_size: encoder.segmentTypes,
    use_cache: true,
    vocab_size: encoder.vocabSize,
  }
}

/** transformers takes the number of classes from id2label. */
function labelFields(head: HeadConfig, tasks: readonly SavedTask[]): Record<string, unknown> {
  if (head.kind === 'regressor') {
    const names = { id2label: { 0: 'LABEL_0' }, label2id: { LABEL_0: 0 }, problem_type: 'regression' }
    return { ...names, ...regressionFields(tasks.find((task) => task.head === head.name)) }
  }
  if (head.kind !== 'classifier' && head.kind !== 'tagger') return {}
  const labels = tasks.find((task) => task.head === head.name)?.labels ?? defaultLabels(head.classes)
  return {
    id2label: Object.fromEntries(labels.map((label, id) => [id, label])),
    label2id: Object.fromEntries(labels.map((label, id) => [label, id])),
    ...(head.kind === 'classifier' ? { problem_type: 'single_label_classification' } : {}),
  }
}

/** Keys of ours, which transformers keeps: what the head gives, times the divisor, is a label within the range. */
const RANGE_FIELD = 'regression_range'
const DIVISOR_FIELD = 'regression_divisor'

function regressionFields(task: SavedTask | undefined): Record<string, unknown> {
  const divisor = task ? targetDivisorOf(task) : 1
  return {
    ...(task?.range && { [RANGE_FIELD]: [...task.range] }),
    ...(divisor !== 1 && { [DIVISOR_FIELD]: divisor }),
  }
}

function regressionOf(json: unknown, file: string): Pick<SavedTask, 'range' | 'targetDivisor'> {
  const { [RANGE_FIELD]: range, [DIVISOR_FIELD]: divisor } = json as Record<string, unknown>
  const bad = (field: string, came: unknown, expected: string): StrataError =>
    new StrataError('BAD_CHECKPOINT', `${file}: ${field} is ${shownValue(came)}, expected ${expected}; or remove it`, {
      details: { file, field },
    })
  const isRange = Array.isArray(range) && range.length === 2 && range.every(Number.isFinite) && range[0] < range[1]
  if (range !== undefined && !isRange) throw bad(RANGE_FIELD, range, 'two numbers, the smaller first')
  if (divisor !== undefined && !(typeof divisor === 'number' && divisor > 0 && Number.isFinite(divisor))) {
    throw bad(DIVISOR_FIELD, divisor, 'a positive number')
  }
  return {
    ...(isRange && { range: [range[0], range[1]] }),
    ...(divisor !== undefined && { targetDivisor: divisor as number }),
  }
}

function defaultLabels(classes: number): string[] {
  return Array.from({ length: classes }, (_, id) => `LABEL_${id}`)
}

/**
 * What a folder from transformers says of its head's task: class names by `id2label`, and where we wrote it a regression's range. Throws
 * BAD_CHECKPOINT when the names' number is not the head's, or range and divisor are none.
 */
export function tasksOfConfig(
  json: unknown,
  heads: readonly HeadConfig[],
  sequenceTokens: number,
  file: string,
): SavedTask[] {
  const tasks: SavedTask[] = []
  for (const head of heads) {
    const task = { name: head.name, head: head.name, sequenceTokens }
    if (head.kind === 'classifier') {
      tasks.push({ ...task, kind: 'classification', labels: labelsOf(json, head.classes, file), metrics: ['accuracy'] })
    } else if (head.kind === 'tagger') {
      tasks.push({ ...task, kind: 'tagging', labels: labelsOf(json, head.classes, file), metrics: ['accuracy'] })
    } else if (head.kind === 'regressor') {
      tasks.push({ ...task, kind: 'regression', ...regressionOf(json, file), metrics: ['pearson', 'spearman'] })
    } else if (head.kind === 'ranker') tasks.push({ ...task, kind: 'ranking', pair: true, metrics: ['accuracyAt1'] })
    else if (head.kind === 'span') tasks.push({ ...task, kind: 'span', metrics: ['f1', 'exactMatch'] })
  }
  return tasks
}

function shownLabels(names: unknown): string {
  if (typeof names !== 'object' || names === null) return shownValue(names)
  return `an object of ${Object.keys(names).length} (${Object.values(names).slice(0, 5).map(shownValue).join(', ')})`
}

function labelsOf(json: unknown, classes: number, file: string): string[] {
  const names = (json as { id2label?: unknown }).id2label
  if (names === undefined || names === null) return defaultLabels(classes)
  const labels = Array.from({ length: classes }, (_, id) => (names as Record<string, unknown>)[id])
  if (
    typeof names !== 'object' ||
    Object.keys(names).length !== classes ||
    !labels.every((label) => typeof label === 'string')
  ) {
    throw new StrataError(
      'BAD_CHECKPOINT',
      `${file}: id2label is ${shownLabels(names)}, expected a name for each of the ${classes} classes of the classifier in the weights`,
      { details: { file, field: 'id2label' } },
    )
  }
  return labels as string[]
}
