import type { BatchSource } from '../data/packed-batch.js'
import type { SamplerConfig } from '../data/task-sampler.js'
import type { HeadScores } from '../evaluation/index.js'
import type { Model } from '../model/index.js'
import type { DropoutState } from '../model/model-types.js'
import type { OptimizerOptions } from '../model/optimizer.js'

export type { SamplerConfig }

/** How long a stage lasts; exactly one unit is set. */
export interface Budget {
  /** Optimiser steps. */
  steps?: number
  /** Real tokens seen. */
  tokens?: number
  /**
   * Passes over the data. An epoch is as many batches as all tasks of the stage have together: with one task one pass over
   * it, with the `shuffled` sampler one pass over the merged list, and with another sampler that much data, in its shares.
   */
  epochs?: number
  /** Wall-clock hours, summed over resumed parts. */
  hours?: number
  /**
   * Of stages that share one budget in steps, tokens or hours: how much of it the whole run has spent when this stage ends, whatever
   * the stages before took. The amount above is then a plan.
   */
  total?: number
}

/** How the learning rate moves over a stage, as a factor on that of the optimiser; formulas in schedules.ts. */
export interface ScheduleConfig {
  /**
   * `bert` is BERTAdam's, as PALs use it: a linear decay over the whole budget that the warm-up's end jumps onto. The triangles are
   * Cramming's, over the whole budget x: `triangle` = `triangle2` = min(0.25 + x, 4 - 4x), `triangle1` = min(0.5 + 2x/3, 4 - 4x),
   * `one-cycle` = min(2x, 2 - 2x), `multi-cycle` eight of those.
   */
  kind: 'linear' | 'cosine' | 'constant' | 'triangle' | 'triangle1' | 'triangle2' | 'one-cycle' | 'multi-cycle' | 'bert'
  /** Share of the budget (< 1) or number of optimiser steps (≥ 1) over which the rate rises from 0. */
  warmup: number
  /** Factor at the end of the budget; linear, cosine and bert end there. */
  finalFactor: number
}

/** Update rule and what its parameter groups are made from; see {@link OptimizerOptions} for the rules. */
export interface OptimizerSettings {
  kind: OptimizerOptions['kind']
  /** Of `adamax`; default `torch`. */
  variant?: 'torch' | 'mt-dnn'
  learningRate: number
  /** `beta1`, `beta2` and `epsilon` are not read by `sgd`. */
  beta1: number
  beta2: number
  epsilon: number
  /** Of `sgd`; default 0. */
  momentum?: number
  /** Of `sgd`; default 0. */
  dampening?: number
  /** Of `sgd`; default false. */
  nesterov?: boolean
  /** Not applied to biases, LayerNorm parameters and the weights of layer mixes. */
  weightDecay: number
  /** Decay on biases and LayerNorm parameters too, as MT-DNN's published code does; mixes never decay. Default false. */
  decayAll?: boolean
  /** Learning-rate factor from one layer to the one below it (heads: 1, block L: this, block L - 1: its square …). */
  layerDecay: number
  /**
   * Further learning-rate factors by the beginning of the parameters' names, `*` standing for any characters:
   * `{ 'mixes.': 100, 'adapters.*attention': 15 }`. The longest that fits a name counts. Default none.
   */
  rateFactors?: Record<string, number>
}

/** `adapters` = adapters, heads, the shared pooler, layer mixes and all LayerNorms (PALs' `--freeze`, which leaves the pooler as it is: `freeze: ['pooler.']`). */
export type TrainedPart = 'all' | 'adapters'

/**
 * How a stage prunes a model whose configuration has pruning; see pruning-schedule.ts. What a threshold is, its method says: the share
 * that stays (`magnitude`, `movement`), a bound on scores (`soft-movement`), nothing (`l0`: give 1 and 1).
 */
export interface PruningSchedule {
  initialThreshold: number
  finalThreshold: number
  /** λ at the end, the factor of the penalty in an update's loss; 0 for a method without one. */
  penalty: number
  /** Length of the pauses before and after the way between the thresholds, in warm-ups of the learning rate. */
  initialWarmup: number
  finalWarmup: number
  /** Of the scores at the schedule's peak, in place of the optimiser's own; they have no weight decay. */
  scoreLearningRate: number
}

/** Gradients above these norms are scaled down to them before an update. */
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
  /** Batches without a label for any head are passed over and counted; a pass of nothing else is refused. */
  source: BatchSource
  /** Held-out batches; the whole pass 0 is evaluated, head by head. */
  evaluation?: BatchSource
  /**
   * Training examples, the task's size for samplers that go by size. Without it the batches of a pass count; a stage gives it
   * for all its tasks or for none.
   */
  examples?: number
  /** Names what the source holds: a run is resumed with the same alone. Without it the batches of a pass are counted. */
  fingerprint?: string
  /** Adapter that the task's batches name; a stage trains the adapters of its tasks alone. */
  adapter?: string
  /**
   * Scores the task's held-out splits by its own metrics over whole sets, in place of `evaluation`. An abort shall reject
   * with ABORTED.
   */
  score?: (model: Model, options: ScoreOptions) => Promise<Record<string, SplitScores>>
  /**
   * Names of the metrics that `score` tells, by split in its order. A watched score that is none of them is then refused before the first
   * step; without them at the first evaluation.
   */
  metrics?: Readonly<Record<string, readonly string[]>>
}

export interface ScoreOptions {
  signal?: AbortSignal
  onBatch?: (done: number, total: number) => void
}

