/** The encoder that the benchmarks of Cramming train: 6 × 512 with a vocabulary of 32,768, masked LM on a quarter of 2,048 tokens. */
import { encoderConfig, type HeadConfig } from '../lib/model/index.js'

export const CRAMMED_BATCH_TOKENS = 2048
export const CRAMMED_SEQUENCE_TOKENS = 128

export const CRAMMED_ENCODER = encoderConfig({
  kind: 'crammed',
  vocabSize: 32_768,
  layers: 6,
  hiddenSize: 512,
  heads: 8,
  intermediateSize: 2048,
  maxPositions: CRAMMED_SEQUENCE_TOKENS,
})

/** Logits are products with the word embeddings: no layer of its own, no bias. */
export const CRAMMED_HEAD: HeadConfig = {
  kind: 'masked-lm',
  name: 'mlm',
  tap: { layer: CRAMMED_ENCODER.layers },
  weight: 1,
  transform: false,
}

/** AdamW of Cramming. */
export const CRAMMED_ADAMW = { kind: 'adamw', beta1: 0.9, beta2: 0.98, epsilon: 1e-12 } as const
export const CRAMMED_WEIGHT_DECAY = 0.01
export const CRAMMED_MAX_GRAD_NORM = 0.5
