import { createHash } from 'node:crypto'
import { rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { parentPort, workerData } from 'node:worker_threads'
import { fileError, StrataError } from '../errors.js'
import {
  JOURNAL_FILE,
  leaveUnfinished,
  makeTemporary,
  publishFolder,
  removeUnfinished,
  syncDirectory,
  unfinishedFolders,
} from './cache-folder.js'
import { CorpusBuild, type CorpusBuildOptions, SEEN_FILE } from './corpus-build.js'
import {
  CORPUS_VERSION,
  type CorpusInput,
  type CorpusManifest,
  type CorpusStatistics,
  verifyCorpus,
  writeManifest,
} from './corpus-files.js'
import { partCount } from './corpus-parts.js'
import {
  type DocumentFormat,
  emptyReadStatistics,
  type ReadStatistics,
  readDocuments,
  type TextDocument,
} from './document-reader.js'
import { hashInputs, inputsKey, watchInputs } from './input-fingerprint.js'
import { isNormalized } from './text-normalization.js'

/** How far the preparation of a corpus is, a few times a second. */
export interface CorpusProgress {
  phase: 'hash' | 'verify' | 'build'
  /** Bytes of this phase; of the stored files, so of compressed ones where a file is compressed. */
  bytesDone: number
  bytesTotal: number
  documents: number
  tokens: number
}

export interface CorpusJob extends CorpusBuildOptions {
  inputs: readonly string[]
  cacheDirectory: string
  format: DocumentFormat
  textField: string
  invalidUtf8: 'error' | 'replace'
  rebuild: boolean
  /** One 32-bit word that the caller sets to 1 to stop the work. */
  stop: SharedArrayBuffer
}

export interface CorpusDone {
  kind: 'done'
  directory: string
  manifest: CorpusManifest
  reused: boolean
  /** Documents that were read by an earlier build, which was killed or stopped. */
  resumedDocuments: number
  warnings: string[]
}

export type CorpusMessage =
  | { kind: 'progress'; progress: CorpusProgress }
  | CorpusDone
  | { kind: 'failed'; code: string; message: string; details: Record<string, unknown> }

const PROGRESS_MILLISECONDS = 200

const job = workerData as CorpusJob
const port = parentPort!
const stopWord = new Int32Array(job.stop)
const warnings: string[] = []

const progress: CorpusProgress = { phase: 'hash', bytesDone: 0, bytesTotal: 0, documents: 0, tokens: 0 }
let reportedAt = 0

function report(now = false): void {
  const time = Date.now()
  if (!now && time - reportedAt < PROGRESS_MILLISECONDS) return
  reportedAt = time
  port.postMessage({ kind: 'progress', progress: { ...progress } } satisfies CorpusMessage)
}

function beginPhase(phase: CorpusProgress['phase'], bytesTotal: number): void {
  Object.assign(progress, { phase, bytesDone: 0, bytesTotal })
  report(true)
}

function addBytes(count: number): void {
  progress.bytesDone += count
  report()
}

function checkStopped(): void {
  if (Atomics.load(stopWord, 0) !== 0) {
    throw new StrataError('ABORTED', 'preparing the corpus was stopped; the same call goes on at the last whole part')
  }
}

async function main(): Promise<void> {
  try {
    port.postMessage(await openOrBuild())
  } catch (error) {
    const failure = error instanceof StrataError ? error : fileError(error, job.cacheDirectory, 'prepare the corpus')
    const { code, message, details } = failure
    port.postMessage({ kind: 'failed', code, message, details } satisfies CorpusMessage)
  }
}

async function openOrBuild(): Promise<CorpusMessage> {
  const checkUnchanged = watchInputs(job.inputs)
  beginPhase(
    'hash',
    job.inputs.reduce((sum, path) => sum + sizeOf(path), 0),
  )
  const inputs = await hashInputs(job.inputs, { onBytes: addBytes, stopped: checkStopped })
  const key = keyOf(inputs)
  const directory = join(job.cacheDirectory, key)
  const found = job.rebuild ? undefined : await verify(directory, key)
  if (typeof found === 'object') {
    return { kind: 'done', directory, manifest: found, reused: true, resumedDocuments: 0, warnings }
  }
  if (typeof found === 'string') warnings.push(`the cached corpus ${directory} is rebuilt: ${found}`)
  const temporary = makeTemporary(job.cacheDirectory, 'corpus')
  try {
    const { manifest, resumedDocuments } = await build(temporary, key, inputs, checkUnchanged)
    checkUnchanged()
    writeManifest(temporary, manifest)
    syncDirectory(temporary)
    const other = await publishFolder(temporary, directory, 'corpus', async (attempt) =>
      job.rebuild && attempt === 1 ? 'a rebuild was asked for' : verify(directory, key),
    )
    if (!other) for (const name of [JOURNAL_FILE, SEEN_FILE]) rmSync(join(directory, name), { force: true })
    return { kind: 'done', directory, manifest: other ?? manifest, reused: false, resumedDocuments, warnings }
  } catch (error) {
    // Other failures are of the text, which then becomes another corpus, or of the disk, which needs the room.
    if (error instanceof StrataError && error.code === 'ABORTED') leaveUnfinished(temporary)
    throw error
  } finally {
    rmSync(temporary, { recursive: true, force: true })
  }
}

/** Everything that decides the arrays. The files' names do not, except where they tell the format. */
function keyOf(inputs: readonly CorpusInput[]): string {
  const parts = {
    version: CORPUS_VERSION,
    // The sentence borders come from ICU's tables.
    icu: process.versions.icu,
    tokenizer: job.definition.fingerprint,
    format: job.format,
    textField: job.textField,
    invalidUtf8: job.invalidUtf8,
    ...preparationKey(),
    inputs: inputsKey(inputs),
  }
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 40)
}

