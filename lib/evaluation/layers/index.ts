/** What the layers and heads of an encoder do with text. The only door of this folder. */
export { type AttentionMeans, type AttentionReading, attentionByHead, type HeadAttention } from './attention-heads.js'
export { type LayerSimilarity, type LayerUnit, layerSimilarity, type SimilarityOptions } from './layer-similarity.js'
export type { ReadingOptions, ReadSentence, SentenceReader } from './sentence-reader.js'
