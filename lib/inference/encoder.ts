/**
 * A trained encoder for use inside programs: texts in, vectors or words out. Works on checkpoints of this package, on run
 * folders (their newest whole checkpoint) and on Hugging Face BERT folders.
 */
import { StrataError } from '../errors.js'
import {
  computeThreads,
  type Device,
  loadModel,
  type Model,
  type ModelConfig,
  type Precision,
  tapLayer,
} from '../model/index.js'
import { resolveDevice } from '../runtime/index.js'
import { type EncodedText, Tokenizer } from '../text/index.js'
import { resolveCheckpoint } from '../training/index.js'
import { packTexts } from './packed-texts.js'

export interface EncoderOptions {
  /** Default `auto`: CUDA where it can be had, else the CPU. */
  device?: Device
  /** Default `fp32`. `bf16` is faster on hardware that has it; cosine to fp32 vectors stays above 0.999. */
  precision?: Precision
  /** Threads of libtorch in this process, so of every model in it; default: as many as it sees processors. */
  threads?: number
  /** Most real tokens that are computed at once; default 4096. Bounds memory, changes no result but rounding. */
  maxBatchTokens?: number
}

export interface EmbedOptions {
  /** How token states become one vector; default `mean`. */
  pooling?: 'mean' | 'cls' | 'max'
  /** 0 = embedding output, l = output of block l; default the top layer. Blocks above it are not computed. */
  layer?: number
  /** Scales each vector to unit length; default false. */
  normalize?: boolean
  /** Longest input in tokens, [CLS] and [SEP] included; default and limit: the encoder's positions. */
  maxTokens?: number
  /** True (default) cuts longer texts and lists them in `truncated`; false refuses them. */
  truncate?: boolean
  /** Stops before the next batch and rejects with ABORTED. */
  signal?: AbortSignal
}

/** Vectors of N texts in input order. */
export interface Embeddings {
  /** N vectors of `dimension` numbers. */
  vectors: Float32Array[]
  dimension: number
  /** Tokens computed, special tokens included. */
  tokenCount: number
  /** Indices of the texts that were cut at `maxTokens`. */
  truncated: number[]
}

export interface FillMaskOptions {
  /** Candidates per mask, most probable first; default 5. */
  topK?: number
  /** Masked-LM head to ask; default the only one, else the topmost. */
  head?: string
}

export interface MaskCandidate {
  token: string
  tokenId: number
  probability: number
}

/** One [MASK] of a text. */
export interface FilledMask {
  /** Index of the token in the encoded text, [CLS] = 0. */
  position: number
  candidates: MaskCandidate[]
}

const DEFAULT_BATCH_TOKENS = 4096

/**
 * A loaded encoder. Calls may overlap; they are computed one after the other on the model's own thread. Call `dispose()` (or
 * use `await using`) to give the memory back.
 *
 * @example
 * await using encoder = await Encoder.load('runs/my-run')
 * const { vectors } = await encoder.embed(['A first text.', 'A second one.'], { normalize: true })
 */
export class Encoder implements AsyncDisposable {
  readonly config: ModelConfig
  readonly device: string
  readonly precision: Precision
  readonly tokenizer: Tokenizer
  readonly #model: Model
  readonly #maxBatchTokens: number

  private constructor(model: Model, tokenizer: Tokenizer, maxBatchTokens: number) {
    this.#model = model
    this.#maxBatchTokens = maxBatchTokens
    this.config = model.config
    this.device = model.device
    this.precision = model.precision
    this.tokenizer = tokenizer
  }

  /** Loads a checkpoint, a run folder's newest whole checkpoint, or a Hugging Face folder. Throws NOT_FOUND, BAD_CHECKPOINT, BAD_FILE or UNSUPPORTED with the file at fault. */
  static async load(path: string, options: EncoderOptions = {}): Promise<Encoder> {
    const maxBatchTokens = options.maxBatchTokens ?? DEFAULT_BATCH_TOKENS
    positive('maxBatchTokens', maxBatchTokens)
    const { folder } = await resolveCheckpoint(path)
    const tokenizer = await Tokenizer.load(folder)
    const device = resolveDevice(options.device) as Device
    if (options.threads !== undefined) {
      positive('threads', options.threads)
      computeThreads(options.threads)
    }
    const { model, config } = await loadModel(folder, { device, precision: options.precision ?? 'fp32' })
    if (tokenizer.vocabSize > config.encoder.vocabSize) {
      await model.dispose()
      throw new StrataError(
        'BAD_CHECKPOINT',
        `${folder}: the tokenizer has ${tokenizer.vocabSize} tokens, the encoder ${config.encoder.vocabSize}; they do not belong together`,
      )
    }
    return new Encoder(model, tokenizer, maxBatchTokens)
  }

  /** Numbers per vector. */
  get dimension(): number {
    return this.config.encoder.hiddenSize
  }

