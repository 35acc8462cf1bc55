/**
 * Probing classifiers: small models trained on states of a frozen encoder. Trained natively, on a thread of their own.
 *
 * Legend: U units (a pooled sentence, a word), L' layers held, H width, N examples, C classes.
 */

import { StrataError } from '../errors.js'
import type { Model } from './model.js'
import { call, modelAddon, type NativeProbe } from './native.js'
import type { PackedBatch } from './packed-batch.js'

/** States by unit and layer, row-major (U, L', H) float32: in memory, or a file that is mapped (and may be removed once open). */
export interface ProbeFeatures {
  units: number
  layers: number
  width: number
  values?: Float32Array
  path?: string
  /** Where in the file they begin, in bytes; default 0. */
  offset?: number
}

export interface ProbeSplitData {
  /** Units of each example side by side, (N · parts). */
  rows: Int32Array
  /** Class of each example, (N). */
  labels: Int32Array
}

export interface ProbeData {
  train: ProbeSplitData
  dev: ProbeSplitData
  test: ProbeSplitData
  /** Units an example: 1 for a sentence or word, 2 for a pair of words whose states are concatenated. Default 1. */
  parts?: number
}

/** Examples with few features each, row by row: the entries of example i are `offsets[i]` … `offsets[i + 1]`. */
export interface SparseSplitData {
  /** (N + 1). */
  offsets: Int32Array
  features: Int32Array
  values: Float32Array
  /** (N). */
  labels: Int32Array
}

export interface SparseProbeData {
  train: SparseSplitData
  dev: SparseSplitData
  test: SparseSplitData
  /** Number of features. */
  width: number
}

export interface LogisticProbeOptions {
  classes: number
  /**
   * Strengths of the penalty to choose from on dev: mean cross-entropy + l2/2 · ‖W‖², that is C = 1 / (l2 · N) of scikit-learn; of two classes
   * W is the one row that scikit-learn learns, the difference of the two that `weights` holds.
   */
  l2: readonly number[]
  /** The search ends when its next step promises to lower the objective by less, twice in a row; default 1e-8 (nats an example). */
  tolerance?: number
  /** Default 1000. */
  maxIterations?: number
  /** Returns the weights too; default false. */
  keepWeights?: boolean
  /**
   * Of a mix: bytes that the examples of all layers may take in memory, of each split; more are read from the features batch by batch. Default
   * 512 MiB.
   */
  heldBytes?: number
}

export interface LogisticProbeResult {
  /** The strength chosen: the highest dev accuracy, of equals the lowest strength. */
  l2: number
  devAccuracy: number
  /** Right answers on test. */
  testRight: number
  /** Class of each test example, (N). */
  predictions: Int32Array
  /** Every strength in the order given; of a mix those that were tried. `loss` is the objective's value. */
  grid: { l2: number; devAccuracy: number; loss: number; iterations: number; converged: boolean }[]
  /** Softmax weights of a mix, one a layer. */
  shares?: number[]
  /** (C, H) and (C) when asked for; not of a mix. */
  weights?: Float32Array
  intercepts?: Float32Array
}

export interface MlpProbeOptions {
  classes: number
  /** As {@link LogisticProbeOptions.l2}, but added to the gradient of every parameter, as SentEval does. */
  l2: readonly number[]
  /** Hidden units; default 50. */
  hidden?: number
  /** Of first weights and batches; default 0. */
  seed?: number
  /** Default 64. */
  batchSize?: number
  /** Epochs between looks at dev; default 4. */
  epochSize?: number
  /** Looks without a new best that are borne; default 5. */
  tenacity?: number
  /** Default 200. */
  maxEpochs?: number
  /** Of Adam; default 1e-3. */
  learningRate?: number
  keepWeights?: boolean
  /**
   * Bytes that the examples of all layers may take in memory, of each split; more are read from the features batch by batch. Default
   * 512 MiB.
   */
  heldBytes?: number
  /** First weights (hidden, H), (hidden), (C, hidden), (C) in place of drawn ones. */
  start?: readonly Float32Array[]
  /** Order of the training examples, epoch by epoch (maxEpochs · N), in place of drawn ones. */
  orders?: Int32Array
}

