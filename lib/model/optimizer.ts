import { StrataError } from '../errors.js'
import type { Model } from './model.js'
import { call, modelAddon, type NativeOptimizer } from './native.js'
import { inspectSafetensors, makeHeader } from './safetensors.js'

export interface ParameterGroup {
  /** Names as in {@link Model.parameters}. Query, key and value of a layer share a group. */
  names: string[]
  weightDecay: number
  /** Factor of the step's learning rate. */
  learningRateFactor: number
}

/** AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101), updates as torch.optim.AdamW. */
export interface AdamWOptions {
  kind: 'adamw'
  beta1: number
  beta2: number
  epsilon: number
  /** Parameters in no group are frozen. */
  groups: ParameterGroup[]
}

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

/** Updates a model's weights from the gradients that its steps have gathered. Runs on the model's thread. */
export class Optimizer {
  readonly #native: NativeOptimizer

  private constructor(native: NativeOptimizer) {
    this.#native = native
  }

  /** Throws BAD_ARGUMENT for an unknown or doubly named parameter and for impossible settings. */
  static async create(model: Model, options: AdamWOptions): Promise<Optimizer> {
    const { addon } = modelAddon(model.device)
    return call(async () => {
      const native = new addon.NativeOptimizer(model.native, options)
      try {
        await native.initialize()
      } catch (error) {
        await native.dispose()
        throw error
      }
      return new Optimizer(native)
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

  /** Writes moments and step counts as safetensors, exactly, and syncs the file. */
  async save(path: string): Promise<void> {
    const state = await call(() => this.#native.state())
    const header = makeHeader(state.tensors, { format: 'stratabert-adamw', stepCount: String(state.stepCount) })
    await call(() => this.#native.save(path, header))
  }

  /** Reads what {@link save} wrote. Throws BAD_CHECKPOINT when it belongs to other parameters. */
  async load(path: string): Promise<void> {
    const { metadata, tensors } = inspectSafetensors(path)
    const stepCount = Number(metadata.stepCount)
    if (metadata.format !== 'stratabert-adamw' || !Number.isSafeInteger(stepCount)) {
      throw new StrataError(
        'BAD_CHECKPOINT',
        `${path} is no optimizer state of this package (format ${metadata.format})`,
      )
    }
    await call(() => this.#native.load(path, stepCount, tensors))
  }

  /** Frees the moments. Idempotent. */
  dispose(): Promise<void> {
    return call(() => this.#native.dispose())
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose()
  }
}
