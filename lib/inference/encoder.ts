/**
 * A trained encoder for use inside programs and servers: texts in, vectors, words, classes, answers or tags out. Works on checkpoints of
 * this package, on run folders (their newest whole checkpoint, or a task's own) and on Hugging Face BERT folders.
 */
import { StrataError } from '../errors.js'
import { computeThreads, type ModelConfig, type SavedTask } from '../model/index.js'
import { resolveDevice } from '../runtime/index.js'
import type { Tokenizer } from '../text/index.js'
import { ANSWER_OPTIONS, type Answer, type AnswerOptions, type AskedContext, answer } from './answer.js'
import { ASK_TASKS_OPTIONS, type AskTasksOptions, ask, type TaskAnswers } from './ask.js'
import { checkText, isStream, nonNegative, positive, type TextInput } from './check-arguments.js'
import {
  ASK_OPTIONS,
  type AskOptions,
  CLASSIFY_OPTIONS,
  type Classification,
  type ClassifyOptions,
  classify,
  score,
  type TextScore,
} from './classify.js'
import { EMBED_OPTIONS, type Embeddings, type EmbedOptions, embed } from './embed.js'
import { FILL_MASK_OPTIONS, type FilledMask, type FillMaskOptions, fillMask } from './fill-mask.js'
import { HIDDEN_STATES_OPTIONS, type HiddenStatesOptions, hiddenStates, type TokenStates } from './hidden-states.js'
import { LOAD_PARTS_OPTIONS, type LoadPartsOptions, loadParts } from './load-parts.js'
import type { CallOptions, LoadedParts, Session } from './loaded-parts.js'
import { type OptionKinds, ownOptions, readable } from './own-arguments.js'
import { type ParsedSentence, parse } from './parse.js'
import { disposedError, ServingEngine } from './serving/engine.js'
import type { EncoderStats } from './serving/serving-stats.js'
import { warmUp } from './serving/warm-up.js'
import { type TaggedWord, tag, type WordsInput } from './tag.js'

export interface EncoderOptions extends LoadPartsOptions {
  /** Threads of libtorch in this process, so of every model in it; default: as many as it sees processors. */
  threads?: number
  /** Most real tokens that are computed at once; default 4096. Bounds memory, changes no result but rounding. */
  maxBatchTokens?: number
  /**
   * Most tokens that wait; default 262,144. A call that does not find room is refused with OVERLOADED. An empty queue takes any
   * single call; streams and the further blocks of long lists wait for room, and leave half of it to other calls.
   */
  maxQueueTokens?: number
  /**
   * How long a short call may be held up by much longer ones in its batch, in milliseconds at the measured speed; default 2. Longer ones
   * come in the next batch. No batch is held back to wait for more calls.
   */
  maxWaitMs?: number
  /** Computes batches of several sizes before `load` resolves, so that the first call is as fast as the others; default false. */
  warmUp?: boolean
}

/** See {@link EncoderOptions}. */
const ENCODER_OPTIONS: OptionKinds<EncoderOptions> = {
  ...LOAD_PARTS_OPTIONS,
  threads: 'any',
  maxBatchTokens: 'any',
  maxQueueTokens: 'any',
  maxWaitMs: 'any',
  warmUp: 'flag',
}

/** What may be chosen anew with another checkpoint; default: as the encoder was loaded. */
export type ReplaceOptions = LoadPartsOptions

const DEFAULTS = { maxBatchTokens: 4096, maxQueueTokens: 262_144, maxWaitMs: 2 }

/**
 * A loaded encoder. Calls may overlap: whatever they ask, they are packed into common batches, fair to small callers beside large ones, and
 * computed on a thread of the model's own. Call `dispose()` (or use `await using`) to give the memory back.
 *
 * Every method rejects with OVERLOADED when the queue is full, ABORTED when its signal says so (at once, wherever the call stands),
 * DISPOSED after `dispose()`, and BAD_ARGUMENT for arguments that cannot be. See docs/serving.md.
 *
 * @example
 * await using encoder = await Encoder.load('runs/my-run')
 * const { vectors } = await encoder.embed(['A first text.', 'A second one.'], { normalize: true })
 */
