import { join, resolve } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { StrataError } from '../errors.js'
import { cacheDirectory as userCacheDirectory } from '../runtime/index.js'
import type { Tokenizer } from '../text/index.js'
import type { CorpusStatistics } from './corpus-files.js'
import { runWorkerJob } from './corpus-job.js'
import type { ChunkOptions } from './corpus-sentences.js'
import type { CorpusJob, CorpusMessage, CorpusProgress } from './corpus-worker.js'
import { checkFilters, type DocumentFilters } from './document-filter.js'
import type { DocumentFormat } from './document-reader.js'
import { reopenCorpus } from './reopen-corpus.js'
import type { TextNormalization } from './text-normalization.js'
import type { SpecialTokens, TokenCorpus } from './token-corpus.js'

/** Text, tokenizer and how the text is read; each of them changes the cache's key. */
export interface CorpusOptions extends DocumentFilters {
  /** Text files, see {@link DocumentFormat}. */
  inputs: readonly string[]
  tokenizer: Tokenizer
  /** Default `$XDG_CACHE_HOME/stratabert/corpora`. */
  cacheDirectory?: string
  /** Default `auto`. */
  format?: DocumentFormat
  /** The field of a JSON line that holds the text. Default `text`. */
  textField?: string
  /** Default `error`. */
  invalidUtf8?: 'error' | 'replace'
  /** Default: the text stays as it is. */
  normalize?: TextNormalization
  /** Adds the chunks of the parse, or of the lexicon where there is none, and their relations. */
  chunks?: ChunkOptions
  /** Build anew even if the cache has it. */
  rebuild?: boolean
  onProgress?: (progress: CorpusProgress) => void
  /** What the caller may want to tell the user, such as a damaged cache that is rebuilt. Default: process.emitWarning. */
  onWarning?: (message: string) => void
  signal?: AbortSignal
}

/** A corpus with where it came from; its arrays are memory-mapped. */
export interface OpenedCorpus extends TokenCorpus {
  /** Hash of the inputs' content, the tokenizer and the options. */
  readonly key: string
  /** True when it came from the cache. */
  readonly reused: boolean
  /** Documents that an earlier call had read, which was killed or stopped; 0 where there was none. */
  readonly resumedDocuments: number
  readonly statistics: CorpusStatistics
  readonly specialTokens: SpecialTokens
  readonly tokenizerFingerprint: string
}

/** `$XDG_CACHE_HOME/stratabert/corpora`, or its like on this platform. */
export function defaultCorpusDirectory(): string {
  const cache = userCacheDirectory()
  if (cache === null) {
    throw new StrataError('NOT_FOUND', 'there is neither XDG_CACHE_HOME nor a home folder; give cacheDirectory')
  }
  return join(cache, 'corpora')
}

/**
 * Reads, splits and tokenises text once and opens the result memory-mapped; the next time it comes from the cache. The work
 * is done in a worker thread in bounded memory. A cached corpus is used only when every byte of it has the recorded hash,
 * else it is rebuilt with a warning. Special tokens written in the text stay plain text.
 *
 * A call that was killed, or stopped by `signal`, leaves what is whole of its work in the cache for 7 days. The same call then takes that
 * over, part by part (some 32 million characters each) and only with the recorded hashes, and gives the arrays of a call that was not
 * interrupted; the text up to there is read, not tokenised. Another text, tokenizer or option takes nothing of it.
 *
 * Throws NOT_FOUND, BAD_FILE, BAD_DATA (each naming the file and, where there is one, the line), DISK_FULL, READ_ONLY (these leave
 * nothing behind), and ABORTED after `signal`.
 */
export async function openCorpus(options: CorpusOptions): Promise<OpenedCorpus> {
  const { tokenizer, onProgress, signal } = options
  if (!Array.isArray(options.inputs) || options.inputs.length === 0) {
    throw new StrataError('BAD_ARGUMENT', 'no input file was given; at least one text file was expected')
  }
  checkFilters(options)
  const job: CorpusJob = {
    inputs: options.inputs.map((path) => resolve(path)),
    definition: tokenizer.definition,
    cacheDirectory: resolve(options.cacheDirectory ?? defaultCorpusDirectory()),
    format: options.format ?? 'auto',
    textField: options.textField ?? 'text',
    invalidUtf8: options.invalidUtf8 ?? 'error',
    normalize: options.normalize,
    chunks: options.chunks,
    maxTokensPerCharacter: options.maxTokensPerCharacter,
    dropDuplicates: options.dropDuplicates,
    rebuild: options.rebuild ?? false,
    stop: new SharedArrayBuffer(4),
  }
  const { directory, manifest, reused, resumedDocuments, warnings } = await runWorkerJob<
    Extract<CorpusMessage, { kind: 'done' }>,
    CorpusProgress
  >('corpus-worker', job, 'prepare the corpus', { onProgress, signal })
  for (const warning of warnings) (options.onWarning ?? ((text) => process.emitWarning(text)))(warning)
  const { key, statistics, specialTokens, tokenizerFingerprint } = manifest
  const origin = { key, reused, resumedDocuments, statistics, specialTokens, tokenizerFingerprint }
  return { ...(await mapCorpus(directory)), ...origin }
}

const MAP_ATTEMPTS = 20
const MAP_PAUSE_MILLISECONDS = 50

/** Another process that rebuilds the same corpus takes the folder away for a moment: tried again until it is back. */
async function mapCorpus(directory: string): Promise<TokenCorpus> {
  for (let attempt = 1; ; attempt++) {
    try {
      return reopenCorpus(directory)
    } catch (error) {
      if (attempt === MAP_ATTEMPTS || !(error instanceof StrataError) || error.code !== 'NOT_FOUND') throw error
      await setTimeout(MAP_PAUSE_MILLISECONDS)
    }
  }
}
