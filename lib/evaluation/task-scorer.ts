import type { PackedBatch } from '../data/packed-batch.js'
import type { HeadEvaluation } from '../model/index.js'
import type { DecodedSpan } from '../tasks/span-decoding.js'
import type { ExamplePlace, OpenedTask, TaskSet } from '../tasks/types.js'

/** What the model said about one example. */
export interface TaskPrediction extends ExamplePlace {
  task: string
  split: string
  /** Number of the example in its set, from 0. */
  example: number
  /** Class name, number, answer text, or one tag a word. */
  predicted: string | number | readonly string[]
  /** What the data say; missing in sets without labels. */
  expected?: string | number | readonly string[]
  /** Probability of each class in the labels' order, score of each candidate, or a kind's own scores by name. */
  scores?: readonly number[] | Readonly<Record<string, number>>
  /** Classification and ranking: place in `scores` of what is predicted, the number of the class or candidate. */
  predictedIndex?: number
  /** The same of what the data say; missing where `expected` is. */
  expectedIndex?: number
  /** Span tasks: the answer's place and the other candidates, for `writeSpanPredictions`. */
  span?: DecodedSpan
}

/** Collects a model's answers batch by batch. Each task kind has one. */
export interface TaskScorer {
  /** Examples that the figures are over, where these are not the labels that the head judges: a question may have several windows. */
  readonly examples?: number
  /** `evaluation` is what the task's head said about batch `index` of pass 0. */
  add(batch: PackedBatch, index: number, evaluation: HeadEvaluation): void
  /** Called once after the last batch: the figures over the whole set, by metric name; empty without labels. */
  finish(): Record<string, number>
}

export interface TaskScorerContext {
  task: OpenedTask
  split: string
  set: TaskSet
  /** Called for every example, at the latest in `finish`. */
  predictions?: (prediction: TaskPrediction) => void
}

/** Makes the scorer of a kind. */
export type TaskScorerFactory = (context: TaskScorerContext) => TaskScorer