export class Encoder implements AsyncDisposable {
  readonly #engine: ServingEngine
  readonly #loadOptions: LoadPartsOptions
  readonly #maxBatchTokens: number
  /** One replacement after the other. */
  #replacing: Promise<unknown> = Promise.resolve()

  private constructor(engine: ServingEngine, options: LoadPartsOptions, maxBatchTokens: number) {
    this.#engine = engine
    this.#loadOptions = options
    this.#maxBatchTokens = maxBatchTokens
  }

  /**
   * Loads a checkpoint, a run folder's newest whole checkpoint (with `task`, the task's own one), or a Hugging Face folder. A process warning
   * tells which tasks the checkpoint's stage has not trained. Throws NOT_FOUND, BAD_CHECKPOINT (a folder that changes meanwhile, too), BAD_FILE
   * or UNSUPPORTED with the file at fault, BAD_ARGUMENT for a task that the checkpoint lacks.
   */
  static async load(path: string, given: EncoderOptions = {}): Promise<Encoder> {
    checkText('path', path)
    const options = ownOptions(given, ENCODER_OPTIONS)
    const { device, precision, adapterFolders, task } = options
    const limits = {
      maxBatchTokens: options.maxBatchTokens ?? DEFAULTS.maxBatchTokens,
      maxQueueTokens: options.maxQueueTokens ?? DEFAULTS.maxQueueTokens,
      maxWaitMs: options.maxWaitMs ?? DEFAULTS.maxWaitMs,
    }
    positive('maxBatchTokens', limits.maxBatchTokens)
    positive('maxQueueTokens', limits.maxQueueTokens)
    nonNegative('maxWaitMs', limits.maxWaitMs)
    if (options.threads !== undefined) {
      positive('threads', options.threads)
      // Loads the runtime for this device; counting threads alone would load it for any.
      resolveDevice(device)
      computeThreads(options.threads)
    }
    const parts = await loadParts(path, { device, precision, adapterFolders, task })
    if (options.warmUp) await warmOrDispose(parts, limits.maxBatchTokens)
    // An accelerator would idle while this thread hands rows out; on the CPU a batch takes longer than that.
    const batchesAhead = parts.model.device === 'cpu' ? 0 : 1
    const engine = new ServingEngine(parts, { ...limits, batchesAhead })
    return new Encoder(engine, { device, precision, adapterFolders, task }, limits.maxBatchTokens)
  }

  /** Encoder, heads, mixes and adapters of the checkpoint at work; another one after `replace`. */
  get config(): ModelConfig {
    return this.#engine.parts.model.config
  }

  /** `cpu`, `cuda` or `cuda:N`. */
  get device(): string {
    return this.#engine.parts.model.device
  }

  /** Of the computation. */
  get precision(): LoadedParts['model']['precision'] {
    return this.#engine.parts.model.precision
  }

  /** The checkpoint's own. */
  get tokenizer(): Tokenizer {
    return this.#engine.parts.tokenizer
  }

  /** What the heads were trained for, where the folder says it. */
  get tasks(): readonly SavedTask[] {
    return this.#engine.parts.tasks
  }

  /** Numbers per vector. */
  get dimension(): number {
    return this.config.encoder.hiddenSize
  }

  /**
   * One vector per text, in input order; of a stream of texts one after the other. An empty text is [CLS] [SEP]. Throws BAD_ARGUMENT on
   * what is no text.
   */
  embed(texts: string | readonly string[], options?: EmbedOptions): Promise<Embeddings>
  embed(texts: AsyncIterable<string>, options?: EmbedOptions): AsyncGenerator<Float32Array, void, undefined>
  embed(
    texts: AsyncIterable<string> | string | readonly string[],
    options?: EmbedOptions,
  ): AsyncGenerator<Float32Array, void, undefined> | Promise<Embeddings> {
    const one = async (session: Session, text: unknown, own: EmbedOptions): Promise<Float32Array> =>
      (await embed(session, [text], own)).vectors[0]
    return this.#answer('texts', texts, options, EMBED_OPTIONS, embed, one)
  }

