import { join } from 'node:path'
import { type TokenizerDefinition, WordPieceEncoder } from '../text/index.js'
import { ArrayWriter } from './array-writer.js'
import { type ChunkColumns, ChunkColumnsBuilder } from './chunk-columns.js'
import { type CorpusManifest, type CorpusStatistics, CorpusWriter } from './corpus-files.js'
import { CorpusParts } from './corpus-parts.js'
import { type ChunkOptions, type CorpusDocument, corpusDocument } from './corpus-sentences.js'
import type { DocumentFilters } from './document-filter.js'
import { emptyReadStatistics, type ReadStatistics, type TextDocument } from './document-reader.js'
import { FilteringWriter } from './filtering-writer.js'
import type { TextNormalization } from './text-normalization.js'
import { TextSet } from './text-set.js'
import { TOKEN_FLAGS } from './token-corpus.js'

/** What becomes of the documents. */
export interface CorpusBuildOptions extends DocumentFilters {
  definition: TokenizerDefinition
  normalize?: TextNormalization
  chunks?: ChunkOptions
  /** A build that was killed goes on at the end of such a part. Default {@link PART_CHARACTERS}. */
  partCharacters?: number
}

/** Asked while the work goes on; each throws to end it. */
export interface CorpusBuildChecks {
  checkStopped: () => void
  beforePart: () => void
}

/** How much text is split and encoded at once. */
const BATCH_CHARACTERS = 256 * 1024
/** Some seconds of work. */
const PART_CHARACTERS = 32 * 1024 * 1024
/** Of an unfinished corpus without copies: what tells the texts that came before. */
export const SEEN_FILE = 'seen-texts.u64'

/** Turns documents into the arrays of a corpus, batch by batch, and vouches for them part by part. */
export class CorpusBuild {
  /** Counts of what was written and removed until now, those of a build that was taken over included. */
  readonly statistics: CorpusStatistics
  /** Documents that were added or taken over, removed ones too. */
  documentsRead = 0
  readonly #options: CorpusBuildOptions
  readonly #checks: CorpusBuildChecks
  readonly #encoder: WordPieceEncoder
  readonly #chunks?: ChunkColumnsBuilder
  readonly #writer: CorpusWriter
  readonly #kept: FilteringWriter
  readonly #seen?: { texts: TextSet; writer: ArrayWriter }
  readonly #parts: CorpusParts
  readonly #partCharacters: number
  readonly #started = performance.now()
  #earlierSeconds = 0
  #batch: TextDocument[] = []
  #batchCharacters = 0
  #partDone = 0

