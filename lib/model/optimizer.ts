import { StrataError } from '../errors.js'
import type { Model } from './model.js'
import type { Precision } from './model-types.js'
import { call, modelAddon, type NativeOptimizer } from './native.js'
import { inspectSafetensors, makeHeader } from './safetensors.js'

/** Parameters that share weight decay and a factor of the learning rate. */
export interface ParameterGroup {
  /** Names as in {@link Model.parameters}. Query, key and value of a layer share a group. */
  names: string[]
  weightDecay: number
  /** Factor of the step's learning rate. */
  learningRateFactor: number
}

interface OptimizerOptionsBase {
  /** Parameters in no group are frozen. */
  groups: ParameterGroup[]
}

interface MomentOptions extends OptimizerOptionsBase {
  /** Share of the running mean of the gradient that stays at each update, in [0, 1). */
  beta1: number
  /** The same for the running size of the gradient. */
  beta2: number
  /** Added to that size before it divides. */
  epsilon: number
}

/** AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101), updates as torch.optim.AdamW; decoupled weight decay. */
export interface AdamWOptions extends MomentOptions {
  kind: 'adamw'
}

/** Adamax (Kingma & Ba 2015, arXiv 1412.6980, section 7.1). */
export interface AdamaxOptions extends MomentOptions {
  kind: 'adamax'
  /**
   * `torch` (default) = torch.optim.Adamax: bias correction, weight decay added to the gradient. `mt-dnn` = the optimiser of
   * MT-DNN (Liu et al. 2019, arXiv 1901.11504): no bias correction, epsilon in the divisor too, decoupled weight decay.
   */
  variant?: 'torch' | 'mt-dnn'
}

/**
 * Adam of Google's BERT, which PALs use (Stickland & Murray 2019, arXiv 1902.02671): AdamW without bias correction. Its recipe
 * clips each tensor to norm 1: give `maxTensorGradNorm: 1` to {@link Optimizer.step}.
 */
export interface BertAdamOptions extends MomentOptions {
  kind: 'bert-adam'
}

/** Stochastic gradient descent, updates as torch.optim.SGD; weight decay is added to the gradient. */
export interface SgdOptions extends OptimizerOptionsBase {
  kind: 'sgd'
  /** In [0, 1); default 0. */
  momentum?: number
  /** Share of a gradient that the momentum leaves out, in [0, 1], from the second update on; default 0. */
  dampening?: number
  /** Nesterov's momentum; needs momentum and no dampening. Default false. */
  nesterov?: boolean
}

/** Settings of an update rule. */
export type OptimizerOptions = AdamWOptions | AdamaxOptions | BertAdamOptions | SgdOptions

export interface OptimizerStepOptions {
  learningRate: number
  /** Largest norm of all gradients together; 0 or absent = no limit. */
  maxGradNorm?: number
  /** Largest norm of each parameter's gradient; 0 or absent = no limit. */
  maxTensorGradNorm?: number
}

export interface OptimizerStepResult {
  /** Norm of all gradients together before clipping. */
  gradNorm: number
  /** False when a gradient was not finite and the update was left out. */
  applied: boolean
  /** Updates asked for so far, left-out ones included. */
  stepCount: number
}

const FORMAT_PREFIX = 'stratabert-'

function stateFormat(options: OptimizerOptions): string {
  const variant = options.kind === 'adamax' && options.variant === 'mt-dnn' ? '-mt-dnn' : ''
  return `${FORMAT_PREFIX}${options.kind}${variant}`
}

/** Updates a model's weights from the gradients that its steps have gathered. Runs on the model's thread. */
export class Optimizer {
  readonly #native: NativeOptimizer

  /** Names the update rule in the state's file. */
  readonly #format: string

  readonly #precision: Precision

  private constructor(native: NativeOptimizer, format: string, precision: Precision) {
    this.#native = native
    this.#format = format
    this.#precision = precision
  }

  /** Throws NOT_FOUND for an unknown parameter, BAD_ARGUMENT for a doubly named one and for impossible settings. */
  static async create(model: Model, options: OptimizerOptions): Promise<Optimizer> {
    const { addon } = modelAddon(model.device)
    const { precision } = model
    if (model.inference || precision === 'int8')
      throw new StrataError(
        'UNSUPPORTED',
        'the model was loaded for inference; load it without `inference` to train it',
      )
    return call(async () => {
      const native = new addon.NativeOptimizer(model.native, options)
      try {
        await native.initialize()
      } catch (error) {
        await native.dispose()
        throw error
      }
      return new Optimizer(native, stateFormat(options), precision)
    })
  }

  /** One update; gradients are dropped afterwards. Norm and outcome stay on the device until read. */
  async step(options: OptimizerStepOptions): Promise<{ read(): Promise<OptimizerStepResult> }> {
    const id = await call(() => this.#native.step(options))
    let read: Promise<OptimizerStepResult> | undefined
    return {
      read: () => {
        read ??= call(() => this.#native.readStep(id))
        return read
      },
    }
  }

  /**
   * Norm of the last step's gradients by layer, before clipping: `0` embeddings (with what tied heads give them), `1` … `L` blocks
   * with the adapters inside, `heads` heads and mixes. A layer without a gradient is left out; the squares sum to that of `gradNorm`.
   * Throws BAD_ARGUMENT before the first step.
   */
  gradientNorms(): Promise<Record<string, number>> {
    return call(() => this.#native.gradientNorms())
  }

  /** Writes moments, step counts and the loss scale of fp16 as safetensors, exactly, and syncs the file. */
  async save(path: string): Promise<void> {
    const state = await call(() => this.#native.state())
    const { lossScale, goodSteps } = state
    const scaling = this.#precision === 'fp16' && { lossScale: String(lossScale), goodSteps: String(goodSteps) }
    const metadata = { format: this.#format, stepCount: String(state.stepCount), ...scaling }
    const header = makeHeader(state.tensors, metadata)
    await call(() => this.#native.save(path, header))
  }

  /** Reads what {@link save} wrote. Throws BAD_CHECKPOINT when it belongs to another kind or to other parameters. */
  async load(path: string): Promise<void> {
    const { metadata, tensors } = inspectSafetensors(path)
    const [stepCount, goodSteps] = [Number(metadata.stepCount), Number(metadata.goodSteps ?? 0)]
    const lossScale = Number(metadata.lossScale ?? 1)
    const isState = metadata.format?.startsWith(FORMAT_PREFIX)
    if (!isState || ![stepCount, goodSteps].every(Number.isSafeInteger)) {
      throw new StrataError(
        'BAD_CHECKPOINT',
        `${path} is no optimizer state of this package (format ${metadata.format})`,
      )
    }
    if (metadata.format !== this.#format) {
      const [came, expected] = [metadata.format, this.#format].map((format) => format.slice(FORMAT_PREFIX.length))
      throw new StrataError(
        'BAD_CHECKPOINT',
        `${path} is the state of optimizer ${came}, that of ${expected} was expected; go on with the kind it was trained by`,
      )
    }
    await call(() => this.#native.load(path, stepCount, tensors, { lossScale, goodSteps }))
  }

  /** Frees the moments. Idempotent. */
  dispose(): Promise<void> {
    return call(() => this.#native.dispose())
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose()
  }
}
