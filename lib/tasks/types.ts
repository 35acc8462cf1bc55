/**
 * What a task is: data, head, metrics. A definition says how rows of a file become examples; opening it with data and a
 * tokenizer gives sets of packed batches. One batch holds examples of one task.
 */
import type { BatchSource } from '../data/packed-batch.js'
import type { Tokenizer } from '../text/index.js'

/**
 * - `classification`: one class a sequence (one text or a pair)
 * - `regression`: one number a sequence
 * - `ranking`: a question's candidates beside each other, one of them right
 * - `span`: the part of a context that answers a question
 * - `tagging`: one class a word
 * - `parsing`: head and relation of every word of a sentence, and its part of speech
 */
export type TaskKind = 'classification' | 'regression' | 'ranking' | 'span' | 'tagging' | 'parsing'

/**
 * Figures over a whole set, as fractions (0 … 1; correlations and Matthews -1 … 1).
 * `f1` is the F1 of class 1 in classification, SQuAD's F1 for spans; `spanF1` counts exact label spans of a tagging task.
 * `LAS`, `UAS`, `UPOS` and `CLAS` of parses are those of the CoNLL 2018 shared task.
 */
export type MetricName =
  | 'accuracy'
  | 'f1'
  | 'f1Macro'
  | 'matthews'
  | 'pearson'
  | 'spearman'
  | 'exactMatch'
  | 'accuracyAt1'
  | 'meanReciprocalRank'
  | 'spanF1'
  | 'LAS'
  | 'UAS'
  | 'UPOS'
  | 'CLAS'

/** Where an example was read, so that a prediction can be put beside its row. */
export interface ExamplePlace {
  file: string
  /** Line (row of a Parquet file) from 1, as an editor shows it. */
  line: number
  /** The row's own identifier, where the layout has one. */
  id?: string
}

/**
 * The batches of one split. Training sets reshuffle every pass by (seed, epoch); evaluation sets keep the order of the files
 * and every pass is the same. Batch `index` of a pass is a pure function of (set, epoch, index).
 */
export interface TaskSet extends BatchSource {
  /** `train`, `dev`, `dev-mismatched`, `test` … */
  readonly split: string
  /** How many examples (rows; questions of a span or ranking task) the set has. */
  readonly examples: number
  /** How many of them were cut to fit the longest sequence. */
  readonly truncated: number
  /** True when the rows have labels. */
  readonly labelled: boolean
  /** The example that each sequence of a batch belongs to, shape (B). */
  exampleNumbers(epoch: number, index: number): Uint32Array
  /** SHA-256 of the examples' tokens and labels in the order of the files: where it is the same, so are the batches. */
  fingerprint(): string
  /** Where example 0 ≤ `example` < {@link examples} was read. */
  place(example: number): ExamplePlace
}

/** A task whose data have been read and tokenised. */
export interface OpenedTask {
  /** Unique among the tasks of a run. */
  name: string
  kind: TaskKind
  /** The model's head that the batches' labels name; by default the task's name. */
  head: string
  /** Class names by number; kinds with classes have them. */
  labels?: readonly string[]
  /** The first is the main one. */
  metrics: readonly MetricName[]
  /** The definition it was opened with; a checkpoint keeps it. */
  definition: TaskDefinition
  train?: TaskSet
  /** Labelled held-out sets: `dev`, `dev-mismatched` … */
  evaluation: Record<string, TaskSet>
  /** Sets that neither training nor selection looks at; `labelled` says whether they can be scored: `test`, `test-mismatched` … */
  prediction: Record<string, TaskSet>
  /** What a user should know: bad rows, rows without a label, cut examples, a split made by seed. One sentence each. */
  notes: string[]
  /** Those of the notes that tell of rows, questions or words that are left out or flawed. */
  warnings: string[]
}

/** What all definitions have; each kind adds what it needs. Plain data: a checkpoint stores it as JSON. */
export interface TaskDefinition {
  /** `CoLA`, `MNLI`, or the user's own. */
  name: string
  kind: TaskKind
  /** The first is the main one. */
  metrics: readonly MetricName[]
  /** Class names by number. Without them (a user's own data) they are taken from the training rows, sorted. */
  labels?: readonly string[]
}

/** Files by split: `train`, `dev` and other held-out names with labels, `test…` with or without. */
export type TaskFiles = Readonly<Record<string, string | readonly string[]>>

/** What opening a task of any kind takes. */
export interface OpenTaskOptions<D extends TaskDefinition = TaskDefinition> {
  definition: D
  /** Default: the definition's name. */
  name?: string
  /** A folder in the official layout, one file (split by seed, see `devShare`), or files by split. */
  data: string | TaskFiles
  tokenizer: Tokenizer
  /** Seed of the order of the examples, and of a split. */
  seed: number
  /** Examples a batch; default 32. */
  sequences?: number
  /** Longest sequence in tokens, special tokens included; default 128. */
  sequenceTokens?: number
  /** Head named by the labels; default: the task's name. */
  head?: string
  /** Adapter that the batches run through; default none. */
  adapter?: string
  /** Share (below 1) or number (from 1 on) of a single file's examples that is held out as `dev`; default 0.1. */
  devShare?: number
  /** Share of the training examples that is used; default 1. At least one stays, in a classification one of each class. */
  fraction?: number
  /** Seed of that share; default `seed`. */
  drawSeed?: number
  /** Largest share of bad rows in a file before BAD_DATA; default 0.05. */
  maxBadShare?: number
  /** Only these splits are read; default all there are. */
  splits?: readonly string[]
  /**
   * Classification, regression and ranking: a split whose tokenised examples take more bytes lies in memory-mapped files instead of memory;
   * default 256 MiB. Batches do not depend on it.
   */
  memoryBytes?: number
  /** Where those files are kept for the next time; default `$XDG_CACHE_HOME/stratabert/tasks`. */
  cacheDirectory?: string
  signal?: AbortSignal
}

/** Opens the tasks of one kind. */
export type TaskOpener<D extends TaskDefinition = TaskDefinition> = (options: OpenTaskOptions<D>) => Promise<OpenedTask>

/** Figures of one split over all its examples. */
export interface TaskScores {
  task: string
  split: string
  /** Labels that were judged; of a span task its questions, however many windows they have. */
  count: number
  /** Mean loss: nats, or squared error for a regression. */
  loss: number
  /** By {@link MetricName}. */
  metrics: Record<string, number>
  /** Value of the task's main metric. */
  main: number
}
