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
  /** Of a corpus that was made with chunks. */
  readonly chunks?: CorpusChunks
}

/** Chunks of a corpus and the relations between them (docs/chunks.md). C chunks, R relations. */
export interface CorpusChunks {
  /** Names of the relations. */
  readonly relations: readonly string[]
  /** Chunk of each token, counted within its sentence; -1 = of none. Shape (T). */
  readonly ids: Int32Array
  /** First chunk of each sentence, shape (N + 1). */
  readonly offsets: Uint32Array
  /** Index into CHUNK_KINDS, shape (C). */
  readonly kinds: Uint8Array
  /**
   * Chunk of the same sentence, counted within it, that each attaches to; -1 = none, -100 = not known (no parse, a word
   * without a head, or the head stands in another part of a sentence that was cut). Shape (C, R) row-major.
   */
  readonly targets: Int32Array
}

export type { SpecialTokens } from '../text/special-tokens.js'
export { TOKEN_FLAGS } from '../text/token-flags.js'
