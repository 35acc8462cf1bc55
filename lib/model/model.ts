import { StrataError } from '../errors.js'
import type { ModelConfig } from './config.js'
import type {
  AgreementProbabilities,
  AttentionSums,
  DropoutState,
  HeadEvaluation,
  HeadLoss,
  InferencePrecision,
  ModelAnswer,
  ModelOptions,
  ModelQuestion,
  ParameterInfo,
  StepLosses,
} from './model-types.js'
import { call, modelAddon, type NativeModel } from './native.js'
import { labelCount, type PackedBatch } from './packed-batch.js'
import {
  initialPruningState,
  type PruningNoise,
  type PruningReading,
  type PruningState,
  pruningReading,
  requirePruning,
} from './pruning.js'
import { inspectSafetensors, makeHeader } from './safetensors.js'

/** Numbers of a parameter: Float64Array in precision fp64, else Float32Array. */
export type Values = Float32Array | Float64Array

/**
 * An encoder with its heads on one device. Commands run in order on a thread of the model's own; every method returns a promise and
 * the event loop stays free. Dispose it: its memory is native and the collector does not see it.
 *
 * Legend: T tokens, B sequences, H hidden size, M positions, V vocabulary, L layers, N attention heads.
 */
export class Model {
  readonly #native: NativeModel
  readonly #parameters: readonly ParameterInfo[]
  readonly #dropout: DropoutState
  #rates: { hidden: number; attention: number }
  #pruning?: PruningState
  #prepare?: (batch: PackedBatch) => PackedBatch

  private constructor(
    native: NativeModel,
    readonly config: ModelConfig,
    readonly device: string,
    readonly precision: InferencePrecision,
    /** True: training calls throw UNSUPPORTED. */
    readonly inference: boolean,
    parameters: ParameterInfo[],
    seed: number,
  ) {
    this.#native = native
    this.#parameters = parameters
    this.#dropout = { seed, counter: 0 }
    this.#rates = { hidden: config.encoder.hiddenDropout, attention: config.encoder.attentionDropout }
    if (config.pruning) this.#pruning = initialPruningState(config.pruning)
  }

  /**
   * A model with freshly drawn weights: N(0, initializerRange) for matrices, 0 for biases, 1 and 0 for LayerNorm. A parameter's draw
   * depends on the seed and its name only. `drawn: false` leaves matrices unset: the caller loads all of them. Throws BAD_ARGUMENT for an impossible configuration, DEVICE_UNAVAILABLE, OUT_OF_MEMORY.
   */
  static async create(config: ModelConfig, options: ModelOptions = {}, { drawn = true } = {}): Promise<Model> {
    const { addon, device } = modelAddon(options.device ?? 'auto')
    const { precision = 'fp32', inference = false } = options
    if (precision === 'int8' && !inference)
      throw new StrataError(
        'BAD_ARGUMENT',
        'precision is int8; a model for inference was expected with it (inference: true)',
      )
    const seed = options.seed ?? 0
    if (!Number.isSafeInteger(seed) || seed < 0) {
      throw new StrataError('BAD_ARGUMENT', `seed is ${seed}; a whole number of at least 0 was expected`)
    }
    return call(async () => {
      const native = new addon.NativeModel(config, {
        device,
        precision,
        inference,
        drawn,
        seed,
        kernels: options.kernels ?? 'fast',
      })
      try {
        await native.initialize()
        return new Model(native, structuredClone(config), device, precision, inference, await native.parameters(), seed)
      } catch (error) {
        await native.dispose()
        throw error
      }
    })
  }

