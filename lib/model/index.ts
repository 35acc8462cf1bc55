/** Encoder with heads, optimizer, and their files. The only door of this room. */
export { addAdapter, extractAdapter, type ListedAdapter, listAdapters, mergeAdapter } from './adapter-commands.js'
export { type AdapterFolder, readAdapterFolder, saveAdapter } from './adapter-folder.js'
export {
  type LoadedModel,
  type LoadModelOptions,
  loadModel,
  type ModelFolder,
  prunedWeightsOf,
  readModelFolder,
  type SaveModelOptions,
  saveModelFolder,
} from './checkpoint-folder.js'
export * from './config.js'
export { GramSums, type LayerPair, type StateBlock } from './gram-sums.js'
export { exportMapping } from './huggingface.js'
export { huggingFaceConfig } from './huggingface-config.js'
export { Model, type Values } from './model.js'
export * from './model-types.js'
export {
  type Counters,
  computeThreads,
  counters,
  type DeviceMemory,
  deviceMemory,
  hasFlashAttention,
  productRates,
} from './native.js'
export {
  type AdamaxOptions,
  type AdamWOptions,
  type BertAdamOptions,
  Optimizer,
  type OptimizerOptions,
  type OptimizerStepOptions,
  type OptimizerStepResult,
  type ParameterGroup,
  type SgdOptions,
} from './optimizer.js'
export { ENCODER_NORM, modelParameterShapes } from './parameter-shapes.js'
export { chunkPlainBatches } from './plain-chunks.js'
export { freshWarnings } from './plausible-folder.js'
export {
  type LogisticProbeOptions,
  type LogisticProbeResult,
  type MlpProbeOptions,
  type MlpProbeResult,
  Probe,
  type ProbeData,
  type ProbeFeatures,
  type ProbeSplitData,
  type SparseProbeData,
  type SparseSplitData,
  spanMeans,
} from './probe.js'
export {
  PRUNING_METHODS,
  type PruningNoise,
  type PruningReading,
  type PruningState,
  prunedWeights,
  pruningScores,
  SCORES_PREFIX,
} from './pruning.js'
export { inspectSafetensors, type SafetensorsInfo, type StoredTensorInfo } from './safetensors.js'
export { type SavedTask, targetDivisorOf } from './saved-task.js'
export type { PrunedWeights, StrataFile } from './strata-file.js'
