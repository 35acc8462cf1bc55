// Text to token corpora.

export { ArrayWriter } from './array-writer.js'
export { makeTemporary, publishFolder, syncDirectory } from './cache-folder.js'
export { readConllu } from './conllu-file.js'
export { type ConlluColumn, readConlluSentences, readConlluTags, type TaggedWords } from './conllu-tags.js'
export { type CorpusOptions, defaultCorpusDirectory, type OpenedCorpus, openCorpus } from './corpus-builder.js'
export { type CorpusStatistics, hashFile, MANIFEST_FILE, writeManifest } from './corpus-files.js'
export { unpackedBytes } from './corpus-line-reader.js'
export type { ChunkOptions } from './corpus-sentences.js'
export { type CorpusView, corpusFromDocuments, type SplitOptions, splitDocuments, wholeCorpus } from './corpus-split.js'
export { type TokenizerTrainingOptions, trainTokenizer } from './corpus-tokenizer-training.js'
export type { TokenizerTrainingProgress, TokenizerTrainingStatistics } from './corpus-tokenizer-worker.js'
export type { CorpusProgress } from './corpus-worker.js'
export type { DocumentFilters, RemovedDocuments } from './document-filter.js'
export {
  type DocumentFormat,
  emptyReadStatistics,
  type ReadOptions,
  type ReadStatistics,
  readDocuments,
  type TextDocument,
} from './document-reader.js'
export { laterPasses } from './later-passes.js'
export { type BatchSource, labelCount, NO_LABEL, type PackedBatch, packSequences } from './packed-batch.js'
export { PackedPlan } from './packed-plan.js'
export type { InputKind, PlanStatistics } from './pair-plan.js'
export { type ParseOrigin, parseOrigins } from './parse-origins.js'
export { prefetch } from './prefetch.js'
export { RandomStream, stream } from './random.js'
export { type SequenceOrder, unigramScores } from './sequence-order.js'
export type { DescribedSource, SourceDescription } from './source-description.js'
export { readSquad, type SquadQuestion, type SquadSet } from './squad-reader.js'
export { type TableFormat, tableFormatOf } from './table-formats.js'
export { type ColumnChoice, RowTally, readTable, type TableOptions } from './table-reader.js'
export { normalizeText, type TextNormalization } from './text-normalization.js'
export { TOKEN_FLAGS, type TokenCorpus } from './token-corpus.js'
