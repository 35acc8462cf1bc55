/** Shapes and switches of a model: an encoder and the heads that tap it. Legend: L layers, H hidden size, V vocabulary. */

/** Field names follow Hugging Face's config.json where they mean the same. */
export interface EncoderConfig {
  /**
   * `bert`: BERT as published, post-LN. `crammed`: the pre-LN encoder of Crammed BERT (Geiping & Goldstein 2022, arXiv 2212.14034):
   * gated feed-forward part, no biases, sinusoidal positions with one learned scale, no segment embeddings, a closing LayerNorm that
   * the top layer's state has gone through.
   */
  kind: 'bert' | 'crammed'
  vocabSize: number
  layers: number
  hiddenSize: number
  heads: number
  /** Width of the feed-forward part's first product. `crammed`: an even number, half values and half gates. */
  intermediateSize: number
  /** Longest sequence in tokens. */
  maxPositions: number
  /** Segment ids run from 0 to this − 1; `crammed` takes them and does not read them. */
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

/**
 * Where a head reads: a layer (0 = the embedding output, l = the output of block l), or a mix of all layers by its name in
 * {@link ModelConfig.mixes}.
 */
export type Tap = { layer: number; mix?: undefined } | { mix: string; layer?: undefined }

/**
 * A learned sum of layers, R = γ Σ softmax(w)_j N(h_j), for every token: BERMo (Kodge & Roy 2021, arXiv 2110.15802) by ELMo's
 * mix. Heads that name the same mix share its weights. N, the layers that take part and the start are our choices.
 */
export interface MixConfig {
  /** Unique name; its parameters are `mixes.<name>.weights` (one a layer) and `mixes.<name>.gamma`. */
  name: string
  /** Layer 0 takes part as well. */
  includeEmbeddings: boolean
  /** N = a LayerNorm without weights, a token at a time; false: N = identity, as suits a post-LN encoder. */
  layerNorm: boolean
  /** `uniform`: all w = 0; `last`: w of the top layer = 4, so that a trained encoder's head finds nearly what it knew. */
  init: 'uniform' | 'last'
}

interface HeadBase {
  /** Unique name; labels, losses and parameters (`heads.<name>.…`) carry it. */
  name: string
  tap: Tap
  /** Factor of this head's mean loss in the sum. */
  weight: number
}

/** Hands next-sentence information to the masked LM (our design; the paper's abstract, all that we know of it, does not say how). */
export interface TransferConfig {
  /** Name of the next-sentence head whose pooled vector is handed over. */
  from: string
  mode: 'concat' | 'add' | 'label'
  /** True keeps the masked-LM loss out of the next-sentence head's layers. */
  stopGradient: boolean
}

/** Masked LM (Devlin et al. 2019, section 3.1): transform, then the word embeddings as decoder; scores at masked positions only. */
export interface MaskedLmHeadConfig extends HeadBase {
  kind: 'masked-lm'
  /** False: the state is decoded as it is, without transform and bias, as in Crammed BERT; excludes a transfer. Default true. */
  transform?: boolean
  transfer?: TransferConfig
}

/** Next sentence (Devlin et al. 2019, section 3.1): tanh pooler, two classes; 0 = the second segment follows. */
export interface NextSentenceHeadConfig extends HeadBase {
  kind: 'next-sentence'
  /**
   * What the pooler reads: the sequence's first state as in BERT (default), or the mean of its states (our choice, for encoders
   * whose [CLS] says little at the tapped layer).
   */
  read?: 'cls' | 'mean'
}

/** Bigram shift: were neighbouring words swapped? (Aksoy et al. 2020, arXiv 2011.04451; the construction is our choice.) */
export interface BigramShiftHeadConfig extends HeadBase {
  kind: 'bigram-shift'
  /** One label a sentence or one a token. */
  level: 'sentence' | 'token'
  /** What a sentence label is read from: the mean of the sentence's states, or the sequence's first state. */
  read: 'mean' | 'cls'
}

/**
 * What a sequence head reads of its tap: tanh(W h_[CLS] + b) by a pooler of its own, by the one pooler of all heads that say
 * `shared`, or h_[CLS] itself.
 */
export type PoolerUse = 'own' | 'shared' | 'none'

interface TaskHeadBase extends HeadBase {
  /** Probability of dropping a value that the head's last layer reads. */
  dropout: number
}

interface PooledHeadBase extends TaskHeadBase {
  pooler: PoolerUse
  /** Values of the pooled vector, with `pooler: 'own'` alone; default the encoder's width. */
  poolerSize?: number
}

/** Classes of a sequence: dropout and one linear layer on the pooled state. */
export interface ClassifierHeadConfig extends PooledHeadBase {
  kind: 'classifier'
  classes: number
}

/** One number a sequence; the loss is the squared error (Liu et al. 2019, arXiv 1901.11504, equation 7). */
export interface RegressorHeadConfig extends PooledHeadBase {
  kind: 'regressor'
}

/**
 * Stochastic answer network over the tokens of a pair (Liu et al. 2019, arXiv 1901.11504, section 3): the premise is segment 1,
 * the hypothesis segment 0.
 */
export interface SanHeadConfig extends TaskHeadBase {
  kind: 'san'
  classes: number
  /** Reasoning steps K. */
  steps: number
  /** Probability of leaving a step's distribution out of the average while training. */
  predictionDropout: number
}

/** Scores candidates of a question against each other: softmax over a group (Liu et al. 2019, equation 8). */
export interface RankerHeadConfig extends PooledHeadBase {
  kind: 'ranker'
}

/** Start and end scores a token (Devlin et al. 2018, section 4.2). */
export interface SpanHeadConfig extends TaskHeadBase {
  kind: 'span'
}

/** Classes of a token. */
export interface TaggerHeadConfig extends TaskHeadBase {
  kind: 'tagger'
  classes: number
}

/**
 * Heads and relations of words: deep biaffine parser (Dozat & Manning 2017, arXiv 1611.01734), with a tagger on the same states if
 * `tags` is given. `classes` counts the relations.
 */
export interface ParserHeadConfig extends TaskHeadBase {
  kind: 'parser'
  classes: number
  /** Parts of speech; 0 or missing: none. */
  tags?: number
  /** Width of the vectors that arcs are scored by. */
  arcSize: number
  /** Width of those that relations are scored by. */
  labelSize: number
}

/** Heads of labelled tasks. */
export type TaskHeadConfig =
  | ClassifierHeadConfig
  | RegressorHeadConfig
  | SanHeadConfig
  | RankerHeadConfig
  | SpanHeadConfig
  | TaggerHeadConfig
  | ParserHeadConfig

/**
 * To which chunk of its sentence a chunk stands in one relation, or that it does in none: the loss that trains the submodel of that
 * relation ({@link AgreementConfig}). It reads no layer of the encoder and has no parameters of its own.
 */
export interface AgreementHeadConfig extends Omit<HeadBase, 'tap'> {
  kind: 'agreement'
  tap?: undefined
  /** One of the model's `agreements.relations`. */
  relation: string
}

/** A head by its `kind`: a task's own module on a tap. */
export type HeadConfig =
  | MaskedLmHeadConfig
  | NextSentenceHeadConfig
  | BigramShiftHeadConfig
  | TaskHeadConfig
  | AgreementHeadConfig

export const ADAPTER_KINDS = ['pal', 'low-rank', 'houlsby', 'lhuc', 'top-attention', 'top-layer', 'lora'] as const

/**
 * A task's own modules inside the blocks; a batch runs through the one that it names. h is a block's input, H its size, S = `size`.
 * Placement and defaults are those of the code of Stickland & Murray 2019 (arXiv 1902.02671), `lora` apart:
 *
 * | kind | what it does | its parameters, after `adapters.<name>.` |
 * |---|---|---|
 * | `pal` | adds GELU(V^D MHA(V^E h)) before the last LayerNorm | `encoder.*`, `decoder.*` (shared by the layers), `layer.{i}.{query,key,value}.*` |
 * | `low-rank` | adds V^D GELU(V^E h) there | `layer.{i}.{encoder,decoder}.*` |
 * | `houlsby` | one such module on the attention's projection, one beside the feed-forward sublayer | `layer.{i}.{attention,output}.{encoder,decoder}.*` |
 * | `lhuc` | a block's output times 2 sigmoid(r) | `layer.{i}.scale` (H) |
 * | `top-attention` | after the last block: H → S, attention sublayers, S → H | `encoder.*`, `attention.{j}.{self,output}.…`, `decoder.*` |
 * | `top-layer` | one more block on top | `top.…` as in `bert.encoder.layer.{i}.…` |
 * | `lora` | query and value + (alpha / S) h A^T B^T (Hu et al. 2021, arXiv 2106.09685) | `layer.{i}.{query,value}.a` (S, H), `.b` (H, S) |
 *
 * Attention and outputs inside an adapter drop what the encoder's `attentionDropout` and `hiddenDropout` say. A number that a kind
 * does not have is refused.
 */
export interface AdapterConfig {
  /** Unique name; its parameters are `adapters.<name>.…`. */
  name: string
  kind: (typeof ADAPTER_KINDS)[number]
  /** Inner size, or the rank. Required but for `lhuc` and `top-layer`, which have none. */
  size?: number
  /** Attention heads: `pal` (default 6) and `top-attention` (default 12), a divisor of `size`; `top-layer` (default: the encoder's). */
  heads?: number
  /** Sublayers of `top-attention`, default 6. */
  blocks?: number
  /** `pal`: a GELU after the decoder, as in the published code (default); false: none, as in the paper. */
  outputGelu?: boolean
  /** `lora`: the product is scaled by alpha / size. Default: `size`, a scale of 1. */
  alpha?: number
  /** `lora`: probability of dropping a value that A reads. Default 0. */
  dropout?: number
  /** `lora`: which products get an update. Default: query and value. */
  targets?: ('query' | 'key' | 'value')[]
  /**
   * LayerNorms of its own in place of the encoder's: parameters `adapters.<name>.norms.…` under the encoder's names. In a model that is
   * loaded they start as the encoder's. Default false.
   */
  layerNorms?: boolean
}

/**
 * Masks on the weights of every linear layer of the blocks while the model is trained: the methods that Sanh, Wolf & Rush 2020
 * (arXiv 2005.07683) compare. Products use W ⊙ M; q, k, v, the attention's projection and both layers behind it have a mask each,
 * embeddings, biases, LayerNorms, heads and adapters none.
 *
 * | method | M | scores S start at |
 * |---|---|---|
 * | `magnitude` | the largest share of \|W\| (Zhu & Gupta 2017, arXiv 1710.01878) | no scores |
 * | `movement` | the largest share of S | 0 |
 * | `soft-movement` | sigmoid(S) > threshold, at least 0.5 % of a matrix | 0 |
 * | `l0` | hard concrete gates (Louizos et al. 2018, arXiv 1712.01312) | 2.197 |
 *
 * The scores are the parameters `pruning.<weight's name>.scores`. What is left, and the penalty, {@link Model.setPruning} says.
 */
export interface PruningConfig {
  method: 'magnitude' | 'movement' | 'soft-movement' | 'l0'
}

/**
 * Submodels of dependency agreements (Kuo, Zhang & Chen 2023, arXiv 2311.04799), one a relation; what is not in the abstract is our
 * choice. Submodel r reads the batch's tokens with word embeddings and pre-LN blocks of its own, as in the crammed encoder; the mean
 * of its states over a chunk is c_a. It says to which chunk b of the sentence chunk a stands in relation r, or that it does to none:
 * P_r = softmax of c_a B_r c_b + u_r [c_a; c_b] over all b ≠ a, and 0 for none. What the encoder reads joins its embeddings before
 * their LayerNorm: Σ_r g_r W_r [c_a; Σ_b P_r(b | a) c_b] at each token of chunk a, nothing at tokens outside the chunks.
 *
 * Parameters: `agreements.gates` (R) and, by relation, `agreements.<relation>.` + `words` (V, d), `position_scale` (1),
 * `LayerNorm.…`, `layer.{l}.…` as in a crammed `bert.encoder.layer.{l}.…`, `last.LayerNorm.…`, `bilinear` (d, d), `linear` (2 d) and
 * `projection` (H, 2 d).
 *
 * Every batch of such a model needs `chunks` (lib/data/packed-batch.ts).
 */
export interface AgreementConfig {
  /** Names of the relations; their order is that of the gates. */
  relations: string[]
  /** d, the size of the submodels' states. */
  size: number
  /** Blocks of a submodel. */
  layers: number
  /** Attention heads of a block, a divisor of `size`. */
  heads: number
  /** Width of a block's gated feed-forward product, an even number: half values and half gates. */
  intermediateSize: number
  /** What the gates g start at. */
  gateInit: number
  /** Relations that the encoder does not get: as if their gate were 0, and nothing of them is trained by the encoder's heads. */
  off?: string[]
  /** True: the gates stay at `gateInit`. Default false. */
  fixedGates?: boolean
  /** True: the encoder's heads train the submodels as well. Default false: only the agreement heads do. */
  train?: boolean
  /** What batches of plain text are cut into: chunks (default), or words. */
  unit?: 'chunk' | 'word'
}

/**
 * What {@link Model.create} makes: an encoder with its heads and what stands between them. Names of heads, mixes and adapters are unique.
 */
export interface ModelConfig {
  encoder: EncoderConfig
  heads: HeadConfig[]
  agreements?: AgreementConfig
  mixes?: MixConfig[]
  adapters?: AdapterConfig[]
  /** A model that is being pruned; one that comes out of it has zeros and nothing here. */
  pruning?: PruningConfig
}

/** The highest layer that a head's tap needs; −1 for a head that reads no layer. */
export function tapLayer(tap: Tap | undefined, layers: number): number {
  if (tap === undefined) return -1
  return tap.mix === undefined ? tap.layer : layers
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
