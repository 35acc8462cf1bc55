/** Shapes and switches of a model: an encoder and the heads that tap it. Legend: L layers, H hidden size, V vocabulary. */

/** BERT as published (post-LN); field names follow Hugging Face's config.json where they mean the same. */
export interface EncoderConfig {
  kind: 'bert'
  vocabSize: number
  layers: number
  hiddenSize: number
  heads: number
  intermediateSize: number
  /** Longest sequence in tokens. */
  maxPositions: number
  segmentTypes: number
  layerNormEpsilon: number
  /** Probability of dropping a value of the embeddings and of each sublayer's output. */
  hiddenDropout: number
  /** Probability of dropping an attention weight. */
  attentionDropout: number
  activation: 'gelu' | 'gelu_tanh' | 'relu'
  /** Standard deviation of the normal draw of weight matrices. */
  initializerRange: number
}

/** Where a head reads. Layer 0 is the embedding output, layer l the output of block l. */
export interface Tap {
  layer: number
}

interface HeadBase {
  /** Unique name; labels, losses and parameters (`heads.<name>.…`) carry it. */
  name: string
  tap: Tap
  /** Factor of this head's mean loss in the sum. */
  weight: number
}

/** Hands next-sentence information to the masked LM (our design; the paper's own way is not public). */
export interface TransferConfig {
  /** Name of the next-sentence head whose pooled vector is handed over. */
  from: string
  mode: 'concat' | 'add' | 'label'
  /** True keeps the masked-LM loss out of the next-sentence head's layers. */
  stopGradient: boolean
}

export interface MaskedLmHeadConfig extends HeadBase {
  kind: 'masked-lm'
  transfer?: TransferConfig
}

export interface NextSentenceHeadConfig extends HeadBase {
  kind: 'next-sentence'
}

export interface BigramShiftHeadConfig extends HeadBase {
  kind: 'bigram-shift'
  /** One label a sentence or one a token. */
  level: 'sentence' | 'token'
  /** What a sentence label is read from: the mean of the sentence's states, or the sequence's first state. */
  read: 'mean' | 'cls'
}

export type HeadConfig = MaskedLmHeadConfig | NextSentenceHeadConfig | BigramShiftHeadConfig

export interface ModelConfig {
  encoder: EncoderConfig
  heads: HeadConfig[]
}

/** BERT-base's switches; give the sizes. `intermediateSize` defaults to 4 H, `heads` to H / 64. */
export function encoderConfig(
  sizes: Pick<EncoderConfig, 'vocabSize' | 'layers' | 'hiddenSize'> & Partial<EncoderConfig>,
): EncoderConfig {
  return {
    kind: 'bert',
    heads: Math.max(1, Math.floor(sizes.hiddenSize / 64)),
    intermediateSize: 4 * sizes.hiddenSize,
    maxPositions: 512,
    segmentTypes: 2,
    layerNormEpsilon: 1e-12,
    hiddenDropout: 0,
    attentionDropout: 0,
    activation: 'gelu',
    initializerRange: 0.02,
    ...sizes,
  }
}
