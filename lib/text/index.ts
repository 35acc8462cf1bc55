export { chunkWithoutParse } from './chunk-fallback.js'
export { chunksOfPieces, cutAtChunks, wordsOfPieces } from './chunk-pieces.js'
export {
  type ChunkRelations,
  chunkRelations,
  RELATION_PRESETS,
  type RelationGroups,
  type RelationOptions,
  UNKNOWN_TARGET,
} from './chunk-relations.js'
export {
  type ChunkedSentence,
  type ChunkRecord,
  chunkRecord,
  chunkSentence,
  withChunkMarks,
} from './chunked-sentence.js'
export {
  CHUNK_KINDS,
  type Chunk,
  type ChunkKind,
  type Chunks,
  chunkWords,
  type ParsedWords,
  parsedWords,
} from './chunker.js'
export {
  annotate,
  type ConlluRow,
  type ConlluSentence,
  commentValue,
  findCycle,
  type SentenceText,
  sentenceText,
  withComment,
} from './conllu.js'
export { isConlluName, lineOfConllu, MOST_UNDECIDED_LINES } from './conllu-detection.js'
export { type ConlluOptions, ConlluParser, parseConllu } from './conllu-reader.js'
export { formatConllu, makeSentence, type NewWord, writeConllu } from './conllu-writer.js'
export type { LabelScheme } from './dependency-labels.js'
export type { EncodedText, EncodeInput, EncodeOptions } from './encoded-text.js'
export { RawSentences } from './raw-sentences.js'
export { sentenceBorders, splitSentences } from './sentence-splitter.js'
export { TokenChunker, type TokenChunkerOptions, type TokenChunks } from './token-chunks.js'
export type { TokenOffsets } from './token-offsets.js'
export { SPECIAL_TOKENS, Tokenizer } from './tokenizer.js'
export { learnVocabulary, WordCounter } from './tokenizer-training.js'
export { eachWord, type SplitWord, splitWords } from './word-splitter.js'
export { WordPieceEncoder } from './wordpiece-encoder.js'
export type { TokenizerDefinition } from './wordpiece-files.js'