/** What a task reaches on one held-out split. The first split that it tells stands for it in means, sums and tables. */
export interface SplitScores {
  /** The metric that the task is judged by, as a fraction. */
  main: number
  /** Mean loss. */
  loss: number
  /** Examples that were judged: questions of span and ranking tasks, words of tagging and parsing. */
  count: number
  /** Every metric by name, as fractions; correlations lie in -1 … 1, thresholds are in logits. */
  metrics: Record<string, number>
}

/** One evaluation of a stage. */
export interface StageScores {
  /** By head, of the tasks that have no `score`. */
  heads: Record<string, HeadScores>
  /** By task and split, of the tasks that have one. */
  tasks: Record<string, Record<string, SplitScores>>
}

/** Place of a batch in a source: pass and number within the pass. */
export interface BatchPosition {
  epoch: number
  index: number
}

/** A part of a run with tasks, optimiser and budget of its own; every stage begins with a fresh optimiser. */
export interface Stage {
  name: string
  tasks: TrainingTask[]
  sampler: SamplerConfig
  optimizer: OptimizerSettings
  schedule: ScheduleConfig
  clip: ClipSettings
  pruning?: PruningSchedule
  budget: Budget
  /** Batches per optimiser step. */
  accumulation: number
  /**
   * Over what the batches of a step grow from 1 to `accumulation`, linearly: a share of the budget (< 1) or a number of batches
   * (≥ 1). Default 0: `accumulation` from the first step on.
   */
  accumulationRamp?: number
  /** Parameters whose name starts with one of these stay as they are. */
  freeze: string[]
  /** Default `all`. */
  train?: TrainedPart
  /**
   * Weights that the stage begins with: those that the stage before it ended with (`previous`, the default), those that the run began
   * with (`initial`), or those of an earlier stage by its name. The latter two need a run folder, whose checkpoints hold them.
   */
  startFrom?: 'previous' | 'initial' | (string & {})
  /** Takes the best checkpoint of that stage in place of its last one. */
  startFromBest?: boolean
}

/**
 * A score that a run watches: `<head>.<score>` (`mlm.loss`), `<task>.<metric>` of the task's first split (`rte.accuracy`),
 * `<task>.<split>.<metric>` (`mnli.dev-mismatched.accuracy`), `loss` being a metric as well; `mean` or `sum` of the main
 * metrics of all tasks of the stage (the sum is the criterion of BERT and PALs, Stickland & Murray 2019).
 */
export interface WatchedScore {
  metric: string
  mode: 'min' | 'max'
}

export interface EarlyStoppingSettings extends WatchedScore {
  /** So many evaluations in a row without a better score end the stage. */
  patience: number
  /** What a score must be better by to count; default 0. */
  minDelta?: number
}

export interface CheckpointSettings {
  /** Optimiser steps between two checkpoints; 0 = only at the end. */
  everySteps: number
  /** How many of the newest are kept; 0 = all. */
  keep: number
  /**
   * Keeps the checkpoint with the best score as well, in every stage anew. A better score writes a checkpoint at once. A
   * stage that does not train the head or task that the metric names has no best.
   */
  best?: WatchedScore
  /**
   * Keeps the last and the best checkpoint of every stage to the end of the run. By default only those are kept that a later
   * stage starts from.
   */
  keepStages?: boolean
}

/** What holds for all stages of a run. */
export interface RunSettings {
  seed: number
  /** Optimiser steps between two evaluations; 0 = only at the end of each stage. */
  evaluateEverySteps: number
  /** Epochs of the stage (see {@link Budget.epochs}) between two evaluations, beside those by steps; 0 (default) = none. */
  evaluateEveryEpochs?: number
  /** Ends a stage, not the run, when the score no longer gets better. Scored where the stage is evaluated. */
  earlyStopping?: EarlyStoppingSettings
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
  /** The stages before, in order. */
  finished: FinishedStage[]
  /** All stages of the run, those to come too: which tasks have checkpoints of their own. Missing in states of old. */
  stages?: StageOutline[]
  /** Fingerprints of the tasks that have one. */
  data?: Record<string, string>
  /** State of the dropout generator. */
  dropout: DropoutState
  /** Steps whose update was suppressed because of a non-finite gradient. */
  skippedSteps: number
  rollbacks: number
  /** An evaluation of this step was due when the run was stopped. */
  evaluationDue?: true
  /** Best score of the running stage so far, when {@link CheckpointSettings.best} is set. */
  best?: BestScore
}

/** The best value so far of the score that a stage watches, as {@link WatchedScore} writes it. */
export interface BestScore {
  metric: string
  score: number
  /** Step of its checkpoint. */
  step: number
}

/** What ended a stage. */
export type StageEnd = 'budget' | 'earlyStopping'

/** What is kept of a stage that is over. */
export interface FinishedStage {
  name: string
  /** Step of the run, and so of the checkpoint, that the stage ended with. */
  step: number
  endedBy: StageEnd
  /** The last evaluation. */
  scores: StageScores
  best?: BestScore
}

/** What a stage trains. */
export interface StageOutline {
  name: string
  /** Heads by task. */
  tasks: Record<string, string[]>
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
  /** Next batch of each task, how many batches its first pass has (to notice other data), and those that were passed over. */
  tasks: Record<string, BatchPosition & { batches: number; steps: number; unlabelled?: number }>
  /** The last evaluation. */
  scores?: StageScores
  /** Score that early stopping compares with, and the evaluations in a row that did not beat it. */
  patience?: { score?: number; misses: number }
  /** Set when something other than the budget ended the stage. */
  endedBy?: 'earlyStopping'
}
