import type { BatchSource } from '../data/packed-batch.js'
import type { SamplerConfig } from '../data/task-sampler.js'
import type { DropoutState } from '../model/model-types.js'

export type { SamplerConfig }

/** How long a stage lasts; exactly one field is set. */
export interface Budget {
  /** Optimiser steps. */
  steps?: number
  /** Real tokens seen. */
  tokens?: number
  /** Passes over the largest task's data. */
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
  /** Not applied to biases and LayerNorm parameters. */
  weightDecay: number
  /** Learning-rate factor from one layer to the one below it (heads: 1, block L: this, block L - 1: its square …). */
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

/** Place of a batch in a source: pass and number within the pass. */
export interface BatchPosition {
  epoch: number
  index: number
}

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

export interface CheckpointSettings {
  /** Optimiser steps between two checkpoints; 0 = only at the end. */
  everySteps: number
  /** How many of the newest are kept; 0 = all. */
  keep: number
  /**
   * Keeps the checkpoint with the best score as well: `metric` is `<head>.<score>` of the evaluation (`mlm.loss`,
   * `nsp.accuracy`). A better score writes a checkpoint at once.
   */
  best?: { metric: string; mode: 'min' | 'max' }
}

export interface RunSettings {
  seed: number
  /** Optimiser steps between two evaluations; 0 = only at the end. */
  evaluateEverySteps: number
  checkpoint: CheckpointSettings
  logEverySteps: number
  onNonFinite: 'stop' | 'skip' | 'rollback'
  /** How often `rollback` may reload before it stops; default 3. */
  maxRollbacks?: number
  /** How many steps in a row `skip` may lose before it stops; default 100. */
  maxSkippedInARow?: number
  /** Worker threads that make batches ahead; 0 = batches are made on the calling thread. */
  prefetchWorkers: number
}

/** Everything beside weights and optimiser moments that a run needs to go on exactly where it stopped. */
export interface TrainingState {
  formatVersion: 1
  seed: number
  /** Optimiser steps, tokens and seconds of the whole run. */
  step: number
  tokens: number
  elapsedSeconds: number
  stage: StageState
  /** State of the dropout generator. */
  dropout: DropoutState
  /** Steps whose update was suppressed because of a non-finite gradient. */
  skippedSteps: number
  rollbacks: number
  /** An evaluation of this step was due when the run was stopped. */
  evaluationDue?: true
  /** Best score so far, when {@link CheckpointSettings.best} is set. */
  best?: { metric: string; score: number; step: number }
}

/** Place within the running stage. */
export interface StageState {
  index: number
  name: string
  step: number
  tokens: number
  elapsedSeconds: number
  /** Tasks drawn so far. Runs ahead of `step` after a rollback, which goes on with the following data. */
  draws: number
  /** Next batch of each task, and how many batches its first pass has (to notice other data). */
  tasks: Record<string, BatchPosition & { batches: number; steps: number }>
}