export interface MlpProbeResult {
  l2: number
  /** Epochs after which dev was best. */
  epochs: number
  devAccuracy: number
  testRight: number
  predictions: Int32Array
  grid: { l2: number; devAccuracy: number; epochs: number }[]
  /** Of a mix: softmax weights and γ. */
  shares?: number[]
  gamma?: number
  /** (hidden, H), (hidden), (C, hidden), (C) when asked for. */
  weights?: Float32Array[]
}

/**
 * Features with the classifiers that are trained on them. Calls run one after the other. Dispose it: the features are native.
 *
 * @example
 * await using probe = Probe.open({ units: 3, layers: 1, width: 2, values })
 * const { testRight } = await probe.logistic({ train, dev, test }, 0, { classes: 2, l2: [1e-3, 1e-2] })
 */
export class Probe implements AsyncDisposable {
  readonly #native: NativeProbe

  private constructor(native: NativeProbe) {
    this.#native = native
  }

  /** Without features only {@link Probe.sparseLogistic} can be used. Throws NOT_FOUND, BAD_FILE, BAD_ARGUMENT. */
  static async open(features?: ProbeFeatures): Promise<Probe> {
    if (features && (features.values === undefined) === (features.path === undefined)) {
      throw new StrataError('BAD_ARGUMENT', 'features came with both or neither of values and path; one was expected')
    }
    return call(() => new Probe(new (modelAddon().addon.NativeProbe)(features)))
  }

  /** Multinomial logistic regression on one layer (from 0, as the features hold them), run to convergence. */
  logistic(data: ProbeData, layer: number, options: LogisticProbeOptions): Promise<LogisticProbeResult> {
    return call(async () => (await this.#native.logistic(data, layer, options)) as LogisticProbeResult)
  }

  /**
   * The same on Σ softmax(w)_j h_j over some layers, each scaled to their mean spread, w trained along under a penalty of 0.001/2 · ‖w‖². γ of BERMo's mix is 1: the
   * classifier's weights take it up. Starts at the plain average; tries the strength that is best there and its two neighbours.
   */
  logisticMix(data: ProbeData, layers: readonly number[], options: LogisticProbeOptions): Promise<LogisticProbeResult> {
    return call(
      async () => (await this.#native.logisticMix(data, indices('layers', layers), options)) as LogisticProbeResult,
    )
  }

  /**
   * SentEval's classifier with a hidden layer for several layers at once, and for γ · Σ softmax(w)_j h_j over `mixed` layers when there
   * are any (the last result): same first weights, same batches, each to its own end.
   */
  mlp(data: ProbeData, layers: readonly number[], mixed: readonly number[], options: MlpProbeOptions) {
    return call(
      async () =>
        (await this.#native.mlp(
          data,
          indices('layers', layers),
          indices('mixed layers', mixed),
          options,
        )) as MlpProbeResult[],
    )
  }

  /** Logistic regression on counts. */
  sparseLogistic(data: SparseProbeData, options: LogisticProbeOptions): Promise<LogisticProbeResult> {
    return call(async () => (await this.#native.sparseLogistic(data, options)) as LogisticProbeResult)
  }

  /** Gives the features back after the calls made so far. Idempotent; every later use throws DISPOSED. */
  dispose(): Promise<void> {
    return call(() => this.#native.dispose())
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose()
  }
}

/**
 * Means of a model's states over spans of a batch's tokens (place in T, end exclusive), of every asked layer: (spans, layers, H)
 * row-major. Throws BAD_ARGUMENT for a span that is empty or leaves the batch.
 */
export function spanMeans(
  model: Model,
  batch: PackedBatch,
  layers: readonly number[],
  spans: { starts: Int32Array; ends: Int32Array },
): Promise<Float32Array> {
  const { addon } = modelAddon(model.device)
  return call(() =>
    addon.spanMeans(model.native, model.prepared(batch), indices('layers', layers), spans.starts, spans.ends),
  )
}

function indices(name: string, values: readonly number[]): Int32Array {
  if (values.every((value) => Number.isInteger(value) && Math.abs(value) < 2 ** 31)) return Int32Array.from(values)
  throw new StrataError('BAD_ARGUMENT', `${name} are [${values.join(', ')}]; whole numbers were expected`)
}
