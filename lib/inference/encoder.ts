/**
 * A trained encoder for use inside programs: texts in, vectors, words, classes, answers or tags out. Works on checkpoints of this
 * package, on run folders (their newest whole checkpoint) and on Hugging Face BERT folders.
 */
import { StrataError } from '../errors.js'
import {
  computeThreads,
  type Device,
  type InferencePrecision,
  loadModel,
  type Model,
  type ModelConfig,
  type SavedTask,
} from '../model/index.js'
import { resolveDevice } from '../runtime/index.js'
import { type EncodedText, Tokenizer } from '../text/index.js'
import { resolveCheckpoint } from '../training/index.js'
import { type Answer, type AnswerOptions, answer } from './answer.js'
import { positive, type TextInput, textList, tokenLimit } from './check-arguments.js'
import {
  type AskOptions,
  type Classification,
  type ClassifyOptions,
  classify,
  score,
  type TextScore,
} from './classify.js'
import { type FilledMask, type FillMaskOptions, fillMask } from './fill-mask.js'
import type { LoadedParts } from './loaded-parts.js'
import { embedMix, findMix } from './mixed-states.js'
import { packTexts } from './packed-texts.js'
import { type ParsedSentence, parse } from './parse.js'
import { type TaggedWord, tag } from './tag.js'

export interface EncoderOptions {
  /** Default `auto`: CUDA where it can be had, else the CPU. */
  device?: Device
  /** Default `fp32`. `bf16` is faster on hardware that has it; cosine to fp32 vectors stays above 0.999. `int8`: see docs/precisions.md. */
  precision?: InferencePrecision
  /** Threads of libtorch in this process, so of every model in it; default: as many as it sees processors. */
  threads?: number
  /** Most real tokens that are computed at once; default 4096. Bounds memory, changes no result but rounding. */
  maxBatchTokens?: number
  /** Folders of adapters (see saveAdapter) that are added with their heads and tasks. */
  adapterFolders?: readonly string[]
}

export interface EmbedOptions {
  /** How token states become one vector; default `mean`. */
  pooling?: 'mean' | 'cls' | 'max'
  /**
   * 0 = embedding output, l = output of block l; default the top layer. Blocks above it are not computed. `mix` = the learned mix
   * of layers, or `mix:NAME` where there are several.
   */
  layer?: number | 'mix' | `mix:${string}`
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
  readonly precision: InferencePrecision
  readonly tokenizer: Tokenizer
  /** What the heads were trained for, where the folder says it. */
  readonly tasks: readonly SavedTask[]
  readonly #model: Model
  readonly #parts: LoadedParts

  private constructor(parts: LoadedParts) {
    const { model, tokenizer, tasks } = parts
    this.#model = model
    this.#parts = parts
    this.tasks = tasks
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
    const { precision = 'fp32', adapterFolders } = options
    const { model, config, tasks } = await loadModel(folder, { device, precision, adapterFolders, inference: true })
    if (tokenizer.vocabSize > config.encoder.vocabSize) {
      await model.dispose()
      throw new StrataError(
        'BAD_CHECKPOINT',
        `${folder}: the tokenizer has ${tokenizer.vocabSize} tokens, the encoder ${config.encoder.vocabSize}; they do not belong together`,
      )
    }
    return new Encoder({ model, tokenizer, tasks, maxBatchTokens })
  }

  /** Numbers per vector. */
  get dimension(): number {
    return this.config.encoder.hiddenSize
  }

  /** One vector per text, in input order. An empty text is [CLS] [SEP]. Throws BAD_ARGUMENT on what is no text. */
  async embed(texts: string | readonly string[], options: EmbedOptions = {}): Promise<Embeddings> {
    const { layer = this.config.encoder.layers, pooling = 'mean', normalize = false, signal } = options
    const mix = isMix(layer) ? findMix(this.#model, layer.split(':', 2)[1]) : undefined
    if (!mix && (!Number.isInteger(layer) || (layer as number) < 0 || (layer as number) > this.config.encoder.layers)) {
      throw new StrataError('BAD_ARGUMENT', `layer came as ${layer}, expected 0 … ${this.config.encoder.layers}`)
    }
    if (!['mean', 'cls', 'max'].includes(pooling)) {
      throw new StrataError('BAD_ARGUMENT', `pooling came as ${JSON.stringify(pooling)}, expected mean, cls or max`)
    }
    const encoded = await this.#encode(texts, options)
    const vectors = new Array<Float32Array>(encoded.length)
    const { dimension } = this
    for (const { batch, indices } of packTexts(encoded, this.#parts.maxBatchTokens)) {
      if (signal?.aborted) throw new StrataError('ABORTED', 'embed was aborted by its signal')
      const rows = mix
        ? await embedMix(this.#model, batch, mix, { pooling, normalize })
        : await this.#model.embed(batch, { layer: layer as number, pooling, normalize })
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
  fillMask(text: string, options: FillMaskOptions = {}): Promise<FilledMask[]> {
    return fillMask(this.#parts, text, options)
  }

  /**
   * Classes with their probabilities, or the number of a regression, for each text or pair of texts [first, second], in input order.
   * Throws UNSUPPORTED when the checkpoint has no such head, BAD_ARGUMENT when the task must be named or reads pairs and got single
   * texts.
   */
  classify(texts: string | readonly TextInput[], options: ClassifyOptions = {}): Promise<Classification[]> {
    return classify(this.#parts, texts, options)
  }

  /** The number of a regression or ranking head for each text or pair [question, candidate]. Errors as {@link Encoder.classify}. */
  score(texts: string | readonly TextInput[], options: AskOptions = {}): Promise<TextScore[]> {
    return score(this.#parts, texts, options)
  }

  /** The part of a context that answers a question; a long context is read in overlapping windows. Errors as {@link Encoder.classify}. */
  answer(question: string, context: string, options: AnswerOptions = {}): Promise<Answer> {
    return answer(this.#parts, question, context, options)
  }

  /**
   * A tag for every word of each text, by its first piece; a text may come as a list of words. Long texts are read in several
   * sequences. Errors as {@link Encoder.classify}.
   */
  tag(texts: string | readonly (string | readonly string[])[], options: AskOptions = {}): Promise<TaggedWord[][]> {
    return tag(this.#parts, texts, options)
  }

  /**
   * The dependency tree of every sentence, and parts of speech where the parser has them; a sentence may come as a list of words, else
   * it is split as the English treebanks are. One that is longer than a sequence is read in parts, whose roots depend on the first
   * one's. Errors as {@link Encoder.classify}.
   */
  parse(
    sentences: string | readonly (string | readonly string[])[],
    options: AskOptions = {},
  ): Promise<ParsedSentence[]> {
    return parse(this.#parts, sentences, options)
  }

  /** Gives the model's memory back; safe while calls are running and when called twice. */
  async dispose(): Promise<void> {
    await this.#model.dispose()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose()
  }

  async #encode(texts: string | readonly string[], options: EmbedOptions): Promise<EncodedText[]> {
    const list = textList(texts)
    const { truncate = true } = options
    const limit = this.config.encoder.maxPositions
    const maxTokens = tokenLimit(options.maxTokens ?? limit, limit)
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
}

function isMix(layer: unknown): layer is string {
  return typeof layer === 'string' && /^mix(:.+)?$/.test(layer)
}
