/**
 * Heads that classes of transformers have too. Task heads: `classifier` and `regressor` on the top layer with a pooler are
 * BertForSequenceClassification, `ranker` is BertForMultipleChoice, `tagger` BertForTokenClassification, `span`
 * BertForQuestionAnswering.
 */
import type { HeadConfig, MaskedLmHeadConfig, ModelConfig, NextSentenceHeadConfig, TaskHeadConfig } from './config.js'

/** Name and shape of a tensor in a weights file. */
export interface TensorShape {
  name: string
  shape: number[]
}

export type TaskArchitecture =
  | 'BertForSequenceClassification'
  | 'BertForMultipleChoice'
  | 'BertForTokenClassification'
  | 'BertForQuestionAnswering'

const ARCHITECTURES: Partial<Record<HeadConfig['kind'], TaskArchitecture>> = {
  classifier: 'BertForSequenceClassification',
  regressor: 'BertForSequenceClassification',
  ranker: 'BertForMultipleChoice',
  tagger: 'BertForTokenClassification',
  span: 'BertForQuestionAnswering',
}

/** Where the one pooled vector of a BertModel stands in a file. */
export const PUBLISHED_POOLER = 'bert.pooler.dense'
/** Our parameter for the pooler that heads share. */
export const SHARED_POOLER = 'pooler.dense'

/** Our parameter name, after `heads.<name>.`, → Hugging Face's. */
const MASKED_LM_NAMES: Record<string, string> = {
  'transform.dense.weight': 'cls.predictions.transform.dense.weight',
  'transform.dense.bias': 'cls.predictions.transform.dense.bias',
  'transform.LayerNorm.weight': 'cls.predictions.transform.LayerNorm.weight',
  'transform.LayerNorm.bias': 'cls.predictions.transform.LayerNorm.bias',
  bias: 'cls.predictions.bias',
}

export function isTopMaskedLm(head: HeadConfig, layers: number): head is MaskedLmHeadConfig {
  return head.kind === 'masked-lm' && head.tap.layer === layers
}

export function isTopNextSentence(head: HeadConfig, layers: number): head is NextSentenceHeadConfig {
  return head.kind === 'next-sentence' && head.tap.layer === layers && head.read !== 'mean'
}

function isTaskHead(head: HeadConfig): head is TaskHeadConfig {
  return !['masked-lm', 'next-sentence', 'bigram-shift', 'agreement'].includes(head.kind)
}

/**
 * The task head that a class of transformers computes as well: the model's only one, on the top layer, through no adapter. A
 * head on [CLS] needs the pooler of the published encoder, which a next-sentence head on top has first claim to.
 */
export function publishedTaskHead(
  config: ModelConfig,
): { head: TaskHeadConfig; architecture: TaskArchitecture } | undefined {
  const { kind, layers } = config.encoder
  if (kind !== 'bert') return undefined
  const heads = config.heads.filter(isTaskHead)
  const [head] = heads
  if (heads.length !== 1 || head.tap.layer !== layers || config.adapters?.length) return undefined
  const architecture = ARCHITECTURES[head.kind]
  if (!architecture) return undefined
  const poolerTaken = config.heads.some((other) => isTopNextSentence(other, layers))
  if ('pooler' in head && (head.pooler === 'none' || poolerTaken || hasOtherSize(head, config))) return undefined
  return { head, architecture }
}

/** Whether a pooler is not as wide as the encoder, which published ones are. */
export function hasOtherSize({ poolerSize }: { poolerSize?: number }, { encoder }: ModelConfig): boolean {
  return poolerSize !== undefined && poolerSize !== encoder.hiddenSize
}

/** Our names → Hugging Face's, for all parameters that a published class has beside the encoder. */
export function publishedNames(config: ModelConfig): Record<string, string> {
  const { kind, layers } = config.encoder
  if (kind !== 'bert') return {}
  const names: Record<string, string> = {}
  const linear = (ours: string, theirs: string): void => {
    for (const part of ['weight', 'bias']) names[`${ours}.${part}`] = `${theirs}.${part}`
  }
  const maskedLm = config.heads.find((head) => isTopMaskedLm(head, layers) && !head.transfer)
  if (maskedLm) {
    for (const [ours, theirs] of Object.entries(MASKED_LM_NAMES)) names[`heads.${maskedLm.name}.${ours}`] = theirs
  }
  const nextSentence = config.heads.find((head) => isTopNextSentence(head, layers))
  if (nextSentence) {
    linear(`heads.${nextSentence.name}.pooler`, PUBLISHED_POOLER)
    linear(`heads.${nextSentence.name}.classifier`, 'cls.seq_relationship')
  }
  const { head } = publishedTaskHead(config) ?? {}
  if (head) {
    linear(`heads.${head.name}.classifier`, head.kind === 'span' ? 'qa_outputs' : 'classifier')
    if ('pooler' in head && head.pooler === 'own') linear(`heads.${head.name}.pooler`, PUBLISHED_POOLER)
  }
  const poolerTaken = Object.values(names).includes(`${PUBLISHED_POOLER}.weight`)
  if (!poolerTaken && config.heads.some((one) => 'pooler' in one && one.pooler === 'shared')) {
    linear(SHARED_POOLER, PUBLISHED_POOLER)
  }
  return names
}

/**
 * The heads that a file from transformers holds, all at the top layer: `mlm`, `nsp`, and `task` for one of the four classes
 * above. `json` is the content of config.json, which tells a sequence's classifier from a token's.
 */
export function headsOfTensors(tensors: readonly TensorShape[], layers: number, json: unknown = {}): HeadConfig[] {
  const shapes = new Map(tensors.map(({ name, shape }) => [name, shape]))
  const base = { tap: { layer: layers }, weight: 1 }
  const heads: HeadConfig[] = []
  if (shapes.has('cls.predictions.transform.dense.weight')) heads.push({ kind: 'masked-lm', name: 'mlm', ...base })
  if (shapes.has('cls.seq_relationship.weight')) heads.push({ kind: 'next-sentence', name: 'nsp', ...base })
  const task = { name: 'task', ...base }
  const classes = shapes.get('classifier.weight')?.[0]
  if (shapes.get('qa_outputs.weight')?.[0] === 2) heads.push({ kind: 'span', ...task, dropout: 0 })
  else if (classes !== undefined) {
    const fields = json as Record<string, unknown>
    const dropout =
      [fields.classifier_dropout, fields.hidden_dropout_prob].find((one) => typeof one === 'number') ?? 0.1
    const pooled = shapes.has(`${PUBLISHED_POOLER}.weight`)
    const named = Array.isArray(fields.architectures) ? fields.architectures[0] : undefined
    const architecture = named ?? (pooled ? 'BertForSequenceClassification' : 'BertForTokenClassification')
    const shared = { ...task, dropout: dropout as number }
    if (architecture === 'BertForTokenClassification') heads.push({ kind: 'tagger', ...shared, classes })
    else if (!pooled) return heads
    else if (architecture === 'BertForMultipleChoice') heads.push({ kind: 'ranker', ...shared, pooler: 'own' })
    else if (architecture === 'BertForSequenceClassification') {
      // As transformers decides: one output without a word on its meaning is a regression.
      const regression = fields.problem_type === 'regression' || (classes === 1 && !fields.problem_type)
      if (regression && classes === 1) heads.push({ kind: 'regressor', ...shared, pooler: 'own' })
      else if (fields.problem_type !== 'regression' && fields.problem_type !== 'multi_label_classification') {
        heads.push({ kind: 'classifier', ...shared, classes, pooler: 'own' })
      }
    }
  }
  return heads
}
