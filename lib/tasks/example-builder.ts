/** Examples on their way into a store: in memory, and from a stated size on in files of the user's cache. */
import { createHash } from 'node:crypto'
import { rmSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { hashFile, makeTemporary, publishFolder, syncDirectory, writeManifest } from '../data/index.js'
import { StrataError } from '../errors.js'
import { cacheDirectory as userCacheDirectory } from '../runtime/index.js'
import type { EncodedText } from '../text/index.js'
import {
  EXAMPLES_VERSION,
  ExampleFolderWriter,
  type ExampleManifest,
  type FileCounts,
  mapExamples,
  verifyExamples,
} from './example-folder.js'
import {
  blockBytes,
  type ExampleBlock,
  type ExampleStore,
  exampleBlock,
  joinBlocks,
  type RowFacts,
} from './example-store.js'

/** Bytes of a split's examples that memory holds by default. */
const EXAMPLE_MEMORY_BYTES = 256 * 1024 * 1024
/** Files below this share of the limit are not looked up in the cache: their examples hardly reach it. */
const LOOKUP_SHARE = 1 / 32

/** Offsets are 32 bits wide. */
const MOST_OFFSET = 2 ** 32 - 1

export interface ExampleBuilderOptions {
  task: string
  files: readonly string[]
  vocabSize: number
  /** A store of more bytes lies in files; default {@link EXAMPLE_MEMORY_BYTES}. */
  memoryBytes?: number
  /** Where; default `$XDG_CACHE_HOME/stratabert/tasks`. */
  cacheDirectory?: string
  /** Everything beside the files' content that decides the arrays. */
  origin: Readonly<Record<string, unknown>>
  signal?: AbortSignal
}

/** What reading the rows told, beside the examples. */
export interface ReadFacts {
  labels?: string[]
  /** By file, in their order. */
  counts: FileCounts[]
}

/** Collects the examples of one split; `finish` hands them over, `discard` removes what was not finished. */
export class ExampleBuilder {
  readonly #options: ExampleBuilderOptions
  readonly #narrow: boolean
  readonly #memoryBytes: number
  readonly #times: readonly string[]
  readonly #blocks: ExampleBlock[] = []
  #bytes = 0
  #tokens = 0
  #idBytes = 0
  #textBytes = 0
  #count = 0
  #writer: ExampleFolderWriter | undefined
  #key: string | undefined

  constructor(options: ExampleBuilderOptions) {
    const { memoryBytes = EXAMPLE_MEMORY_BYTES, task } = options
    if (!(memoryBytes >= 0)) {
      throw new StrataError(
        'BAD_ARGUMENT',
        `task ${task}: memoryBytes is ${memoryBytes}; a number from 0 on was expected`,
      )
    }
    this.#options = options
    this.#narrow = options.vocabSize <= 65536
    this.#memoryBytes = memoryBytes
    this.#times = options.files.map(modificationOf)
  }

  /** Examples added so far. */
  get count(): number {
    return this.#count
  }

  /** The same examples from an earlier time, if the files are large enough for them to be in the cache. */
  async find(): Promise<(ReadFacts & { store: ExampleStore }) | undefined> {
    const { files } = this.#options
    const bytes = files.reduce((sum, file) => sum + (statSync(file, { throwIfNoEntry: false })?.size ?? 0), 0)
    if (bytes < this.#memoryBytes * LOOKUP_SHARE) return undefined
    const directory = await this.#directory()
    const found = await verifyExamples(directory, this.#key!)
    if (typeof found === 'string') process.emitWarning(`the cached examples ${directory} are made again: ${found}`)
    if (typeof found !== 'object') return undefined
    return { labels: found.labels, counts: found.files, store: mapExamples(directory, files) }
  }

  /** Throws UNSUPPORTED on more tokens than offsets can count, and what writing files throws. */
  add(encoded: readonly EncodedText[], rows: RowFacts): void {
    const block = exampleBlock(encoded, rows, this.#narrow)
    this.#tokens += block.tokenIds.length
    this.#idBytes += block.ids.length
    this.#textBytes += block.texts.length
    this.#count += encoded.length
    if (Math.max(this.#tokens, this.#idBytes, this.#textBytes) > MOST_OFFSET) {
      throw new StrataError(
        'UNSUPPORTED',
        `task ${this.#options.task}: its examples have more than ${MOST_OFFSET} tokens, bytes of identifiers or bytes of candidates; use a share of them (fraction)`,
      )
    }
    if (this.#writer) {
      this.#writer.add(block)
      return
    }
    this.#blocks.push(block)
    this.#bytes += blockBytes(block)
    if (this.#bytes <= this.#memoryBytes) return
    this.#writer = new ExampleFolderWriter(makeTemporary(this.#cacheDirectory(), 'examples'))
    for (const held of this.#blocks) this.#writer.add(held)
    this.#blocks.length = 0
  }

  /** `renumbered`: the final number of each class, where the rows' numbers were provisional. */
  async finish({ labels, counts }: ReadFacts, renumbered?: Int32Array): Promise<ExampleStore> {
    const { files } = this.#options
    if (!this.#writer) {
      const arrays = joinBlocks(this.#blocks, this.#narrow)
      if (renumbered) arrays.targets.set(arrays.targets.map((target) => renumbered[target] ?? target))
      return { ...arrays, files: files.map((file, index) => ({ file, firstExample: counts[index].firstExample })) }
    }
    const directory = await this.#directory()
    const key = this.#key!
    const temporary = this.#writer.directory
    const manifest = await this.#writer.finish({ key, narrow: this.#narrow, labels, files: counts }, renumbered)
    this.#checkUnchanged()
    writeManifest(temporary, manifest satisfies ExampleManifest)
    syncDirectory(temporary)
    await publishFolder(temporary, directory, 'examples', () => verifyExamples(directory, key))
    return mapExamples(directory, files)
  }

  /** Removes what was not finished; without effect afterwards. */
  discard(): void {
    if (!this.#writer) return
    this.#writer.close()
    rmSync(this.#writer.directory, { recursive: true, force: true })
  }

  #cacheDirectory(): string {
    const own = this.#options.cacheDirectory
    if (own !== undefined) return own
    const cache = userCacheDirectory()
    if (cache !== null) return join(cache, 'tasks')
    throw new StrataError(
      'NOT_FOUND',
      `task ${this.#options.task}: its examples take more than ${this.#memoryBytes} bytes and need a folder; there is neither XDG_CACHE_HOME nor a home folder, give cacheDirectory or a larger memoryBytes`,
    )
  }

  /** The folder that these examples have in the cache; its name is the key of everything that decides them. */
  async #directory(): Promise<string> {
    if (!this.#key) {
      const { origin, files, signal, task } = this.#options
      const stopped = () => {
        if (signal?.aborted) throw new StrataError('ABORTED', `opening task ${task} was stopped`)
      }
      const inputs: [name: string, sha256: string][] = []
      // Names tell the format.
      for (const file of files) inputs.push([basename(file), (await hashFile(file, { stopped })).sha256])
      const parts = { version: EXAMPLES_VERSION, ...origin, inputs }
      this.#key = createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 40)
    }
    return join(this.#cacheDirectory(), this.#key)
  }

  #checkUnchanged(): void {
    this.#options.files.forEach((path, index) => {
      if (modificationOf(path) === this.#times[index]) return
      throw new StrataError('BAD_DATA', `${path} changed while it was read; run again when nothing writes to it`, {
        details: { path },
      })
    })
  }
}

/** What shows that a file was written; a file that is not there is told by whoever reads it. */
function modificationOf(path: string): string {
  const found = statSync(path, { throwIfNoEntry: false })
  return found ? `${found.mtimeMs} ${found.size} ${found.ino}` : ''
}
