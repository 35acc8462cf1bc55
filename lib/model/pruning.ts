/**
 * Weights that are pruned while they are fine-tuned: what a method's threshold means, and what of the weights is left. The methods
 * themselves stand in native/core/pruning.
 */
import { StrataError } from '../errors.js'
import type { EncoderConfig, ModelConfig, PruningConfig } from './config.js'

/** What holds for the passes that follow. */
export interface PruningState {
  /**
   * `magnitude`, `movement`: share of each matrix that stays. `soft-movement`: what sigmoid(score) must be above. `l0`: not read.
   */
  threshold: number
  /** λ, the factor of the penalty in an update's loss. */
  penalty: number
}

/** Uniform numbers in (0, 1) by a weight's name, in place of those that `l0` draws. For tests. */
export type PruningNoise = Record<string, Float32Array | Float64Array>

/** A look at the pruned weights. */
export interface PruningReading {
  method: PruningConfig['method']
  /** Share that should be left, of methods that are told one. */
  targetDensity?: number
  /** Share of the pruned weights that is not 0. */
  density: number
  /** The same by block, 1 … L. */
  byLayer: Record<string, number>
  /** λ times the mean of the penalty over the matrices: what it adds to an update's loss. */
  penalty?: number
  /** Number of weights that are pruned, and how many of them are not 0. */
  weights: number
  nonZero: number
}

/** What the native core tells. */
export interface NativePruningReport {
  penalty: number
  matrices: { name: string; layer: number; size: number; kept: number }[]
}

interface MethodTraits {
  /** What the threshold is. */
  threshold: 'density' | 'score' | 'unused'
  hasScores: boolean
  hasPenalty: boolean
}

/** What sets the methods apart for those who steer them. */
export const PRUNING_METHODS: Record<PruningConfig['method'], MethodTraits> = {
  magnitude: { threshold: 'density', hasScores: false, hasPenalty: false },
  movement: { threshold: 'density', hasScores: true, hasPenalty: false },
  'soft-movement': { threshold: 'score', hasScores: true, hasPenalty: true },
  l0: { threshold: 'unused', hasScores: true, hasPenalty: true },
}

/** Nothing is pruned. */
export function initialPruningState({ method }: PruningConfig): PruningState {
  return { threshold: PRUNING_METHODS[method].threshold === 'density' ? 1 : 0, penalty: 0 }
}

/** Names of the weights that are pruned: every linear layer of the blocks. */
export function prunedWeights({ layers }: Pick<EncoderConfig, 'layers'>): string[] {
  const parts = ['attention.self.query', 'attention.self.key', 'attention.self.value', 'attention.output.dense']
  return Array.from({ length: layers }, (_, layer) =>
    [...parts, 'intermediate.dense', 'output.dense'].map((part) => `bert.encoder.layer.${layer}.${part}.weight`),
  ).flat()
}

/** Names of the scores of those weights; none where the method has no scores. */
export function pruningScores({ encoder, pruning }: ModelConfig): string[] {
  if (!pruning || !PRUNING_METHODS[pruning.method].hasScores) return []
  return prunedWeights(encoder).map((name) => `${SCORES_PREFIX}${name}.scores`)
}

/** Names of scores begin so. They are means of pruning, no part of the model that comes out. */
export const SCORES_PREFIX = 'pruning.'

/** @internal What a report says, summed up. */
export function pruningReading(
  { method }: PruningConfig,
  state: PruningState,
  { matrices, penalty }: NativePruningReport,
): PruningReading {
  const { threshold, hasPenalty } = PRUNING_METHODS[method]
  const sum = (of: typeof matrices, field: 'size' | 'kept') => of.reduce((total, matrix) => total + matrix[field], 0)
  const density = (of: typeof matrices) => sum(of, 'kept') / sum(of, 'size')
  const layers = [...new Set(matrices.map(({ layer }) => layer))]
  return {
    method,
    ...(threshold === 'density' && { targetDensity: state.threshold }),
    density: density(matrices),
    byLayer: Object.fromEntries(
      layers.map((layer) => [String(layer), density(matrices.filter((matrix) => matrix.layer === layer))]),
    ),
    ...(hasPenalty && { penalty: state.penalty * penalty }),
    weights: sum(matrices, 'size'),
    nonZero: sum(matrices, 'kept'),
  }
}

/** @internal */
export function requirePruning(config: ModelConfig): PruningConfig {
  if (config.pruning) return config.pruning
  throw new StrataError('BAD_ARGUMENT', 'the model is not pruned; a configuration with pruning was expected')
}
