// Text to token corpora.
export { type CorpusOptions, defaultCorpusDirectory, type OpenedCorpus, openCorpus } from './corpus-builder.js'
export type { CorpusStatistics } from './corpus-files.js'
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
export {
  type DocumentFormat,
  emptyReadStatistics,
  type ReadOptions,
  type ReadStatistics,
  readDocuments,
  type TextDocument,
} from './document-reader.js'