  /**
   * Forward to the highest layer that a labelled head needs, losses, backward. Gradients add up until the optimizer's step. A head's
   * loss is weight · lossSum / divisor; the divisor defaults to its label count in this batch. When several batches make one update,
   * give the label counts over all of them, so that the result does not depend on how the labels are spread.
   * Throws BAD_ARGUMENT for ids, lengths or labels out of range, OUT_OF_MEMORY (gradients are dropped, the model still works).
   */
  async step(batch: PackedBatch, options: { lossDivisors?: Record<string, number> } = {}): Promise<StepLosses> {
    if (this.inference)
      throw new StrataError(
        'UNSUPPORTED',
        'the model was loaded for inference; load it without `inference` to train it',
      )
    const dropout = { ...this.#dropout }
    this.#dropout.counter += 1
    const id = await call(() => this.#native.step(this.prepared(batch), options.lossDivisors, dropout))
    let read: Promise<Record<string, HeadLoss>> | undefined
    return {
      read: () => {
        read ??= call(async () => {
          const losses: Record<string, HeadLoss> = {}
          for (const { head, lossSum, count } of await this.#native.readLosses(id)) {
            losses[head] = { lossSum, count, loss: lossSum / count, finite: Number.isFinite(lossSum) }
          }
          return losses
        })
        return read
      },
    }
  }

  /** Losses and hits of every labelled head, without gradient and dropout. */
  async evaluate(batch: PackedBatch): Promise<Record<string, HeadEvaluation>> {
    const results: Record<string, HeadEvaluation> = {}
    for (const { head, ...evaluation } of await call(() => this.#native.evaluate(this.prepared(batch))))
      results[head] = evaluation
    return results
  }

  /** One vector a sequence, shape (B, H) row-major. Default: layer L, mean over the sequence's tokens, not normalised. */
  embed(
    batch: PackedBatch,
    options: { layer?: number; pooling?: 'mean' | 'cls' | 'max'; normalize?: boolean } = {},
  ): Promise<Float32Array> {
    const { layer = this.config.encoder.layers, pooling = 'mean', normalize = false } = options
    return call(() => this.#native.embed(this.prepared(batch), { layer, pooling, normalize }))
  }

  /** States of the asked layers (default all; 0 = embedding output), each of shape (T, H) row-major. */
  async hiddenStates(batch: PackedBatch, layers?: readonly number[]): Promise<Values[]> {
    const wanted = layers ?? Array.from({ length: this.config.encoder.layers + 1 }, (_, layer) => layer)
    if (!wanted.every(Number.isInteger)) {
      throw new StrataError('BAD_ARGUMENT', `layers are [${wanted.join(', ')}]; whole numbers were expected`)
    }
    return call(() => this.#native.hiddenStates(this.prepared(batch), Int32Array.from(wanted)))
  }

  /**
   * Where the encoder's own heads look, without dropout, in float64; `separator` is the id of [SEP]. The plain path: a query, key and
   * value product a block and a matrix of probabilities a sequence and block.
   */
  attentionStatistics(batch: PackedBatch, options: { separator?: number } = {}): Promise<AttentionSums> {
    return call(() => this.#native.attentionStatistics(this.prepared(batch), options.separator ?? -1))
  }

  /**
   * The topK most probable tokens of a masked-LM head at the given places (index into T): both arrays have shape (M, topK). With
   * `layer`, the states of that layer stand in for those that the head was trained on: what the encoder would say there.
   */
  predictMasked(
    batch: PackedBatch,
    head: string,
    positions: Int32Array,
    topK: number,
    layer?: number,
  ): Promise<{ tokenIds: Int32Array; probabilities: Float32Array }> {
    return call(() => this.#native.predictMasked(this.prepared(batch), head, positions, topK, layer))
  }

  /**
   * Questions of any kinds about one batch, from one pass of the encoder: a sequence runs up to the highest layer that is asked of it. Each
   * answer is what the question's own method says of its sequences alone, but for rounding.
   */
  answer(batch: PackedBatch, questions: readonly ModelQuestion[]): Promise<ModelAnswer[]> {
    return call(() => this.#native.answer(this.prepared(batch), questions))
  }

  /** Scores of a head at its labelled places: (M, V) for masked LM, (B, 2) for next sentence, (M or S, 2) for bigram shift. */
  async headLogits(batch: PackedBatch, head: string): Promise<{ shape: number[]; values: Values }> {
    const labels = batch?.labels?.[head]
    if (labels?.labels instanceof Int32Array && labelCount(labels) === 0) {
      throw new StrataError(
        'BAD_ARGUMENT',
        `the labels of head '${head}' are all empty; at least one place was expected`,
      )
    }
    return call(() => this.#native.headLogits(this.prepared(batch), head))
  }

  /**
   * What the submodels say of a batch's chunks, by relation, without dropout; no block of the encoder runs. Throws BAD_ARGUMENT for a
   * model without agreements or a batch without chunks.
   */
  async agreements(batch: PackedBatch): Promise<Record<string, AgreementProbabilities>> {
    const { offsets, relations } = await call(() => this.#native.agreements(this.prepared(batch)))
    return Object.fromEntries(
      Object.entries(relations).map(([relation, probabilities]) => [relation, { offsets, probabilities }]),
    )
  }

  /** Names, shapes and places of all parameters, in the order of a written file. */
  parameters(): ParameterInfo[] {
    return this.#parameters.map((info) => ({ ...info, shape: [...info.shape] }))
  }

  /**
   * Copies of weights, of the gradients gathered since the last update (zeros where none), or of weights as evaluations use them
   * (`effective`: masked where they are pruned), row-major. Default: all.
   */
  readTensors(what: 'value' | 'gradient' | 'effective', names?: readonly string[]): Promise<Record<string, Values>> {
    return call(() => this.#native.readTensors(what, names ? [...names] : this.#parameters.map(({ name }) => name)))
  }

  /** Sets weights. All lengths are checked before any is written. */
  writeTensors(values: Record<string, Values>): Promise<void> {
    return call(() => this.#native.writeTensors(values))
  }

  /**
   * Reads weights from a safetensors file: our name → the file's name. Each must be there with our shape.
   * Throws BAD_CHECKPOINT naming tensor and shapes, BAD_FILE for a damaged file.
   */
  async load(path: string, mapping: Record<string, string>): Promise<void> {
    const stored = new Map(inspectSafetensors(path).tensors.map((tensor) => [tensor.name, tensor]))
    const shapes = new Map(this.#parameters.map(({ name, shape }) => [name, shape]))
    const tensors = Object.entries(mapping).map(([parameter, name]) => {
      const tensor = stored.get(name)
      const shape = shapes.get(parameter)
      if (!shape) throw new StrataError('NOT_FOUND', `the model has no parameter named ${parameter}`)
      if (!tensor) throw new StrataError('BAD_CHECKPOINT', `${path} has no tensor ${name}, expected for ${parameter}`)
      if (tensor.shape.length !== shape.length || tensor.shape.some((size, index) => size !== shape[index])) {
        throw new StrataError(
          'BAD_CHECKPOINT',
          `${path}: tensor ${name} has shape [${tensor.shape}]; [${shape}] was expected for ${parameter}`,
          { details: { path, tensor: name, found: tensor.shape, expected: shape } },
        )
      }
      return { parameter, name, dtype: tensor.dtype, begin: tensor.begin, bytes: tensor.bytes }
    })
    await call(() => this.#native.load(path, tensors))
  }

  /**
   * Writes weights (float32; float64 in precision fp64) as safetensors and syncs the file. Order: the model's own. With `effective`
   * pruned weights are written masked, as zeros.
   */
  async save(
    path: string,
    mapping: Record<string, string>,
    metadata: Record<string, string> = {},
    options: { effective?: boolean } = {},
  ): Promise<void> {
    const dtype = this.precision === 'fp64' ? 'F64' : 'F32'
    const known = this.#parameters.filter(({ name }) => Object.hasOwn(mapping, name))
    if (known.length !== Object.keys(mapping).length) {
      const unknown = Object.keys(mapping).find((name) => !known.some((info) => info.name === name))
      throw new StrataError('NOT_FOUND', `the model has no parameter named ${unknown}`)
    }
    const header = makeHeader(
      known.map(({ name, shape }) => ({ name: mapping[name], dtype, shape })),
      metadata,
    )
    await call(() =>
      this.#native.save(
        path,
        header,
        known.map(({ name }) => name),
        options.effective ?? false,
      ),
    )
  }

  /** Where dropout stands: with it and the weights a resumed run draws the same masks. */
  dropoutState(): DropoutState {
    return { ...this.#dropout }
  }

  /** Goes on from a state that {@link dropoutState} gave. Throws BAD_ARGUMENT unless both are whole numbers of at least 0. */
  setDropoutState(state: DropoutState): void {
    for (const key of ['seed', 'counter'] as const) {
      if (Number.isSafeInteger(state[key]) && state[key] >= 0) continue
      throw new StrataError(
        'BAD_ARGUMENT',
        `${key} of dropout is ${state[key]}; a whole number of at least 0 was expected`,
      )
    }
    this.#dropout.seed = state.seed
    this.#dropout.counter = state.counter
  }

  /**
   * Threshold and penalty of a pruned model from the next command on; it begins unpruned. A penalty counts once an update, in the
   * first pass after the last one. Throws BAD_ARGUMENT for a model without pruning, numbers out of range, noise that fits no weight.
   */
  async setPruning(state: PruningState, noise?: PruningNoise): Promise<void> {
    requirePruning(this.config)
    const { threshold, penalty } = state
    await call(() => this.#native.setPruning({ threshold, penalty, noise }))
    this.#pruning = { threshold, penalty }
  }

  /** What {@link setPruning} said last; undefined for a model without pruning. */
  pruningState(): PruningState | undefined {
    return this.#pruning && { ...this.#pruning }
  }

  /** What is left of the pruned weights as evaluations use them. Throws BAD_ARGUMENT for a model without pruning. */
  async readPruning(): Promise<PruningReading> {
    const config = requirePruning(this.config)
    return pruningReading(config, this.#pruning!, await call(() => this.#native.readPruning()))
  }

  /** Changes dropout probabilities from the next command on. */
  async setDropout(rates: { hidden?: number; attention?: number }): Promise<void> {
    await call(() => {
      const merged = { ...this.#rates, ...rates }
      const done = this.#native.setDropout(merged)
      this.#rates = merged
      return done
    })
  }

  /** Frees the model after the commands asked for so far. Idempotent; every later use throws DISPOSED. */
  dispose(): Promise<void> {
    return call(() => this.#native.dispose())
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose()
  }

  /** Every batch goes through this before the model sees it: how what a model needs beside tokens comes into batches of any origin. */
  prepareBatches(prepare: (batch: PackedBatch) => PackedBatch): void {
    this.#prepare = prepare
  }

  /** A batch as the model will see it. */
  prepared(batch: PackedBatch): PackedBatch {
    return this.#prepare ? this.#prepare(batch) : batch
  }

  /** @internal For {@link Optimizer}. */
  get native(): NativeModel {
    return this.#native
  }
}
