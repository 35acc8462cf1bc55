import type { HeadConfig, Model, SavedTask } from '../model/index.js'
import type { Tokenizer } from '../text/index.js'

/** What every kind of question to a trained model is asked with. */
export interface LoadedParts {
  model: Model
  tokenizer: Tokenizer
  /** What the model's heads were trained for. */
  tasks: readonly SavedTask[]
  maxBatchTokens: number
}

/** What all questions take. */
export interface CallOptions {
  /** Stops before the next batch and rejects with ABORTED. */
  signal?: AbortSignal
}

/** Kind of head, narrowed by its name. */
export type HeadOf<Kind extends HeadConfig['kind']> = Extract<HeadConfig, { kind: Kind }>
