/** What training is asked for, and what it gives back. */
import type { HeadScores } from '../evaluation/index.js'
import type { Model, PruningReading } from '../model/index.js'
import type { TrainingEvents } from './events.js'
import type { CardText } from './model-card.js'
import type { ModelFiles } from './model-files.js'
import type { RunFolder } from './run-folder.js'
import type { RunSettings, SplitScores, Stage, StageEnd, TrainingState } from './types.js'

export interface TrainOptions {
  model: Model
  /** Run one after the other; each starts with a fresh optimiser. */
  stages: Stage[]
  settings: RunSettings
  /** Where checkpoints and logs go; without it nothing is written. A resumed folder is gone on with. */
  run?: RunFolder
  /** Default {@link plainModelFiles}. */
  modelFiles?: ModelFiles
  events?: TrainingEvents
  /** An abort finishes the running step, writes a checkpoint and ends with status `interrupted`. */
  signal?: AbortSignal
  /** SIGINT and SIGTERM do the same; a second one ends the process at once. Default false. */
  handleSignals?: boolean
  /** For the model card of the checkpoints. */
  card?: CardText
}

export interface TrainResult {
  status: 'completed' | 'interrupted'
  /** The process signal that interrupted it, if one did. */
  signal?: NodeJS.Signals
  state: TrainingState
  /** The newest checkpoint's folder. */
  checkpoint?: string
  /** The folder of the best one of the last stage that has one, with `settings.checkpoint.best`. */
  best?: string
  /** The last evaluation, by head. */
  scores: Record<string, HeadScores>
  /** The last evaluation, by task and split, of tasks that are scored by their own metrics. */
  tasks: Record<string, Record<string, SplitScores>>
  /** What is left of the weights of a pruned model. */
  pruning?: PruningReading
  /** The stages that came to their end, in order. */
  stages: StageResult[]
}

export interface StageResult {
  name: string
  /** Step of the run that it ended with. */
  step: number
  endedBy: StageEnd
  /** Its last evaluation, by head. */
  scores: Record<string, HeadScores>
  /** Its last evaluation, by task and split. */
  tasks: Record<string, Record<string, SplitScores>>
  /** Folder of the checkpoint that it ended with, while it is kept (see `settings.checkpoint.keepStages`). */
  checkpoint?: string
  /** Its best score and the folder of that checkpoint, while it is kept. */
  best?: { metric: string; score: number; step: number; checkpoint?: string }
}
