/** Sentences as an encoder reads them, in batches that two encoders go through side by side. */
import { type PackedBatch, packSequences } from '../../data/packed-batch.js'
import { StrataError } from '../../errors.js'
import type { Model } from '../../model/index.js'
import type { EncodedText, Tokenizer } from '../../text/index.js'

export interface ReadSentence extends EncodedText {
  /** For messages: where the sentence stands, like `corpus.txt:12`. */
  place: string
}

/** An encoder with the sentences of an analysis as its tokenizer cuts them: [CLS] … [SEP] each. */
export interface SentenceReader {
  /** For messages: the checkpoint. */
  name: string
  model: Model
  tokenizer: Tokenizer
  sentences: readonly ReadSentence[]
}

export interface ReadingOptions {
  /** Most tokens that are computed at once; default 2048. Bounds memory, changes no result but rounding. */
  maxTokens?: number
  /** Stops before the next batch and rejects with ABORTED. */
  signal?: AbortSignal
  onProgress?: (sentences: number, of: number) => void
}

/** Some sentences after each other, one batch a reader; sentence k of each batch is the same. */
export async function* readBatches(
  readers: readonly SentenceReader[],
  { maxTokens = 2048, signal, onProgress }: ReadingOptions,
): AsyncGenerator<PackedBatch[]> {
  const total = readers[0].sentences.length
  if (readers.some(({ sentences }) => sentences.length !== total))
    throw new StrataError(
      'BAD_ARGUMENT',
      `${readers.map(({ sentences }) => sentences.length).join(' and ')} sentences came, as many for each encoder were expected`,
    )
  if (total === 0) throw new StrataError('BAD_DATA', 'there is no sentence to read; at least one was expected')
  for (let start = 0, end = 0; start < total; start = end) {
    if (signal?.aborted) throw new StrataError('ABORTED', `the analysis stopped after ${start} of ${total} sentences`)
    // The first is always taken; then no reader may go above the limit.
    const tokens = readers.map(() => 0)
    do {
      for (const [index, { sentences }] of readers.entries()) tokens[index] += sentences[end].tokenIds.length
      end++
    } while (
      end < total &&
      readers.every(({ sentences }, index) => tokens[index] + sentences[end].tokenIds.length <= maxTokens)
    )
    yield readers.map(({ sentences }) => packSequences(sentences.slice(start, end).map(({ tokenIds }) => tokenIds)))
    onProgress?.(end, total)
  }
}
