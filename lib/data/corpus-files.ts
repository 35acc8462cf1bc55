import { createHash } from 'node:crypto'
import { closeSync, createReadStream, fsyncSync, openSync, readFileSync, statSync, writeSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileError, StrataError } from '../errors.js'
import { ArrayWriter } from './array-writer.js'
import type { ChunkColumns } from './chunk-columns.js'
import type { RemovedDocuments } from './document-filter.js'
import type { ReadStatistics } from './document-reader.js'
import type { SpecialTokens } from './token-corpus.js'

/** The arrays of a corpus on disk, little-endian; see TokenCorpus for their shapes. */
export const CORPUS_FILES = {
  tokenIds: 'token-ids.i32',
  tokenFlags: 'token-flags.u8',
  sentenceOffsets: 'sentence-offsets.u32',
  documentOffsets: 'document-offsets.u32',
} as const

/** Further arrays of a corpus with chunks. */
const CHUNK_FILES = {
  chunkIds: 'chunk-ids.i32',
  chunkOffsets: 'chunk-offsets.u32',
  chunkKinds: 'chunk-kinds.u8',
  chunkTargets: 'chunk-targets.i32',
} as const

type BaseArray = keyof typeof CORPUS_FILES
type ChunkArray = keyof typeof CHUNK_FILES
export type CorpusArray = BaseArray | ChunkArray

export const MANIFEST_FILE = 'manifest.json'
/** Changes when the same text would give other arrays: the layout, the readers, the sentence and word splitters, the flags. */
export const CORPUS_VERSION = 2

/** What a corpus holds, and what was skipped or changed on the way there. */
export interface CorpusStatistics extends ReadStatistics, RemovedDocuments {
  sentences: number
  tokens: number
  words: number
  /** Tokens that are [UNK]. */
  unknownTokens: number
  /** Sentences that had no token (control characters only): skipped. */
  emptySentences: number
  /** Documents without one token: skipped, not counted in `documents`. */
  tokenlessDocuments: number
  /** Of a corpus with chunks: C, sentences cut between chunks, and sentences whose chunks come from the lexicon. */
  chunks?: number
  cutSentences?: number
  unparsedSentences?: number
  /** Sentences of which some words have no head: chunks that hang on them have no target. */
  partlyParsedSentences?: number
  /** By relation the chunks that stand in it, and how often each label of the parses comes (of the first 200 labels). */
  relatedChunks?: Record<string, number>
  parseLabels?: Record<string, number>
  /** Wall-clock seconds of building. */
  seconds: number
}

export interface CorpusInput {
  name: string
  bytes: number
  sha256: string
}

export interface CorpusManifest {
  kind: 'stratabert-corpus'
  version: number
  key: string
  tokenizerFingerprint: string
  specialTokens: SpecialTokens
  inputs: CorpusInput[]
  statistics: CorpusStatistics
  /** Names of the relations whose targets the chunks have. */
  relations?: string[]
  files: Record<BaseArray, StoredArray> & Partial<Record<ChunkArray, StoredArray>>
}

export interface StoredArray {
  bytes: number
  sha256: string
}

/** Names of the files of a corpus, by array. */
export function corpusFiles({ relations }: Pick<CorpusManifest, 'relations'>): Partial<Record<CorpusArray, string>> {
  return relations ? { ...CORPUS_FILES, ...CHUNK_FILES } : CORPUS_FILES
}

/** What the arrays of a corpus hold. */
export interface CorpusCounts {
  tokens: number
  sentences: number
  documents: number
  chunks: number
}

/** Offsets are 32 bits wide. */
const MOST_TOKENS = 2 ** 32 - 1

/** Writes the arrays of a corpus into an existing folder, document by document. */
export class CorpusWriter {
  readonly #writers: Record<BaseArray, ArrayWriter>
  readonly #chunkWriters?: Record<ChunkArray, ArrayWriter>
  #documentStart = 0
  tokens = 0
  sentences = 0
  documents = 0
  chunks = 0

  /** `chunks`: the corpus has chunks, every part of a document must bring its own. */
  constructor(
    readonly directory: string,
    { chunks = false } = {},
  ) {
    const writers = <Name extends string>(files: Record<Name, string>) =>
      Object.fromEntries(
        Object.entries<string>(files).map(([name, file]) => [name, new ArrayWriter(join(directory, file))]),
      ) as Record<Name, ArrayWriter>
    this.#writers = writers(CORPUS_FILES)
    if (chunks) {
      this.#chunkWriters = writers(CHUNK_FILES)
      this.#chunkWriters.chunkOffsets.append(Uint32Array.of(0))
    }
    this.#writers.sentenceOffsets.append(Uint32Array.of(0))
    this.#writers.documentOffsets.append(Uint32Array.of(0))
  }

  /** Adds whole sentences to the current document: their tokens, and each one's length in tokens (none is 0). */
  addSentences(
    tokenIds: Int32Array,
    tokenFlags: Uint8Array,
    sentenceLengths: readonly number[],
    chunks?: ChunkColumns,
  ): void {
    if (this.tokens + tokenIds.length > MOST_TOKENS) {
      throw new StrataError(
        'UNSUPPORTED',
        `the corpus has more than ${MOST_TOKENS} tokens; split the text into several corpora`,
      )
    }
    const ends = new Uint32Array(sentenceLengths.length)
    sentenceLengths.forEach((length, index) => {
      this.tokens += length
      ends[index] = this.tokens
    })
    this.sentences += sentenceLengths.length
    this.#writers.tokenIds.append(tokenIds)
    this.#writers.tokenFlags.append(tokenFlags)
    this.#writers.sentenceOffsets.append(ends)
    if (this.#chunkWriters && chunks) this.#addChunks(this.#chunkWriters, chunks)
  }

  #addChunks(writers: Record<ChunkArray, ArrayWriter>, { ids, counts, kinds, targets }: ChunkColumns): void {
    const ends = Uint32Array.from(counts, (count) => {
      this.chunks += count
      return this.chunks
    })
    writers.chunkIds.append(ids)
    writers.chunkOffsets.append(ends)
    writers.chunkKinds.append(kinds)
    writers.chunkTargets.append(targets)
  }