  /** States of every token of each text at the asked layers, in input order. */
  hiddenStates(texts: string | readonly string[], options: HiddenStatesOptions): Promise<TokenStates[]>
  hiddenStates(texts: AsyncIterable<string>, options: HiddenStatesOptions): AsyncGenerator<TokenStates, void, undefined>
  hiddenStates(
    texts: AsyncIterable<string> | string | readonly string[],
    options: HiddenStatesOptions,
  ): AsyncGenerator<TokenStates, void, undefined> | Promise<TokenStates[]> {
    return this.#answer('texts', texts, options, HIDDEN_STATES_OPTIONS, hiddenStates)
  }

  /**
   * What a masked-LM head would put in place of each `[MASK]`: of one text a list of its masks, of several such a list each, in input order.
   * Throws UNSUPPORTED when the checkpoint has no such head, BAD_ARGUMENT when a text has no [MASK] or is too long.
   */
  fillMask(text: string, options?: FillMaskOptions): Promise<FilledMask[]>
  fillMask(texts: readonly string[], options?: FillMaskOptions): Promise<FilledMask[][]>
  fillMask(texts: AsyncIterable<string>, options?: FillMaskOptions): AsyncGenerator<FilledMask[], void, undefined>
  fillMask(
    texts: AsyncIterable<string> | string | readonly string[],
    options?: FillMaskOptions,
  ): AsyncGenerator<FilledMask[], void, undefined> | Promise<FilledMask[] | FilledMask[][]> {
    if (typeof texts !== 'string') return this.#answer('texts', texts, options, FILL_MASK_OPTIONS, fillMask)
    return this.#serve(options, FILL_MASK_OPTIONS, async (session, own) => (await fillMask(session, texts, own))[0])
  }

  /**
   * Classes with their probabilities, or the number of a regression, for each text or pair of texts [first, second], in input order.
   * Throws UNSUPPORTED when the checkpoint has no such head, BAD_ARGUMENT when the task must be named or reads pairs and got single
   * texts.
   */
  classify(texts: string | readonly TextInput[], options?: ClassifyOptions): Promise<Classification[]>
  classify(texts: AsyncIterable<TextInput>, options?: ClassifyOptions): AsyncGenerator<Classification, void, undefined>
  classify(
    texts: AsyncIterable<TextInput> | string | readonly TextInput[],
    options?: ClassifyOptions,
  ): AsyncGenerator<Classification, void, undefined> | Promise<Classification[]> {
    return this.#answer('texts', texts, options, CLASSIFY_OPTIONS, classify)
  }

  /** The number of a regression or ranking head for each text or pair [question, candidate]. Errors as {@link Encoder.classify}. */
  score(texts: string | readonly TextInput[], options?: AskOptions): Promise<TextScore[]>
  score(texts: AsyncIterable<TextInput>, options?: AskOptions): AsyncGenerator<TextScore, void, undefined>
  score(
    texts: AsyncIterable<TextInput> | string | readonly TextInput[],
    options?: AskOptions,
  ): AsyncGenerator<TextScore, void, undefined> | Promise<TextScore[]> {
    return this.#answer('texts', texts, options, ASK_OPTIONS, score)
  }