  /** One vector per text, in input order. An empty text is [CLS] [SEP]. Throws BAD_ARGUMENT on what is no text. */
  async embed(texts: string | readonly string[], options: EmbedOptions = {}): Promise<Embeddings> {
    const { layer = this.config.encoder.layers, pooling = 'mean', normalize = false, signal } = options
    if (!Number.isInteger(layer) || layer < 0 || layer > this.config.encoder.layers) {
      throw new StrataError('BAD_ARGUMENT', `layer came as ${layer}, expected 0 … ${this.config.encoder.layers}`)
    }
    if (!['mean', 'cls', 'max'].includes(pooling)) {
      throw new StrataError('BAD_ARGUMENT', `pooling came as ${JSON.stringify(pooling)}, expected mean, cls or max`)
    }
    const encoded = await this.#encode(texts, options)
    const vectors = new Array<Float32Array>(encoded.length)
    const { dimension } = this
    for (const { batch, indices } of packTexts(encoded, this.#maxBatchTokens)) {
      if (signal?.aborted) throw new StrataError('ABORTED', 'embed was aborted by its signal')
      const rows = await this.#model.embed(batch, { layer, pooling, normalize })
      indices.forEach((index, row) => {
        vectors[index] = rows.slice(row * dimension, (row + 1) * dimension)
      })
    }
    return {
      vectors,
      dimension,
      tokenCount: encoded.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0),
      truncated: encoded.flatMap(({ truncated }, index) => (truncated ? [index] : [])),
    }
  }

  /**
   * What a masked-LM head would put in place of each `[MASK]` of the text. Throws UNSUPPORTED when the checkpoint has no such
   * head, BAD_ARGUMENT when the text has no [MASK] or is too long.
   */
  async fillMask(text: string, options: FillMaskOptions = {}): Promise<FilledMask[]> {
    const { topK = 5 } = options
    positive('topK', topK)
    const head = this.#maskedLmHead(options.head)
    const [encoded] = await this.#encode([text], { truncate: false })
    const { maskId, vocabSize } = this.tokenizer.specialTokens
    const positions = Int32Array.from([...encoded.tokenIds].flatMap((id, index) => (id === maskId ? [index] : [])))
    if (positions.length === 0) {
      throw new StrataError(
        'BAD_ARGUMENT',
        `the text has no ${this.tokenizer.idToToken(maskId)}: write it where a word is to be filled in`,
      )
    }
    const wanted = Math.min(topK, vocabSize)
    const [{ batch }] = packTexts([encoded], this.#maxBatchTokens)
    const { tokenIds, probabilities } = await this.#model.predictMasked(batch, head, positions, wanted)
    return [...positions].map((position, row) => ({
      position,
      candidates: [...tokenIds.subarray(row * wanted, (row + 1) * wanted)].map((tokenId, column) => ({
        token: this.tokenizer.idToToken(tokenId) ?? `[unused:${tokenId}]`,
        tokenId,
        probability: probabilities[row * wanted + column],
      })),
    }))
  }

  /** Gives the model's memory back; safe while calls are running and when called twice. */
  async dispose(): Promise<void> {
    await this.#model.dispose()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose()
  }

  async #encode(texts: string | readonly string[], options: EmbedOptions): Promise<EncodedText[]> {
    const list = typeof texts === 'string' ? [texts] : texts
    if (!Array.isArray(list))
      throw new StrataError('BAD_ARGUMENT', `texts came as ${typeof texts}, expected a string or a list of strings`)
    list.forEach((text, index) => {
      if (typeof text !== 'string')
        throw new StrataError(
          'BAD_ARGUMENT',
          `texts[${index}] came as ${text === null ? 'null' : typeof text}, expected a string`,
        )
    })
    const limit = this.config.encoder.maxPositions
    const { maxTokens = limit, truncate = true } = options
    positive('maxTokens', maxTokens)
    if (maxTokens > limit)
      throw new StrataError(
        'BAD_ARGUMENT',
        `maxTokens came as ${maxTokens}, expected at most the encoder's ${limit} positions`,
      )
    const encoded = list.length === 0 ? [] : await this.tokenizer.encodeBatch(list, { maxTokens })
    const tooLong = truncate ? -1 : encoded.findIndex((text) => text.truncated)
    if (tooLong >= 0) {
      throw new StrataError(
        'BAD_ARGUMENT',
        `texts[${tooLong}] has more than ${maxTokens} tokens; shorten it, or let embed cut it with truncate: true`,
        {
          details: { index: tooLong, maxTokens },
        },
      )
    }
    return encoded
  }

  #maskedLmHead(name: string | undefined): string {
    const { layers } = this.config.encoder
    const heads = this.config.heads.filter((head) => head.kind === 'masked-lm')
    const head =
      name === undefined
        ? [...heads].sort((a, b) => tapLayer(b.tap, layers) - tapLayer(a.tap, layers))[0]
        : heads.find((one) => one.name === name)
    if (head) return head.name
    const known = heads.map((one) => one.name).join(', ')
    throw new StrataError(
      'UNSUPPORTED',
      name === undefined || !known
        ? 'this checkpoint has no masked-LM head, which fill-mask needs; use one that was trained with masked LM'
        : `no masked-LM head is named "${name}"; the checkpoint has ${known}`,
    )
  }
}

function positive(name: string, value: number): void {
  if (!Number.isInteger(value) || value < 1)
    throw new StrataError('BAD_ARGUMENT', `${name} came as ${value}, expected a whole number ≥ 1`)
}
