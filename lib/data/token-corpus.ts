/**
 * Tokenised documents on disk, memory-mapped: the form in which raw text reaches the objectives.
 * Legend: D documents, N sentences, T tokens.
 */
export interface TokenCorpus {
  /** Folder that holds the arrays below. */
  readonly directory: string
  readonly documentCount: number
  readonly sentenceCount: number
  readonly tokenCount: number
  /** Token ids without special tokens, shape (T). */
  readonly tokenIds: Int32Array
  /** Bits per token, shape (T): see {@link TOKEN_FLAGS}. */
  readonly tokenFlags: Uint8Array
  /** First token of each sentence, shape (N + 1). */
  readonly sentenceOffsets: Uint32Array
  /** First sentence of each document, shape (D + 1). */
  readonly documentOffsets: Uint32Array
}

export const TOKEN_FLAGS = {
  /** The token begins a word (an alphanumeric run or a single punctuation mark, as BERT's pre-tokeniser cuts). */
  wordStart: 1,
  /** The token's word has no letter and no digit. */
  punctuation: 2,
} as const

/** What the objectives must know of the tokenizer. */
export interface SpecialTokens {
  vocabSize: number
  padId: number
  unkId: number
  clsId: number
  sepId: number
  maskId: number
}
