import { isMainThread } from 'node:worker_threads'
import { isStrataErrorCode, StrataError } from '../errors.js'
import { loadRuntime, type NativeCore, type ProductRates } from '../runtime/index.js'
import type { ModelConfig } from './config.js'
import type { AttentionSums, HeadEvaluation, ModelAnswer, ModelQuestion, ParameterInfo } from './model-types.js'
import type { NativePruningReport } from './pruning.js'

/** The addon's classes as native/binding defines them. */
export interface NativeModel {
  initialize(): Promise<void>
  step(batch: object, lossDivisors: object | undefined, dropout: { seed: number; counter: number }): Promise<number>
  readLosses(id: number): Promise<{ head: string; lossSum: number; count: number }[]>
  evaluate(batch: object): Promise<(HeadEvaluation & { head: string })[]>
  embed(batch: object, options: object): Promise<Float32Array>
  hiddenStates(batch: object, layers: Int32Array): Promise<(Float32Array | Float64Array)[]>
  attentionStatistics(batch: object, separator: number): Promise<AttentionSums>
  agreements(batch: object): Promise<{ offsets: Int32Array; relations: Record<string, Float32Array> }>
  headLogits(batch: object, head: string): Promise<{ shape: number[]; values: Float32Array | Float64Array }>
  predictMasked(
    batch: object,
    head: string,
    positions: Int32Array,
    topK: number,
    layer: number | undefined,
  ): Promise<{ tokenIds: Int32Array; probabilities: Float32Array }>
  answer(batch: object, questions: readonly ModelQuestion[]): Promise<ModelAnswer[]>
  parameters(): Promise<ParameterInfo[]>
  readTensors(what: string, names: string[]): Promise<Record<string, Float32Array | Float64Array>>
  writeTensors(values: object): Promise<void>
  load(path: string, tensors: object[]): Promise<void>
  save(path: string, header: string, names: string[], effective: boolean): Promise<void>
  setDropout(rates: { hidden: number; attention: number }): Promise<void>
  setPruning(state: object): Promise<void>
  readPruning(): Promise<NativePruningReport>
  dispose(): Promise<void>
}

/** Of fp16; else the scale is 1. */
export interface LossScaling {
  lossScale: number
  /** Updates applied since the loss scale last changed. */
  goodSteps: number
}

interface OptimizerState extends LossScaling {
  stepCount: number
  tensors: { name: string; shape: number[]; dtype: 'F32' | 'F64' }[]
}

export interface NativeOptimizer {
  initialize(): Promise<void>
  step(options: object): Promise<number>
  readStep(id: number): Promise<{ gradNorm: number; applied: boolean; stepCount: number }>
  gradientNorms(): Promise<Record<string, number>>
  state(): Promise<OptimizerState>
  save(path: string, header: string): Promise<void>
  load(path: string, stepCount: number, tensors: object[], scaling: LossScaling): Promise<void>
  dispose(): Promise<void>
}

export interface NativeProbe {
  logistic(examples: object, layer: number, settings: object): Promise<object>
  logisticMix(examples: object, layers: Int32Array, settings: object): Promise<object>
  mlp(examples: object, layers: Int32Array, mixed: Int32Array, settings: object): Promise<object[]>
  sparseLogistic(examples: object, settings: object): Promise<object>
  dispose(): Promise<void>
}

export interface NativeGramSums {
  add(blocks: readonly (Float32Array | Float64Array)[], rows: number): Promise<void>
  squares(): Promise<Float64Array>
  dispose(): Promise<void>
}

interface ModelAddon extends NativeCore {
  NativeModel: new (config: ModelConfig, options: object) => NativeModel
  NativeOptimizer: new (model: NativeModel, config: object) => NativeOptimizer
  NativeProbe: new (features?: object) => NativeProbe
  NativeGramSums: new (widths: Int32Array, pairs: Int32Array) => NativeGramSums
  spanMeans(
    model: NativeModel,
    batch: object,
    layers: Int32Array,
    starts: Int32Array,
    ends: Int32Array,
  ): Promise<Float32Array>
  counters(): Counters
  threads(count?: number): number
  /** From here on no thread of the process begins a command. */
  prepareExit(): void
  deviceMemory(device: string, resetPeak: boolean): DeviceMemory
  flashAttention(device: string): boolean
  productRates(): ProductRates
}

/** What is alive in the native part, over all threads of the process. */
export interface Counters {
  liveModels: number
  liveOptimizers: number
  liveProbes: number
  /** Commands that wait or run. */
  queuedJobs: number
  /** Weights, gradients and moments of live models, in bytes. */
  nativeBytes: number
  /** Large CPU buffers in use, in bytes: weights, gradients, moments and what a running step holds. */
  bufferBytes: number
  /** Large CPU buffers kept for the next step, in bytes. */
  cachedBytes: number
}

/** Memory of an accelerator in tensors of this process, in bytes. */
export interface DeviceMemory {
  bytesInUse: number
  /** The most that was in use since the last reset. */
  peakBytes: number
  /** Reserved from the driver, without a tensor in it. */
  cachedBytes: number
  /** Of the whole device. */
  totalBytes: number
}

let watchesExit = false

/** The addon, loaded for a device; `auto` is resolved to what this process has. Without a device what is loaded, else `auto`. */
export function modelAddon(device?: string): { addon: ModelAddon; device: string } {
  const runtime = loadRuntime({ device })
  const addon = runtime.core as ModelAddon
  if (isMainThread && !watchesExit) {
    watchesExit = true
    // process.exit() runs no clean-up hook of the main thread, only this; a worker's models end by their hooks.
    process.once('exit', () => addon.prepareExit())
  }
  return { addon, device: device === undefined || device === 'auto' ? runtime.device : device }
}

/** Live handles and native bytes; loads libtorch when it is not loaded yet. */
export function counters(): Counters {
  return modelAddon().addon.counters()
}

/** Sets (when given) and returns how many threads a command may use inside libtorch. */
export function computeThreads(count?: number): number {
  return modelAddon().addon.threads(count)
}

/** Memory of an accelerator (`cuda` or `cuda:<index>`) once its queued work is done; `resetPeak` starts a new peak afterwards. Zeros for the CPU. */
export function deviceMemory(device: string, options: { resetPeak?: boolean } = {}): DeviceMemory {
  return modelAddon(device).addon.deviceMemory(device, options.resetPeak ?? false)
}

/** Whether attention without dropout runs on libtorch's packed flash kernel on this device in bf16 and fp16. */
export function hasFlashAttention(device: string): boolean {
  return modelAddon(device).addon.flashAttention(device)
}

/** 10⁹ operations a second of a linear layer of BERT-base on this machine's processor, measured now in some 20 ms. */
export function productRates(): ProductRates {
  return modelAddon().addon.productRates()
}

/** A native error as {@link StrataError}; any other value as it is. */
function translated(error: unknown): unknown {
  const code = (error as { code?: unknown } | null)?.code
  if (error instanceof StrataError || !(error instanceof Error)) return error
  return new StrataError(isStrataErrorCode(code) ? code : 'NATIVE_ERROR', error.message, { cause: error })
}

/** Calls the addon and translates what it throws or rejects with. */
export async function call<T>(command: () => T | Promise<T>): Promise<T> {
  try {
    return await command()
  } catch (error) {
    throw translated(error)
  }
}
