import { createHash, randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { hostname } from 'node:os'
import { basename, join } from 'node:path'
import { parentPort, workerData } from 'node:worker_threads'
import { fileError, StrataError } from '../errors.js'
import { splitSentences, type TokenizerDefinition, WordPieceEncoder } from '../text/index.js'
import {
  CORPUS_VERSION,
  type CorpusInput,
  type CorpusManifest,
  type CorpusStatistics,
  CorpusWriter,
  hashFile,
  verifyCorpus,
  writeManifest,
} from './corpus-files.js'
import { type DocumentFormat, emptyReadStatistics, readDocuments, type TextDocument } from './document-reader.js'
import { TOKEN_FLAGS } from './token-corpus.js'

export interface CorpusProgress {
  phase: 'hash' | 'verify' | 'build'
  /** Bytes of this phase; of the stored files, so of compressed ones where a file is compressed. */
  bytesDone: number
  bytesTotal: number
  documents: number
  tokens: number
}

export interface CorpusJob {
  inputs: readonly string[]
  definition: TokenizerDefinition
  cacheDirectory: string
  format: DocumentFormat
  textField: string
  invalidUtf8: 'error' | 'replace'
  rebuild: boolean
  /** One 32-bit word that the caller sets to 1 to stop the work. */
  stop: SharedArrayBuffer
}

export type CorpusMessage =
  | { kind: 'progress'; progress: CorpusProgress }
  | { kind: 'done'; directory: string; manifest: CorpusManifest; reused: boolean; warnings: string[] }
  | { kind: 'failed'; code: string; message: string; details: Record<string, unknown> }

const PROGRESS_MILLISECONDS = 200
/** How much text is split and encoded at once. */
const BATCH_CHARACTERS = 256 * 1024

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
    throw new StrataError('ABORTED', 'preparing the corpus was stopped; nothing of it was kept')
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
  const times = job.inputs.map(modificationOf)
  const inputs = await hashInputs()
  const key = keyOf(inputs)
  const directory = join(job.cacheDirectory, key)
  const found = job.rebuild ? undefined : await verify(directory, key)
  if (typeof found === 'object') return { kind: 'done', directory, manifest: found, reused: true, warnings }
  if (typeof found === 'string') warnings.push(`the cached corpus ${directory} is rebuilt: ${found}`)
  makeDirectory(job.cacheDirectory)
  removeLeftovers()
  const temporary = join(job.cacheDirectory, temporaryName())
  try {
    mkdirSync(temporary)
    const manifest = await build(temporary, key, inputs)
    job.inputs.forEach((path, index) => {
      if (modificationOf(path) !== times[index]) {
        throw new StrataError('BAD_DATA', `${path} changed while it was read; run again when nothing writes to it`, {
          details: { path },
        })
      }
    })
    writeManifest(temporary, manifest)
    syncDirectory(temporary)
    return { kind: 'done', directory, ...(await publish(temporary, directory, key, manifest)), warnings }
  } finally {
    rmSync(temporary, { recursive: true, force: true })
  }
}

async function hashInputs(): Promise<CorpusInput[]> {
  let total = 0
  for (const path of job.inputs) total += sizeOf(path)
  beginPhase('hash', total)
  const inputs: CorpusInput[] = []
  for (const path of job.inputs) {
    inputs.push({ name: basename(path), ...(await hashFile(path, { onBytes: addBytes, stopped: checkStopped })) })
  }
  return inputs
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
    inputs: inputs.map(({ name, sha256 }) => [sha256, /\.(?:jsonl|ndjson)(?:\.gz)?$/i.test(name)]),
  }
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 40)
}

async function verify(directory: string, key: string): Promise<CorpusManifest | string | undefined> {
  beginPhase('verify', 0)
  return verifyCorpus(directory, key, (count) => {
    checkStopped()
    addBytes(count)
  })
}

async function build(directory: string, key: string, inputs: CorpusInput[]): Promise<CorpusManifest> {
  const started = performance.now()
  const read = emptyReadStatistics()
  const statistics: CorpusStatistics = {
    ...read,
    sentences: 0,
    tokens: 0,
    words: 0,
    unknownTokens: 0,
    emptySentences: 0,
    tokenlessDocuments: 0,
    seconds: 0,
  }
  beginPhase(
    'build',
    inputs.reduce((sum, input) => sum + input.bytes, 0),
  )
  const encoder = new WordPieceEncoder(job.definition, 'plain')
  const writer = new CorpusWriter(directory)
  try {
    let batch: TextDocument[] = []
    let characters = 0
    const flush = async (): Promise<void> => {
      checkStopped()
      await encodeDocuments(batch, encoder, writer, statistics)
      batch = []
      characters = 0
      Object.assign(progress, { bytesDone: read.bytes, documents: writer.documents, tokens: writer.tokens })
      report()
    }
    const { format, textField, invalidUtf8 } = job
    for await (const document of readDocuments({
      inputs: job.inputs,
      format,
      textField,
      invalidUtf8,
      statistics: read,
    })) {
      batch.push(document)
      for (const paragraph of document.paragraphs) characters += paragraph.length
      if (characters >= BATCH_CHARACTERS) await flush()
    }
    await flush()
    report(true)
    if (writer.documents === 0) {
      throw new StrataError('BAD_DATA', `${job.inputs.join(', ')}: no document has a token; text was expected`)
    }
    const files = writer.finish()
    Object.assign(statistics, read, {
      documents: writer.documents,
      sentences: writer.sentences,
      tokens: writer.tokens,
      seconds: (performance.now() - started) / 1000,
    })
    return {
      kind: 'stratabert-corpus',
      version: CORPUS_VERSION,
      key,
      tokenizerFingerprint: job.definition.fingerprint,
      specialTokens: job.definition.specialTokens,
      inputs,
      statistics,
      files,
    }
  } finally {
    writer.close()
  }
}

