import { mkdir } from 'node:fs/promises'
import { resolve } from 'node:path'
import { fileError, StrataError } from '../errors.js'
import { Tokenizer } from '../text/index.js'
import { runWorkerJob } from './corpus-job.js'
import type {
  TokenizerTrainingJob,
  TokenizerTrainingMessage,
  TokenizerTrainingProgress,
  TokenizerTrainingStatistics,
} from './corpus-tokenizer-worker.js'
import type { DocumentFormat } from './document-reader.js'
import { isNormalized, type TextNormalization } from './text-normalization.js'

/** Text and size of a vocabulary. */
export interface TokenizerTrainingOptions {
  /** Text files, see {@link DocumentFormat}. */
  inputs: readonly string[]
  /** Number of tokens, the five special tokens included. A small text gives fewer. */
  vocabSize: number
  /** Folder to write Hugging Face's tokenizer files to; made if it is missing. Default: nothing is written. */
  output?: string
  /** Lower-case the text and strip accents. Default true. */
  lowercase?: boolean
  /** Pairs of pieces that come more rarely are never merged. Default 2. */
  minFrequency?: number
  /** How many different characters are kept. Default: an eighth of vocabSize, at most 1,000. */
  alphabetSize?: number
  format?: DocumentFormat
  textField?: string
  invalidUtf8?: 'error' | 'replace'
  /** Default: the text stays as it is. */
  normalize?: TextNormalization
  /** Where a vocabulary of the same text and options is looked for, and put once it is learned. Default: it is learned each time. */
  cacheDirectory?: string
  onProgress?: (progress: TokenizerTrainingProgress) => void
  signal?: AbortSignal
}

/** Room for the words and their pairs; a bound, which text of some 50 MB does not come near. */
const HEAP_MEGABYTES = 1024

/**
 * Learns a WordPiece tokenizer from raw text, in a worker thread. The same text and options give the same vocabulary.
 * Throws BAD_ARGUMENT (the first checks), what readDocuments throws, ABORTED, and file errors of the output.
 */
export async function trainTokenizer(
  options: TokenizerTrainingOptions,
): Promise<{ tokenizer: Tokenizer; statistics: TokenizerTrainingStatistics }> {
  const { vocabSize, output, lowercase = true, onProgress, signal } = options
  if (!Number.isInteger(vocabSize) || vocabSize < 32 || vocabSize > 1_000_000) {
    throw new StrataError('BAD_ARGUMENT', `vocabSize is ${vocabSize}; an integer from 32 to 1000000 was expected`)
  }
  if (!Array.isArray(options.inputs) || options.inputs.length === 0) {
    throw new StrataError('BAD_ARGUMENT', 'no input file was given; at least one text file was expected')
  }
  const job: TokenizerTrainingJob = {
    inputs: options.inputs.map((path) => resolve(path)),
    vocabSize,
    lowercase,
    minFrequency: options.minFrequency,
    alphabetSize: options.alphabetSize,
    format: options.format ?? 'auto',
    textField: options.textField ?? 'text',
    invalidUtf8: options.invalidUtf8 ?? 'error',
    normalize: isNormalized(options.normalize) ? options.normalize : undefined,
    cacheDirectory: options.cacheDirectory === undefined ? undefined : resolve(options.cacheDirectory),
    stop: new SharedArrayBuffer(4),
  }
  const { tokens, statistics } = await runWorkerJob<
    Extract<TokenizerTrainingMessage, { kind: 'done' }>,
    TokenizerTrainingProgress
  >('corpus-tokenizer-worker', job, 'train the tokenizer', { onProgress, signal, heapMegabytes: HEAP_MEGABYTES })
  const tokenizer = Tokenizer.fromVocabulary(tokens, { lowercase, source: output ?? 'the trained vocabulary' })
  if (output !== undefined) {
    await mkdir(output, { recursive: true }).catch((error) => {
      throw fileError(error, output, 'save the tokenizer')
    })
    await tokenizer.save(output)
  }
  return { tokenizer, statistics }
}
