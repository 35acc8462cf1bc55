import { parentPort, workerData } from 'node:worker_threads'
import { StrataError } from '../errors.js'
import { learnVocabulary, WordCounter } from '../text/index.js'
import { type DocumentFormat, emptyReadStatistics, type ReadStatistics, readDocuments } from './document-reader.js'
import { hashInputs, inputsKey, watchInputs } from './input-fingerprint.js'
import { normalizeText, type TextNormalization } from './text-normalization.js'
import { type LearnedVocabulary, readVocabulary, storeVocabulary, vocabularyFile } from './vocabulary-cache.js'

export interface TokenizerTrainingProgress {
  phase: 'hash' | 'count' | 'learn'
  bytesDone: number
  documents: number
  /** Tokens of the vocabulary so far. */
  learned: number
}

export interface TokenizerTrainingStatistics extends ReadStatistics {
  /** Different words. */
  uniqueWords: number
  /** Rare pieces of text that were left out to bound memory; 0 below some 100 MB of text. */
  droppedChunks: number
  vocabSize: number
}

export interface TokenizerTrainingJob {
  inputs: readonly string[]
  vocabSize: number
  lowercase: boolean
  minFrequency: number | undefined
  alphabetSize: number | undefined
  format: DocumentFormat
  textField: string
  invalidUtf8: 'error' | 'replace'
  normalize?: TextNormalization
  cacheDirectory?: string
  /** One 32-bit word that the caller sets to 1 to stop the work. */
  stop: SharedArrayBuffer
}

export type TokenizerTrainingMessage =
  | { kind: 'progress'; progress: TokenizerTrainingProgress }
  | { kind: 'done'; tokens: string[]; statistics: TokenizerTrainingStatistics }
  | { kind: 'failed'; code: string; message: string; details: Record<string, unknown> }

const PROGRESS_MILLISECONDS = 200

const job = workerData as TokenizerTrainingJob
const port = parentPort!
const stopWord = new Int32Array(job.stop)
const progress: TokenizerTrainingProgress = { phase: 'count', bytesDone: 0, documents: 0, learned: 0 }
let reportedAt = 0

function report(now = false): void {
  if (Atomics.load(stopWord, 0) !== 0) throw new StrataError('ABORTED', 'training the tokenizer was stopped')
  const time = Date.now()
  if (!now && time - reportedAt < PROGRESS_MILLISECONDS) return
  reportedAt = time
  port.postMessage({ kind: 'progress', progress: { ...progress } } satisfies TokenizerTrainingMessage)
}

async function learnOnce(): Promise<TokenizerTrainingMessage> {
  const { cacheDirectory, inputs, stop: _, normalize, ...options } = job
  if (cacheDirectory === undefined) return { kind: 'done', ...(await learn()) }
  const checkUnchanged = watchInputs(inputs)
  progress.phase = 'hash'
  const onBytes = (count: number): void => {
    progress.bytesDone += count
    report()
  }
  const { lowercase = false, stripAccents = false, ascii = false } = normalize ?? {}
  const decides = {
    ...options,
    normalize: [lowercase, stripAccents, ascii],
    inputs: inputsKey(await hashInputs(inputs, { onBytes })),
  }
  const file = vocabularyFile(cacheDirectory, decides)
  const known = readVocabulary(file)
  if (known) return { kind: 'done', ...known }
  Object.assign(progress, { phase: 'count', bytesDone: 0 })
  const learned = await learn()
  checkUnchanged()
  await storeVocabulary(file, learned)
  return { kind: 'done', ...learned }
}

async function learn(): Promise<LearnedVocabulary> {
  const read = emptyReadStatistics()
  const counter = new WordCounter({ lowercase: job.lowercase })
  const { inputs, format, textField, invalidUtf8, normalize } = job
  for await (const { paragraphs } of readDocuments({ inputs, format, textField, invalidUtf8, statistics: read })) {
    for (const paragraph of paragraphs) counter.add(normalize ? normalizeText(paragraph, normalize) : paragraph)
    Object.assign(progress, { bytesDone: read.bytes, documents: read.documents })
    report()
  }
  progress.phase = 'learn'
  report(true)
  const words = counter.words()
  const tokens = learnVocabulary(words, {
    vocabSize: job.vocabSize,
    minFrequency: job.minFrequency,
    alphabetSize: job.alphabetSize,
    onProgress: (learned) => {
      progress.learned = learned
      report()
    },
  })
  const { droppedChunks } = counter
  const statistics = { ...read, uniqueWords: words.size, droppedChunks, vocabSize: tokens.length }
  return { tokens, statistics }
}

learnOnce().then(
  (message) => port.postMessage(message),
  (error) => {
    const failure =
      error instanceof StrataError
        ? error
        : new StrataError('IO_ERROR', `training the tokenizer failed: ${(error as Error).message}`)
    const { code, message, details } = failure
    port.postMessage({ kind: 'failed', code, message, details } satisfies TokenizerTrainingMessage)
  },
)