  /**
   * The part of a context that answers a question; a long context is read in overlapping windows. Several questions come as a list or stream of
   * `{ question, context }`. Errors as {@link Encoder.classify}.
   */
  answer(question: string, context: string, options?: AnswerOptions): Promise<Answer>
  answer(asked: readonly AskedContext[], options?: AnswerOptions): Promise<Answer[]>
  answer(asked: AsyncIterable<AskedContext>, options?: AnswerOptions): AsyncGenerator<Answer, void, undefined>
  answer(
    asked: AsyncIterable<AskedContext> | readonly AskedContext[] | string,
    second?: AnswerOptions | string,
    third?: AnswerOptions,
  ): AsyncGenerator<Answer, void, undefined> | Promise<Answer | Answer[]> {
    if (typeof asked === 'object' && asked !== null)
      return this.#answer('asked', asked, second as AnswerOptions, ANSWER_OPTIONS, answer)
    const one = { question: asked, context: second }
    return this.#serve(third, ANSWER_OPTIONS, async (session, own) => (await answer(session, one, own))[0])
  }

  /**
   * A tag for every word of each text, by its first piece; a text may come as a list of words. Long texts are read in several
   * sequences. Errors as {@link Encoder.classify}.
   */
  tag(texts: string | readonly WordsInput[], options?: AskOptions): Promise<TaggedWord[][]>
  tag(texts: AsyncIterable<WordsInput>, options?: AskOptions): AsyncGenerator<TaggedWord[], void, undefined>
  tag(
    texts: AsyncIterable<WordsInput> | string | readonly WordsInput[],
    options?: AskOptions,
  ): AsyncGenerator<TaggedWord[], void, undefined> | Promise<TaggedWord[][]> {
    return this.#answer('texts', texts, options, ASK_OPTIONS, tag)
  }

  /**
   * The dependency tree of every sentence, and parts of speech where the parser has them; a sentence may come as a list of words, else
   * it is split as the English treebanks are. One that is longer than a sequence is read in parts, whose roots depend on the first
   * one's. Errors as {@link Encoder.classify}.
   */
  parse(sentences: string | readonly WordsInput[], options?: AskOptions): Promise<ParsedSentence[]>
  parse(sentences: AsyncIterable<WordsInput>, options?: AskOptions): AsyncGenerator<ParsedSentence, void, undefined>
  parse(
    sentences: AsyncIterable<WordsInput> | string | readonly WordsInput[],
    options?: AskOptions,
  ): AsyncGenerator<ParsedSentence, void, undefined> | Promise<ParsedSentence[]> {
    return this.#answer('sentences', sentences, options, ASK_OPTIONS, parse)
  }