/** Changes when the same parse would give other chunks. */
const CHUNK_VERSION = 3

/** Nothing where the text is taken as it is. */
function preparationKey(): Record<string, unknown> {
  const { normalize, chunks, maxTokensPerCharacter, dropDuplicates } = job
  const { lowercase = false, stripAccents = false, ascii = false } = normalize ?? {}
  return {
    ...(isNormalized(normalize) && { normalize: [lowercase, stripAccents, ascii] }),
    ...(maxTokensPerCharacter !== undefined && { maxTokensPerCharacter }),
    ...(dropDuplicates && { dropDuplicates }),
    ...(chunks && { chunks: [CHUNK_VERSION, chunks.unit, Object.entries(chunks.groups), chunks.longestSentence] }),
  }
}

async function verify(directory: string, key: string): Promise<CorpusManifest | string | undefined> {
  beginPhase('verify', 0)
  return verifyCorpus(directory, key, (count) => {
    checkStopped()
    addBytes(count)
  })
}

async function build(
  directory: string,
  key: string,
  inputs: CorpusInput[],
  checkUnchanged: () => void,
): Promise<{ manifest: CorpusManifest; resumedDocuments: number }> {
  beginPhase(
    'build',
    inputs.reduce((sum, input) => sum + input.bytes, 0),
  )
  const read = emptyReadStatistics()
  // A part of another text must not be found by this text's key.
  const corpus = new CorpusBuild(directory, key, job, { checkStopped, beforePart: checkUnchanged })
  const tell = (): void => {
    Object.assign(progress, { bytesDone: read.bytes, documents: corpus.documents, tokens: corpus.tokens })
    report()
  }
  try {
    if (!job.rebuild) goOn(corpus, key)
    const resumedDocuments = corpus.documentsRead
    for await (const document of documentsFrom(resumedDocuments, read)) {
      if (await corpus.add(document)) tell()
    }
    await corpus.flush()
    tell()
    report(true)
    if (corpus.documents === 0) {
      throw new StrataError('BAD_DATA', `${job.inputs.join(', ')}: ${nothingLeft(corpus.statistics)}`)
    }
    const arrays = await corpus.finish(read)
    const { definition } = job
    const manifest: CorpusManifest = {
      kind: 'stratabert-corpus',
      version: CORPUS_VERSION,
      key,
      tokenizerFingerprint: definition.fingerprint,
      specialTokens: definition.specialTokens,
      inputs,
      ...arrays,
    }
    return { manifest, resumedDocuments }
  } finally {
    corpus.close()
  }
}

/** Takes over what another build of the same corpus left, or has done so far: of several the one with the most parts. */
function goOn(corpus: CorpusBuild, key: string): void {
  const found = unfinishedFolders(job.cacheDirectory)
    .map((folder) => ({ folder, count: partCount(folder, key) }))
    .filter(({ count }) => count > 0)
    .sort((left, right) => right.count - left.count)
  if (found.length > 0) corpus.takeOver(found[0].folder)
  for (const { folder } of found) removeUnfinished(folder)
}

/** The job's documents behind the first so many, which are read all the same: they are counted, and documents have no known places. */
async function* documentsFrom(first: number, statistics: ReadStatistics): AsyncGenerator<TextDocument> {
  const { inputs, format, textField, invalidUtf8 } = job
  let passed = 0
  for await (const document of readDocuments({ inputs, format, textField, invalidUtf8, statistics })) {
    if (passed++ >= first) {
      yield document
      continue
    }
    checkStopped()
    progress.bytesDone = statistics.bytes
    report()
  }
}

/** Why no document is left. */
function nothingLeft({ duplicateDocuments = 0, incompressibleDocuments = 0 }: CorpusStatistics): string {
  if (incompressibleDocuments === 0) return 'no document has a token; text was expected'
  return `all documents were removed (${incompressibleDocuments} with ${job.maxTokensPerCharacter} tokens a character or more, ${duplicateDocuments} copies); raise maxTokensPerCharacter, or give other text`
}

function sizeOf(path: string): number {
  try {
    return statSync(path).size
  } catch (error) {
    throw fileError(error, path, 'read the text')
  }
}

void main()
