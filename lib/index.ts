/**
 * The public surface of stratabert. Three levels, each written on the one below:
 *
 * 1. recipes: `openRecipe` → `runRecipe`, `evaluateCheckpoint`; `Encoder` for trained models;
 * 2. parts: tokenizer, corpus, objectives, `train` with stages, checkpoints, evaluation;
 * 3. `Model` and `Optimizer`, for a loop of one's own.
 */

export {
  type CorpusOptions,
  type CorpusProgress,
  type CorpusStatistics,
  type CorpusView,
  corpusFromDocuments,
  type DocumentFormat,
  defaultCorpusDirectory,
  type OpenedCorpus,
  openCorpus,
  type ReadOptions,
  readDocuments,
  splitDocuments,
  type TextDocument,
  type TokenizerTrainingOptions,
  trainTokenizer,
  wholeCorpus,
} from './data/index.js'
// Packed batches and the sources that make them.
export {
  type BatchSource,
  type HeadLabels,
  labelCount,
  NO_LABEL,
  type PackedBatch,
  packSequences,
  sequenceCount,
  tokenCount,
} from './data/packed-batch.js'
export { type Prefetch, type PrefetchedBatch, type PrefetchOptions, prefetch } from './data/prefetch.js'
export { type RandomStream, stream } from './data/random.js'
export type { DescribedSource, SourceDescription } from './data/source-description.js'
export { createTaskSampler, type SamplerConfig, type TaskSampler } from './data/task-sampler.js'
export type { SpecialTokens, TokenCorpus } from './data/token-corpus.js'
export { StrataError, type StrataErrorCode } from './errors.js'
// Evaluation.
export {
  balancedAccuracy,
  type EvaluateOptions,
  evaluateHeads,
  f1Score,
  type HeadScores,
  perplexity,
  type ScoreTaskOptions,
  scoreTask,
  type TaskPrediction,
  wilsonInterval,
} from './evaluation/index.js'
// Trained encoders at work.
export {
  type Embeddings,
  type EmbedOptions,
  Encoder,
  type EncoderOptions,
  type FilledMask,
  type FillMaskOptions,
  type MaskCandidate,
} from './inference/index.js'
// Models.
export {
  type AdamaxOptions,
  type AdamWOptions,
  type BertAdamOptions,
  type BigramShiftHeadConfig,
  computeThreads,
  counters,
  type Device,
  type DropoutState,
  type EncoderConfig,
  encoderConfig,
  type HeadConfig,
  type HeadEvaluation,
  type HeadLoss,
  inspectSafetensors,
  type LoadedModel,
  type LoadModelOptions,
  loadModel,
  type MaskedLmHeadConfig,
  Model,
  type ModelConfig,
  type ModelFolder,
  type ModelOptions,
  type NextSentenceHeadConfig,
  Optimizer,
  type OptimizerOptions,
  type ParameterGroup,
  type ParameterInfo,
  type Precision,
  readModelFolder,
  type SaveModelOptions,
  type SgdOptions,
  type StepLosses,
  saveModelFolder,
  type Tap,
  type TransferConfig,
} from './model/index.js'
// Objectives.
export {
  type BigramShiftOptions,
  type MaskedLmOptions,
  type PretrainingHeads,
  type PretrainingOptions,
  type PretrainingSource,
  pretrainingSource,
  type UnigramEntropy,
  unigramEntropy,
} from './objectives/index.js'
// Recipes.
export {
  defineRecipe,
  type EvaluateCheckpointOptions,
  type EvaluationReport,
  evaluateCheckpoint,
  type HeldOutRow,
  heldOutRows,
  heldOutTable,
  modelConfigOf,
  type NamedRecipe,
  namedRecipes,
  type OpenDataOptions,
  type OpenRecipeOptions,
  openRecipe,
  openRunData,
  overlayOfSetOptions,
  planRun,
  type RecipeInput,
  type ResolvedRecipe,
  type RunData,
  type RunPlan,
  type RunRecipeOptions,
  type RunResult,
  recipeSchema,
  recipeSource,
  runRecipe,
} from './recipes/index.js'
// libtorch and devices.
export {
  type Diagnosis,
  diagnose,
  findLibtorch,
  type InstallOptions,
  type InstallResult,
  installLibtorch,
  type LibtorchTree,
  type LoadOptions,
  loadCore,
  resolveDevice,
} from './runtime/index.js'
// Tasks with labels.
export {
  type CustomTask,
  customDefinition,
  definitionOf,
  findDefinition,
  KNOWN_TASKS,
  type MetricName,
  type OpenedTask,
  type OpenTaskOptions,
  openTask,
  type TaskCorpusFile,
  type TaskDefinition,
  type TaskFiles,
  type TaskKind,
  type TaskScores,
  type TaskSet,
  writeGlueSubmission,
  writeTaskCorpus,
} from './tasks/index.js'
export { type EncodedText, type EncodeOptions, sentenceBorders, splitSentences, Tokenizer } from './text/index.js'
// Training.
export {
  addGradients,
  type Budget,
  type CheckpointReference,
  type ClipSettings,
  createProgressLine,
  type EarlyStoppingSettings,
  huggingFaceModelFiles,
  interruptedExitCode,
  type Logger,
  labelCounts,
  type MixReading,
  type ModelFiles,
  newestCheckpoint,
  type OptimizerSettings,
  openRunFolder,
  optimizerOptions,
  parameterGroups,
  plainModelFiles,
  type ResolvedCheckpoint,
  type RunFolder,
  type RunFolderOptions,
  type RunSettings,
  readMixes,
  readResolvedRecipe,
  readTrainingState,
  resolveCheckpoint,
  type ScheduleConfig,
  type ScoreOptions,
  type SplitScores,
  type Stage,
  type StageResult,
  type StageScores,
  scheduleFactor,
  type TrainedPart,
  type TrainingEvent,
  TrainingEvents,
  type TrainingState,
  type TrainingTask,
  type TrainOptions,
  type TrainResult,
  train,
  type WatchedScore,
} from './training/index.js'