  /**
   * Several tasks of the checkpoint asked about the same texts, and their vectors: what reads the same tokens through the same adapter is one
   * pass of the encoder. Of a stream the answers come text by text, in lists of one. Errors as {@link Encoder.classify}.
   */
  ask(texts: string | readonly TextInput[], options: AskTasksOptions): Promise<TaskAnswers>
  ask(texts: AsyncIterable<TextInput>, options: AskTasksOptions): AsyncGenerator<TaskAnswers, void, undefined>
  ask(
    texts: AsyncIterable<TextInput> | string | readonly TextInput[],
    options: AskTasksOptions,
  ): AsyncGenerator<TaskAnswers, void, undefined> | Promise<TaskAnswers> {
    return this.#answer('texts', texts, options, ASK_TASKS_OPTIONS, ask, (session, text, own) =>
      ask(session, [text], own),
    )
  }

  /**
   * Puts another checkpoint in this one's place without refusing a call: it is loaded and warmed up beside the old one, which goes on
   * answering. When this resolves, new calls go to the new model; running calls end on the old one, whose memory is given back with
   * the last of them. A call is answered by one model as a whole. Calls that wait move over when tokenizer, sizes,
   * heads and tasks are the same. When loading fails the old model stays. Throws as {@link Encoder.load}, DISPOSED.
   */
  replace(path: string, options: ReplaceOptions = {}): Promise<void> {
    const done = this.#replacing.then(() => this.#replace(path, options))
    this.#replacing = done.catch(() => {})
    return done
  }

  /** Queue, counts, speed and latency; cheap enough for every scrape of a metrics page. */
  stats(): EncoderStats {
    return this.#engine.stats()
  }

  /**
   * Refuses new calls with DISPOSED, lets accepted ones end and gives the model's memory back; with `abort`, calls of which nothing is
   * computed yet end with DISPOSED as well. A model that `replace` is loading is waited for and given back, too. Safe while calls are
   * running and when called twice.
   */
  async dispose(options?: { abort?: boolean }): Promise<void> {
    await this.#engine.dispose(ownOptions(options, { abort: 'flag' }))
    await this.#replacing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose()
  }

  async #serve<Options extends CallOptions, Result>(
    given: Options | undefined,
    kinds: OptionKinds<Options>,
    run: (session: Session, options: Options) => Promise<Result>,
  ): Promise<Result> {
    const options = ownOptions(given, kinds)
    return this.#engine.serve((session) => run(session, options), options.signal)
  }

  /** A list's answers, or a stream's one by one. `name`: of the argument, as the messages call it. */
  #answer<Input, Options extends CallOptions, Results, Result>(
    name: string,
    inputs: AsyncIterable<Input> | unknown,
    given: Options | undefined,
    kinds: OptionKinds<Options>,
    ofList: (session: Session, list: unknown, options: Options) => Promise<Results & (readonly Result[] | object)>,
    ofOne: (session: Session, input: Input, options: Options) => Promise<Result> = async (session, input, options) =>
      ((await ofList(session, [input], options)) as readonly Result[])[0],
  ): AsyncGenerator<Result, void, undefined> & Promise<Results> {
    type Both = AsyncGenerator<Result, void, undefined> & Promise<Results>
    let source: AsyncIterable<Input> | undefined
    try {
      source = readable(name, () => (isStream<Input>(inputs) ? inputs : undefined))
    } catch (error) {
      return Promise.reject(error) as Promise<Results> as Both
    }
    if (!source) return this.#serve(given, kinds, (session, options) => ofList(session, inputs, options)) as Both
    return this.#stream(name, source, given, kinds, ofOne) as Both
  }

  async *#stream<Input, Options extends CallOptions, Result>(
    name: string,
    source: AsyncIterable<Input>,
    given: Options | undefined,
    kinds: OptionKinds<Options>,
    ofOne: (session: Session, input: Input, options: Options) => Promise<Result>,
  ): AsyncGenerator<Result, void, undefined> {
    const options = ownOptions(given, kinds)
    yield* this.#engine.stream(
      source,
      (session, input, index) => atPlace(ofOne(session, input, options), name, index),
      options.signal,
    )
  }

  async #replace(path: string, given: ReplaceOptions): Promise<void> {
    checkText('path', path)
    const chosen = Object.entries(ownOptions(given, LOAD_PARTS_OPTIONS)).filter(([, value]) => value !== undefined)
    if (this.#engine.disposed) throw disposedError()
    const parts = await loadParts(path, { ...this.#loadOptions, ...Object.fromEntries(chosen) })
    await warmOrDispose(parts, this.#maxBatchTokens)
    if (this.#engine.disposed) {
      await parts.model.dispose()
      throw disposedError()
    }
    this.#engine.replace(parts)
  }
}

async function warmOrDispose(parts: LoadedParts, maxBatchTokens: number): Promise<void> {
  try {
    await warmUp(parts, maxBatchTokens)
  } catch (error) {
    await parts.model.dispose()
    throw error
  }
}

/** An error about the only text of a list names the text's place in the stream. */
async function atPlace<Result>(answer: Promise<Result>, name: string, index: number): Promise<Result> {
  try {
    return await answer
  } catch (error) {
    if (!(error instanceof StrataError)) throw error
    const only = `${name}[0]`
    const message = error.message.startsWith(only)
      ? `${name}[${index}]${error.message.slice(only.length)}`
      : error.message
    throw new StrataError(error.code, message, { cause: error, details: { ...error.details, index } })
  }
}
