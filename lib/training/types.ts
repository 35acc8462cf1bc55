import type { BatchSource } from '../data/packed-batch.js'

/** How long a stage lasts; exactly one field is set. */
export interface Budget {
  /** Optimiser steps. */
  steps?: number
  /** Real tokens seen. */
  tokens?: number
  /** Passes over the (largest) task's data. */
  epochs?: number
  /** Wall-clock hours, summed over resumed parts. */
  hours?: number
}

export interface ScheduleConfig {
  kind: 'linear' | 'cosine' | 'constant' | 'triangle'
  /** Share of the budget (< 1) or number of optimiser steps (≥ 1) over which the rate rises from 0. */
  warmup: number
  /** Factor at the end of the budget; linear and cosine end there. */
  finalFactor: number
}

export interface OptimizerSettings {
  kind: 'adamw'
  learningRate: number
  beta1: number
  beta2: number
  epsilon: number
  weightDecay: number
  /** Learning-rate factor from one layer to the one below it; 1 = equal rates. */
  layerDecay: number
}

export interface ClipSettings {
  /** Largest global gradient norm; 0 = no limit. */
  maxGradNorm: number
  /** Largest gradient norm of each tensor; 0 = no limit. */
  maxTensorGradNorm: number
}

/** Data for one or several heads that share a forward pass. */
export interface TrainingTask {
  name: string
  /** Heads that get labels from this source. */
  heads: string[]
  source: BatchSource
  /** Held-out batches; the whole pass 0 is evaluated. */
  evaluation?: BatchSource
}

export type SamplerConfig =
  | { kind: 'proportional' | 'sqrt' | 'roundRobin' }
  | { kind: 'weights'; weights: Record<string, number> }

export interface Stage {
  name: string
  tasks: TrainingTask[]
  sampler: SamplerConfig
  optimizer: OptimizerSettings
  schedule: ScheduleConfig
  clip: ClipSettings
  budget: Budget
  /** Batches per optimiser step. */
  accumulation: number
  /** Parameters whose name starts with one of these stay as they are. */
  freeze: string[]
}

export interface RunSettings {
  seed: number
  /** Optimiser steps between two evaluations; 0 = only at the end. */
  evaluateEverySteps: number
  checkpoint: {
    /** Optimiser steps between two checkpoints; 0 = only at the end. */
    everySteps: number
    /** How many of the newest are kept; 0 = all. */
    keep: number
  }
  logEverySteps: number
  onNonFinite: 'stop' | 'skip' | 'rollback'
  prefetchWorkers: number
}
