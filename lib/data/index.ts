// Text to token corpora.

export { ArrayWriter } from './array-writer.js'
export { BatchPool, type RemoteSource } from './batch-pool.js'
export { makeTemporary, publishFolder, syncDirectory } from './cache-folder.js'
export { readConllu, readConlluBlocks } from './conllu-file.js'
export { type ConlluColumn, readConlluSentences, readConlluTags, type TaggedWords } from './conllu-tags.js'
export { type CorpusOptions, defaultCorpusDirectory, type OpenedCorpus, openCorpus } from './corpus-builder.js'
export { type CorpusStatistics, hashFile, MANIFEST_FILE, writeManifest } from './corpus-files.js'
export { unpackedBytes } from './corpus-line-reader.js'
export type { ChunkOptions } from './corpus-sentences.js'
export {
  type CorpusView,
  corpusFromDocuments,
  type SplitOptions,
  splitDocuments,
  viewOf,
  wholeCorpus,
} from './corpus-split.js'
export { type TokenizerTrainingOptions, trainTokenizer } from './corpus-tokenizer-training.js'
export type { TokenizerTrainingProgress, TokenizerTrainingStatistics } from './corpus-tokenizer-worker.js'
export type { CorpusProgress } from './corpus-worker.js'
export type { DocumentFilters, RemovedDocuments } from './document-filter.js'
export {
  DOCUMENT_FORMATS,
  type DocumentFormat,
  emptyReadStatistics,
  type ReadOptions,
  type ReadStatistics,
  readDocuments,
  type TextDocument,
} from './document-reader.js'
export { laterPasses } from './later-passes.js'
export {
  type BatchChunks,
  type BatchSource,
  type HeadLabels,
  hasLabels,
  labelCount,
  NO_LABEL,
  type PackedBatch,
  packSequences,
  sequenceCount,
  tokenCount,
  transferList,
} from './packed-batch.js'
export { type Fragment, PackedPlan, type PackedPlanOptions } from './packed-plan.js'
export {
  buildPairPlan,
  type InputKind,
  inputTokens,
  type PairPlan,
  type PairPlanOptions,
  type PlanStatistics,
} from './pair-plan.js'
export { type ParseOrigin, parseOrigins } from './parse-origins.js'
export { type Prefetch, type PrefetchedBatch, type PrefetchOptions, prefetch } from './prefetch.js'
export { philox4x32, RandomStream, type StreamKey, stream } from './random.js'
export { reopenCorpus } from './reopen-corpus.js'
export { type SequenceOrder, unigramScores } from './sequence-order.js'
export { type DescribedSource, isDescribed, type SourceDescription } from './source-description.js'
export {
  readSquad,
  type SquadAnswer,
  type SquadQuestion,
  type SquadReadOptions,
  type SquadSet,
} from './squad-reader.js'
export { type TableFormat, tableFormatOf } from './table-formats.js'
export {
  type ColumnChoice,
  columnLabel,
  RowTally,
  readTable,
  type TableOptions,
  type TableRow,
} from './table-reader.js'
export {
  annealedExponent,
  createTaskSampler,
  powerProbabilities,
  type SampledTask,
  type SamplerConfig,
  type TaskSampler,
} from './task-sampler.js'
export { normalizeText, type TextNormalization } from './text-normalization.js'
export { type CorpusChunks, type SpecialTokens, TOKEN_FLAGS, type TokenCorpus } from './token-corpus.js'