  /** `directory`: an empty folder; `key`: of everything that decides the arrays. */
  constructor(directory: string, key: string, options: CorpusBuildOptions, checks: CorpusBuildChecks) {
    const { definition, chunks, maxTokensPerCharacter, dropDuplicates, partCharacters = PART_CHARACTERS } = options
    this.#options = options
    this.#checks = checks
    this.#partCharacters = partCharacters
    this.statistics = {
      ...emptyReadStatistics(),
      sentences: 0,
      tokens: 0,
      words: 0,
      unknownTokens: 0,
      emptySentences: 0,
      tokenlessDocuments: 0,
      seconds: 0,
      ...(dropDuplicates && { duplicateDocuments: 0, duplicateCharacters: 0 }),
      ...(chunks && { relatedChunks: Object.fromEntries(Object.keys(chunks.groups).map((name) => [name, 0])) }),
    }
    this.#encoder = new WordPieceEncoder(definition, 'plain', { placed: chunks !== undefined })
    if (chunks) this.#chunks = new ChunkColumnsBuilder(Object.keys(chunks.groups).length, chunks.longestSentence)
    this.#writer = new CorpusWriter(directory, { chunks: chunks !== undefined })
    this.#kept = new FilteringWriter(this.#writer, maxTokensPerCharacter, this.statistics, (ids, flags, columns) => {
      this.#countTokens(ids, flags)
      if (columns) this.#countRelated(columns)
    })
    const files = this.#writer.writers
    if (dropDuplicates) {
      this.#seen = { texts: new TextSet(), writer: new ArrayWriter(join(directory, SEEN_FILE)) }
      files.set(SEEN_FILE, this.#seen.writer)
    }
    this.#parts = new CorpusParts(directory, key, files)
  }

  /** Of the written ones. */
  get documents(): number {
    return this.#writer.documents
  }

  get tokens(): number {
    return this.#writer.tokens
  }

  /** Copies the whole parts that another build of the same corpus left in a folder; nothing may have been added before. */
  takeOver(folder: string): void {
    const past = this.#parts.takeOver(folder, this.#checks.checkStopped)
    if (!past) return
    this.documentsRead = past.documentsRead
    this.#writer.restore(past.counts)
    Object.assign(this.statistics, past.statistics)
    this.#earlierSeconds = past.statistics.seconds
    this.#chunks?.restore(past.statistics)
    this.#seen?.texts.restore(this.#seen.writer.path)
  }

  /** Takes a document; true when the batch that it ends was written. */
  async add(document: TextDocument): Promise<boolean> {
    this.documentsRead++
    this.#batch.push(document)
    for (const paragraph of document.paragraphs) this.#batchCharacters += paragraph.length
    if (this.#batchCharacters < Math.min(BATCH_CHARACTERS, this.#partCharacters)) return false
    await this.flush()
    return true
  }

  /** Writes what was added. */
  async flush(): Promise<void> {
    this.#checks.checkStopped()
    await this.#write(this.#prepared(this.#batch))
    this.#partDone += this.#batchCharacters
    this.#batch = []
    this.#batchCharacters = 0
    if (this.#partDone < this.#partCharacters) return
    this.#checks.beforePart()
    if (this.#seen) this.#seen.writer.append(this.#seen.texts.takeFresh())
    const statistics = { ...this.statistics, ...this.#facts() }
    this.#parts.end({ documentsRead: this.documentsRead, counts: this.#writer.counts, statistics })
    this.#partDone = 0
  }

  /** Ends the arrays. `read`: the counts of the whole text. */
  async finish(read: ReadStatistics): Promise<Pick<CorpusManifest, 'statistics' | 'relations' | 'files'>> {
    const files = await this.#writer.finish()
    const { documents, sentences, tokens, chunks } = this.#writer
    const { groups } = this.#options.chunks ?? {}
    Object.assign(this.statistics, read, { documents, sentences, tokens, ...(groups && { chunks }), ...this.#facts() })
    return { statistics: this.statistics, ...(groups && { relations: Object.keys(groups) }), files }
  }

  close(): void {
    this.#writer.close()
    this.#seen?.writer.close()
  }

  /** Statistics that are kept elsewhere until they are asked for. */
  #facts(): Partial<CorpusStatistics> {
    return {
      ...this.#chunks?.facts,
      seconds: (performance.now() - this.#started) / 1000 + this.#earlierSeconds,
    }
  }

  /** Documents in sentences, normalised, without the copies. */
  #prepared(documents: readonly TextDocument[]): CorpusDocument[] {
    const { normalize, chunks } = this.#options
    return documents
      .map((document) => corpusDocument(document, normalize, chunks))
      .filter(({ sentences, characters }) => {
        if (!this.#seen || this.#seen.texts.add(sentences.map(({ text }) => text).join('\n'))) return true
        this.statistics.duplicateDocuments!++
        this.statistics.duplicateCharacters! += characters
        return false
      })
  }

  /** Encodes so many characters at a time, across the ends of documents: one of them may be long. */
  async #write(documents: readonly CorpusDocument[]): Promise<void> {
    const chunks = this.#chunks
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
      const placed = chunks && (await this.#encoder.encodePlaced(texts))
      const { tokenIds, tokenFlags, offsets } = placed ?? (await this.#encoder.encode(texts))
      for (let sentence = start; sentence < stop; ) {
        const end = Math.min(stop, ends[document])
        const [from, to] = [offsets[sentence - start], offsets[end - start]]
        const lengths: number[] = []
        for (; sentence < end; sentence++) {
          const [first, last] = [offsets[sentence - start], offsets[sentence + 1 - start]]
          if (last === first) this.statistics.emptySentences++
          else if (!placed) lengths.push(last - first)
          else {
            const pieces = { starts: placed.starts.subarray(first, last), ends: placed.ends.subarray(first, last) }
            lengths.push(...chunks.add(sentences[sentence], pieces))
          }
        }
        const columns: ChunkColumns | undefined = chunks?.take()
        this.#kept.add(tokenIds.subarray(from, to), tokenFlags.subarray(from, to), lengths, columns)
        if (sentence === ends[document]) {
          if (!this.#kept.end(documents[document].characters)) this.statistics.tokenlessDocuments++
          document++
        }
      }
      start = stop
      this.#checks.checkStopped()
    }
  }

  #countRelated({ targets }: ChunkColumns): void {
    const related = this.statistics.relatedChunks!
    const names = Object.keys(related)
    for (let place = 0; place < targets.length; place++) {
      if (targets[place] >= 0) related[names[place % names.length]]++
    }
  }

  #countTokens(tokenIds: Int32Array, tokenFlags: Uint8Array): void {
    const { unkId } = this.#options.definition.specialTokens
    for (let index = 0; index < tokenIds.length; index++) {
      if (tokenIds[index] === unkId) this.statistics.unknownTokens++
      this.statistics.words += tokenFlags[index] & TOKEN_FLAGS.wordStart
    }
  }
}
