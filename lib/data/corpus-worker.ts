import { createHash } from 'node:crypto'
import { rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { parentPort, workerData } from 'node:worker_threads'
import { fileError, StrataError } from '../errors.js'
import { type TokenizerDefinition, WordPieceEncoder } from '../text/index.js'
import { ArrayWriter } from './array-writer.js'
import {
  JOURNAL_FILE,
  leaveUnfinished,
  makeTemporary,
  publishFolder,
  removeUnfinished,
  syncDirectory,
  unfinishedFolders,
} from './cache-folder.js'
import { type ChunkColumns, ChunkColumnsBuilder } from './chunk-columns.js'
import {
  CORPUS_VERSION,
  type CorpusInput,
  type CorpusManifest,
  type CorpusStatistics,
  CorpusWriter,
  verifyCorpus,
  writeManifest,
} from './corpus-files.js'
import { type CorpusPart, CorpusParts, partCount } from './corpus-parts.js'
import { type ChunkOptions, type CorpusDocument, corpusDocument } from './corpus-sentences.js'
import type { DocumentFilters } from './document-filter.js'
import {
  type DocumentFormat,
  emptyReadStatistics,
  type ReadStatistics,
  readDocuments,
  type TextDocument,
} from './document-reader.js'
import { FilteringWriter } from './filtering-writer.js'
import { hashInputs, inputsKey, watchInputs } from './input-fingerprint.js'
import { isNormalized, type TextNormalization } from './text-normalization.js'
import { TextSet } from './text-set.js'
import { TOKEN_FLAGS } from './token-corpus.js'

/** How far the preparation of a corpus is, a few times a second. */
export interface CorpusProgress {
  phase: 'hash' | 'verify' | 'build'
  /** Bytes of this phase; of the stored files, so of compressed ones where a file is compressed. */
  bytesDone: number
  bytesTotal: number
  documents: number
  tokens: number
}

export interface CorpusJob extends DocumentFilters {
  inputs: readonly string[]
  definition: TokenizerDefinition
  cacheDirectory: string
  format: DocumentFormat
  textField: string
  invalidUtf8: 'error' | 'replace'
  normalize?: TextNormalization
  chunks?: ChunkOptions
  rebuild: boolean
  /** A build that was killed goes on at the end of such a part. Default {@link PART_CHARACTERS}. */
  partCharacters?: number
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
/** How much text is split and encoded at once. */
const BATCH_CHARACTERS = 256 * 1024
/** Some seconds of work. */
const PART_CHARACTERS = 32 * 1024 * 1024
/** Of an unfinished corpus without copies: what tells the texts that came before. */
const SEEN_FILE = 'seen-texts.u64'

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
const CHUNK_VERSION = 1

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
  const relations = job.chunks && Object.keys(job.chunks.groups)
  const encoder = new WordPieceEncoder(job.definition, 'plain', { placed: relations !== undefined })
  const chunks = job.chunks && new ChunkColumnsBuilder(relations!.length, job.chunks.longestSentence)
  const writer = new CorpusWriter(directory, { chunks: chunks !== undefined })
  const kept = new FilteringWriter(writer, job.maxTokensPerCharacter, statistics, (ids, flags) =>
    countTokens(ids, flags, statistics),
  )
  const seen = job.dropDuplicates ? new TextSet() : undefined
  const seenWriter = seen && new ArrayWriter(join(directory, SEEN_FILE))
  if (seen) Object.assign(statistics, { duplicateDocuments: 0, duplicateCharacters: 0 })
  const files = writer.writers
  if (seenWriter) files.set(SEEN_FILE, seenWriter)
  const parts = new CorpusParts(directory, key, files)
  try {
    const past = job.rebuild ? undefined : goOn(parts, key)
    if (past) {
      writer.restore(past.counts)
      Object.assign(statistics, past.statistics)
      if (chunks) {
        const { cutSentences = 0, unparsedSentences = 0 } = past.statistics
        Object.assign(chunks, { cutSentences, unparsedSentences })
      }
      if (seenWriter) seen.restore(seenWriter.path)
    }
    const resumedDocuments = past?.documentsRead ?? 0
    let documentsRead = resumedDocuments
    let batch: TextDocument[] = []
    let characters = 0
    let partCharacters = 0
    const fullPart = job.partCharacters ?? PART_CHARACTERS
    const facts = () => ({
      ...(chunks && { cutSentences: chunks.cutSentences, unparsedSentences: chunks.unparsedSentences }),
      seconds: (performance.now() - started) / 1000 + (past?.statistics.seconds ?? 0),
    })
    const flush = async (): Promise<void> => {
      checkStopped()
      await encodeDocuments(preparedDocuments(batch, seen, statistics), encoder, kept, statistics, chunks)
      partCharacters += characters
      batch = []
      characters = 0
      if (partCharacters >= fullPart) {
        // A part of another text must not be found by this text's key.
        checkUnchanged()
        if (seenWriter) seenWriter.append(seen.takeFresh())
        parts.end({ documentsRead, counts: writer.counts, statistics: { ...statistics, ...facts() } })
        partCharacters = 0
      }
      Object.assign(progress, { bytesDone: read.bytes, documents: writer.documents, tokens: writer.tokens })
      report()
    }
    for await (const document of documentsFrom(resumedDocuments, read)) {
      documentsRead++
      batch.push(document)
      for (const paragraph of document.paragraphs) characters += paragraph.length
      if (characters >= Math.min(BATCH_CHARACTERS, fullPart)) await flush()
    }
    await flush()
    report(true)
    if (writer.documents === 0) {
      throw new StrataError('BAD_DATA', `${job.inputs.join(', ')}: ${nothingLeft(statistics)}`)
    }
    const stored = await writer.finish()
    Object.assign(statistics, read, {
      documents: writer.documents,
      sentences: writer.sentences,
      tokens: writer.tokens,
      ...(chunks && { chunks: writer.chunks }),
      ...facts(),
    })
    const manifest: CorpusManifest = {
      kind: 'stratabert-corpus',
      version: CORPUS_VERSION,
      key,
      tokenizerFingerprint: job.definition.fingerprint,
      specialTokens: job.definition.specialTokens,
      inputs,
      statistics,
      ...(relations && { relations }),
      files: stored,
    }
    return { manifest, resumedDocuments }
  } finally {
    writer.close()
    seenWriter?.close()
  }
}

/** Takes over what another build of the same corpus left, or has done so far: of several the one with the most parts. */
function goOn(parts: CorpusParts, key: string): CorpusPart | undefined {
  const found = unfinishedFolders(job.cacheDirectory)
    .map((folder) => ({ folder, count: partCount(folder, key) }))
    .filter(({ count }) => count > 0)
    .sort((left, right) => right.count - left.count)
  const past = found.length > 0 ? parts.takeOver(found[0].folder, checkStopped) : undefined
  for (const { folder } of found) removeUnfinished(folder)
  return past
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

/** Documents in sentences, normalised, without the copies. */
function preparedDocuments(
  documents: readonly TextDocument[],
  seen: TextSet | undefined,
  statistics: CorpusStatistics,
): CorpusDocument[] {
  return documents
    .map((document) => corpusDocument(document, job.normalize, job.chunks))
    .filter(({ sentences, characters }) => {
      if (!seen || seen.add(sentences.map(({ text }) => text).join('\n'))) return true
      statistics.duplicateDocuments!++
      statistics.duplicateCharacters! += characters
      return false
    })
}

async function encodeDocuments(
  documents: readonly CorpusDocument[],
  encoder: WordPieceEncoder,
  kept: FilteringWriter,
  statistics: CorpusStatistics,
  chunks: ChunkColumnsBuilder | undefined,
): Promise<void> {
  const sentences = documents.flatMap((document) => document.sentences)
  const ends: number[] = []
  for (const document of documents) ends.push((ends.at(-1) ?? 0) + document.sentences.length)
  let document = 0
  for (let start = 0; start < sentences.length; ) {
    let stop = start
    for (let characters = 0; stop < sentences.length && characters < BATCH_CHARACTERS; stop++) {
      characters += sentences[stop].text.length
    }
    const texts = sentences.slice(start, stop).map(({ text }) => text)
    const placed = chunks && (await encoder.encodePlaced(texts))
    const { tokenIds, tokenFlags, offsets } = placed ?? (await encoder.encode(texts))
    for (let sentence = start; sentence < stop; ) {
      const end = Math.min(stop, ends[document])
      const [from, to] = [offsets[sentence - start], offsets[end - start]]
      const lengths: number[] = []
      for (; sentence < end; sentence++) {
        const [first, last] = [offsets[sentence - start], offsets[sentence + 1 - start]]
        if (last === first) statistics.emptySentences++
        else if (!placed) lengths.push(last - first)
        else {
          const pieces = { starts: placed.starts.subarray(first, last), ends: placed.ends.subarray(first, last) }
          lengths.push(...chunks.add(sentences[sentence], pieces))
        }
      }
      const columns: ChunkColumns | undefined = chunks?.take()
      kept.add(tokenIds.subarray(from, to), tokenFlags.subarray(from, to), lengths, columns)
      if (sentence === ends[document]) {
        if (!kept.end(documents[document].characters)) statistics.tokenlessDocuments++
        document++
      }
    }
    start = stop
    checkStopped()
  }
}

/** Why no document is left. */
function nothingLeft({ duplicateDocuments = 0, incompressibleDocuments = 0 }: CorpusStatistics): string {
  if (incompressibleDocuments === 0) return 'no document has a token; text was expected'
  return `all documents were removed (${incompressibleDocuments} with ${job.maxTokensPerCharacter} tokens a character or more, ${duplicateDocuments} copies); raise maxTokensPerCharacter, or give other text`
}

function countTokens(tokenIds: Int32Array, tokenFlags: Uint8Array, statistics: CorpusStatistics): void {
  const { unkId } = job.definition.specialTokens
  for (let index = 0; index < tokenIds.length; index++) {
    if (tokenIds[index] === unkId) statistics.unknownTokens++
    statistics.words += tokenFlags[index] & TOKEN_FLAGS.wordStart
  }
}

function sizeOf(path: string): number {
  try {
    return statSync(path).size
  } catch (error) {
    throw fileError(error, path, 'read the text')
  }
}

void main()