async function encodeDocuments(
  documents: readonly TextDocument[],
  encoder: WordPieceEncoder,
  writer: CorpusWriter,
  statistics: CorpusStatistics,
): Promise<void> {
  const sentences: string[] = []
  const ends: number[] = []
  for (const { paragraphs } of documents) {
    for (const paragraph of paragraphs) for (const sentence of splitSentences(paragraph)) sentences.push(sentence)
    ends.push(sentences.length)
  }
  let document = 0
  for (let start = 0; start < sentences.length; ) {
    let stop = start
    for (let characters = 0; stop < sentences.length && characters < BATCH_CHARACTERS; stop++) {
      characters += sentences[stop].length
    }
    const { tokenIds, tokenFlags, offsets } = await encoder.encode(sentences.slice(start, stop))
    countTokens(tokenIds, tokenFlags, statistics)
    for (let sentence = start; sentence < stop; ) {
      const end = Math.min(stop, ends[document])
      const [from, to] = [offsets[sentence - start], offsets[end - start]]
      const lengths: number[] = []
      for (; sentence < end; sentence++) {
        const length = offsets[sentence + 1 - start] - offsets[sentence - start]
        if (length === 0) statistics.emptySentences++
        else lengths.push(length)
      }
      writer.addSentences(tokenIds.subarray(from, to), tokenFlags.subarray(from, to), lengths)
      if (sentence === ends[document]) {
        if (!writer.endDocument()) statistics.tokenlessDocuments++
        document++
      }
    }
    start = stop
    checkStopped()
  }
}

function countTokens(tokenIds: Int32Array, tokenFlags: Uint8Array, statistics: CorpusStatistics): void {
  const { unkId } = job.definition.specialTokens
  for (let index = 0; index < tokenIds.length; index++) {
    if (tokenIds[index] === unkId) statistics.unknownTokens++
    statistics.words += tokenFlags[index] & TOKEN_FLAGS.wordStart
  }
}

/** Moves the finished folder to its place. When another process was faster, its copy stays if it is whole. */
async function publish(
  temporary: string,
  directory: string,
  key: string,
  manifest: CorpusManifest,
): Promise<{ manifest: CorpusManifest; reused: boolean }> {
  for (let attempt = 1; ; attempt++) {
    try {
      renameSync(temporary, directory)
      syncDirectory(job.cacheDirectory)
      return { manifest, reused: false }
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (attempt === 5 || !['ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes(code ?? '')) {
        throw fileError(error, directory, 'put the corpus into the cache')
      }
    }
    const other = job.rebuild && attempt === 1 ? 'a rebuild was asked for' : await verify(directory, key)
    if (typeof other === 'object') return { manifest: other, reused: false }
    if (other === undefined) continue
    const aside = join(job.cacheDirectory, temporaryName())
    try {
      // A rename leaves maps of the old files intact.
      renameSync(directory, aside)
    } catch {
      continue
    }
    rmSync(aside, { recursive: true, force: true })
  }
}

const TEMPORARY = /^tmp-([0-9a-f]{8})-(\d+)-[0-9a-f]{12}$/
const HOST = createHash('sha256').update(hostname()).digest('hex').slice(0, 8)
const STALE_MILLISECONDS = 24 * 3600 * 1000

function temporaryName(): string {
  return `tmp-${HOST}-${process.pid}-${randomBytes(6).toString('hex')}`
}

/** Removes what killed processes left: of this host when the process is gone, of another one after a day. */
function removeLeftovers(): void {
  for (const name of readdirSync(job.cacheDirectory)) {
    const match = TEMPORARY.exec(name)
    if (match === null) continue
    const path = join(job.cacheDirectory, name)
    try {
      const stale =
        match[1] === HOST ? !isAlive(Number(match[2])) : Date.now() - statSync(path).mtimeMs > STALE_MILLISECONDS
      if (stale) rmSync(path, { recursive: true, force: true })
    } catch {
      // Another process was faster.
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true })
  } catch (error) {
    throw fileError(error, path, 'make the folder of the corpus cache')
  }
}

function syncDirectory(path: string): void {
  const descriptor = openSync(path, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

function sizeOf(path: string): number {
  try {
    return statSync(path).size
  } catch (error) {
    throw fileError(error, path, 'read the text')
  }
}

function modificationOf(path: string): string {
  try {
    const { mtimeMs, size, ino } = statSync(path)
    return `${mtimeMs} ${size} ${ino}`
  } catch (error) {
    throw fileError(error, path, 'read the text')
  }
}

void main()