  /** Ends the current document; false when it had no sentence and so is none. */
  endDocument(): boolean {
    if (this.sentences === this.#documentStart) return false
    this.#documentStart = this.sentences
    this.documents++
    this.#writers.documentOffsets.append(Uint32Array.of(this.sentences))
    return true
  }

  /** The writers of all arrays by their files' names. */
  get writers(): Map<string, ArrayWriter> {
    const all: ArrayWriter[] = Object.values({ ...this.#writers, ...this.#chunkWriters })
    return new Map(all.map((writer) => [basename(writer.path), writer]))
  }

  /** Counts of what was written. */
  get counts(): CorpusCounts {
    const { tokens, sentences, documents, chunks } = this
    return { tokens, sentences, documents, chunks }
  }

  /** Goes on behind arrays that were appended to the {@link writers} as they are, whole documents with these counts. */
  restore(counts: CorpusCounts): void {
    Object.assign(this, counts)
    this.#documentStart = this.sentences
  }

  async finish(): Promise<CorpusManifest['files']> {
    const files: Partial<CorpusManifest['files']> = {}
    const writers = { ...this.#writers, ...this.#chunkWriters }
    for (const [name, writer] of Object.entries(writers)) files[name as CorpusArray] = await writer.finish()
    return files as CorpusManifest['files']
  }

  /** Closes what finish() has not closed. */
  close(): void {
    for (const writer of Object.values({ ...this.#writers, ...this.#chunkWriters })) writer.close()
  }
}

/** Writes and flushes the manifest: the last file of a corpus, or of another folder of the cache. */
export function writeManifest(directory: string, manifest: object): void {
  const descriptor = openSync(join(directory, MANIFEST_FILE), 'wx')
  try {
    writeSync(descriptor, `${JSON.stringify(manifest, null, 2)}\n`)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/**
 * Reads a corpus's manifest and checks every array's size and hash. Returns what is wrong as a sentence instead of the
 * manifest; undefined when the folder does not exist.
 */
export async function verifyCorpus(
  directory: string,
  key: string,
  onBytes: (count: number) => void,
): Promise<CorpusManifest | string | undefined> {
  let text: string
  try {
    if (!statSync(directory).isDirectory()) return `${directory} is no folder`
  } catch {
    return undefined
  }
  try {
    text = readFileSync(join(directory, MANIFEST_FILE), 'utf8')
  } catch (error) {
    return `its manifest cannot be read (${(error as NodeJS.ErrnoException).code})`
  }
  let manifest: CorpusManifest
  try {
    manifest = JSON.parse(text) as CorpusManifest
    if (manifest.kind !== 'stratabert-corpus' || manifest.version !== CORPUS_VERSION || manifest.key !== key) {
      return 'its manifest is of another corpus or version'
    }
    const { tokens, sentences, documents, chunks = 0 } = manifest.statistics
    const expected: Partial<Record<CorpusArray, number>> = {
      tokenIds: 4 * tokens,
      tokenFlags: tokens,
      sentenceOffsets: 4 * (sentences + 1),
      documentOffsets: 4 * (documents + 1),
    }
    if (manifest.relations) {
      Object.assign(expected, {
        chunkIds: 4 * tokens,
        chunkOffsets: 4 * (sentences + 1),
        chunkKinds: chunks,
        chunkTargets: 4 * chunks * manifest.relations.length,
      })
    }
    for (const [name, bytes] of Object.entries(expected)) {
      if (manifest.files[name as CorpusArray]?.bytes !== bytes) return `its manifest contradicts itself about ${name}`
    }
  } catch (error) {
    return `its manifest is damaged (${(error as Error).message})`
  }
  for (const [name, file] of Object.entries(corpusFiles(manifest))) {
    const { bytes, sha256 } = manifest.files[name as CorpusArray]!
    const path = join(directory, file)
    try {
      const { size } = statSync(path)
      if (size !== bytes) return `${file} has ${size} bytes instead of ${bytes}`
      if ((await hashFile(path, { onBytes })).sha256 !== sha256) return `the content of ${file} has changed`
    } catch (error) {
      return `${file} cannot be read (${(error as Error).message})`
    }
  }
  return manifest
}

const READ_BYTES = 4 * 1024 * 1024

/** SHA-256 of a file's content. `stopped` is asked between blocks. */
export async function hashFile(
  path: string,
  options: { onBytes?: (count: number) => void; stopped?: () => void } = {},
): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash('sha256')
  let bytes = 0
  try {
    const file = await open(path)
    try {
      if (!(await file.stat()).isFile()) {
        throw new StrataError('BAD_FILE', `${path} is no regular file; a text file was expected (it is read twice)`, {
          details: { path },
        })
      }
    } finally {
      await file.close()
    }
    for await (const chunk of createReadStream(path, { highWaterMark: READ_BYTES })) {
      hash.update(chunk)
      bytes += chunk.length
      options.onBytes?.(chunk.length)
      options.stopped?.()
    }
  } catch (error) {
    throw fileError(error, path, 'read the text')
  }
  return { bytes, sha256: hash.digest('hex') }
}
