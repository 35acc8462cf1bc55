/** What goes into and comes out of a model. */
import type { HeadLabels } from './packed-batch.js'

export type Device = 'cpu' | 'cuda' | `cuda:${number}` | 'auto'
/** `fp64` is for goldens; `fp16` needs CUDA. */
export type Precision = 'fp64' | 'fp32' | 'bf16' | 'fp16'
/** Of a model that only answers. `int8`: linear layers of the blocks in 8 bits on the CPU, all else in fp32. */
export type InferencePrecision = Precision | 'int8'

/** Where and how a model computes. */
export interface ModelOptions {
  device?: Device
  /** Default `fp32`. `int8` needs `inference`. */
  precision?: InferencePrecision
  /** A model that only answers: no gradients, no memory for an optimizer; training calls throw UNSUPPORTED. Default false. */
  inference?: boolean
  /** Seed of the initial weights and of dropout. */
  seed?: number
  /** For tests. `reference` = the plain paths that the fast ones are held against; `portable` = what a GPU runs, also on the CPU. */
  kernels?: 'fast' | 'portable' | 'reference'
}

/** A parameter of a model; query, key and value of a block are three. */
export interface ParameterInfo {
  /** `bert.…` as in Hugging Face's BERT, `heads.<name>.…`, `mixes.…`, `adapters.…`, `agreements.…`, or `pruning.<weight>.scores`. */
  name: string
  shape: number[]
  /** False for biases and LayerNorm parameters. */
  decays: boolean
  /** 0 for embeddings, l for block l, L + 1 for heads. */
  layer: number
}

/** Loss of one head over one optimiser step or batch. */
export interface HeadLoss {
  lossSum: number
  count: number
  /** lossSum / count; NaN when count is 0. */
  loss: number
  finite: boolean
}

/** Losses that stay on the device until read. */
export interface StepLosses {
  read(): Promise<Record<string, HeadLoss>>
}

/** What a head reaches on one batch; sums, so that batches add up. */
export interface HeadEvaluation {
  lossSum: number
  count: number
  /** How many labels the arg-max hits. */
  correct: number
  /** confusion[label * classes + prediction]; only for heads with few classes. */
  confusion?: number[]
  /**
   * Scores of the labelled places, row by row: classes (two of next sentence and bigram shift, log-probabilities of a SAN), one number of
   * a regressor or ranker, start and end of every token of a span head. Not for masked LM and agreement, whose classes are many.
   *
   * A parser's rows, two numbers each: score and best relation of every arc, sentence by sentence and word by word, the root and then
   * the sentence's words as heads: W (W + 1) rows for W words. With tags a row for every word of the batch follows: log-probability
   * of its best tag, and the tag.
   */
  logits?: Scores
}

export interface Scores {
  shape: number[]
  values: Float32Array | Float64Array
}

/** What {@link Model.answer} can be asked about sequences. M places, K candidates. */
export type AskedOfModel =
  /** As {@link Model.embed}: (R, H). */
  | { kind: 'vectors'; layer: number; pooling: 'mean' | 'cls' | 'max'; normalize: boolean }
  /** As {@link Model.hiddenStates}: (T, H) a layer. */
  | { kind: 'states'; layers: Int32Array }
  /** As {@link Model.headLogits}. */
  | { kind: 'scores'; head: string; labels: HeadLabels }
  /** As {@link Model.predictMasked}: token ids and probabilities, (M, K) each. */
  | { kind: 'masks'; head: string; positions: Int32Array; topK: number; layer?: number }

/**
 * A question about R sequences of a batch, by their numbers. Its labels and positions, and the rows of its answer, are those of a batch of
 * these sequences alone, in this order.
 */
export type ModelQuestion = AskedOfModel & { sequences: Int32Array }

export type ModelAnswer = { shape: number[]; values: Float32Array | Float64Array | Int32Array }[]

/**
 * Where the encoder's heads look, summed over the tokens of a batch (each once as the query i; p_ij is its attention to token j), so
 * that batches add up. Arrays have shape (L, N) row-major, block by block.
 */
export interface AttentionSums {
  /** Tokens that were summed over. */
  queries: number
  /** Σ_j p_ij |i − j|, in tokens. */
  distance: Float64Array
  /** −Σ_j p_ij log p_ij, in nats. */
  entropy: Float64Array
  /** Attention to the sequence's first token, [CLS]. */
  first: Float64Array
  /** Attention to the tokens with the separator's id; zeros when none was named. */
  separators: Float64Array
}

/**
 * To which chunk each chunk of a batch stands in one relation. Chunk c's numbers are those from offsets[c] to offsets[c + 1]: one for
 * every chunk of its sentence in order (its own is 0), then one for none.
 */
export interface AgreementProbabilities {
  /** Shape (C + 1). */
  offsets: Int32Array
  probabilities: Float32Array
}

/** Names the masks of the next training pass: masks are a function of it alone. */
export interface DropoutState {
  seed: number
  /** Number of training forward passes so far. */
  counter: number
}
