/**
 * Tokenised examples on disk: one file an array, in a folder of the user's cache that is named by what decides its content. The
 * arrays are memory-mapped, so the system keeps in memory what is used and has room.
 */
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { ArrayWriter, hashFile, MANIFEST_FILE } from '../data/index.js'
import { fileError, StrataError } from '../errors.js'
import { loadBoot } from '../runtime/index.js'
import { type ExampleArray, type ExampleBlock, type ExampleStore, shifted } from './example-store.js'

const KIND = 'stratabert-examples'
/** Changes when the same rows would give other arrays: the layout of an example, the encoding. */
export const EXAMPLES_VERSION = 2

const FILES: Record<ExampleArray, string> = {
  tokenIds: 'token-ids.bin',
  offsets: 'offsets.u32',
  secondStarts: 'second-starts.u32',
  targets: 'targets.f64',
  lines: 'lines.u32',
  truncated: 'truncated.u8',
  ids: 'ids.utf8',
  idOffsets: 'id-offsets.u32',
  texts: 'texts.utf8',
  textOffsets: 'text-offsets.u32',
}
const NAMES = Object.keys(FILES) as ExampleArray[]

/** What reading one file of rows told. */
export interface FileCounts {
  firstExample: number
  rows: number
  bad: number
  /** The first bad ones. */
  problems: { line: number; problem: string }[]
  /** Rows without a label that were left out. */
  unlabelled: number
}

export interface ExampleManifest {
  kind: typeof KIND
  version: number
  key: string
  /** Token ids of 2 bytes; else of 4. */
  narrow: boolean
  examples: number
  /** Class names by number, where they came from the rows. */
  labels?: string[]
  files: FileCounts[]
  arrays: Record<ExampleArray, { bytes: number; sha256: string }>
}

/** Writes the arrays of a store into an existing folder, block by block. */
export class ExampleFolderWriter {
  readonly #writers = new Map<ExampleArray, ArrayWriter>()
  #examples = 0
  #tokens = 0
  #idBytes = 0
  #textBytes = 0

  constructor(readonly directory: string) {
    try {
      for (const name of NAMES) this.#writers.set(name, new ArrayWriter(join(directory, FILES[name])))
      for (const name of ['offsets', 'idOffsets', 'textOffsets'] as const) this.#append(name, Uint32Array.of(0))
    } catch (error) {
      this.close()
      throw fileError(error, directory, 'write the tokenised examples')
    }
  }

  add(block: ExampleBlock): void {
    try {
      const starts: Partial<Record<ExampleArray, number>> = {
        offsets: this.#tokens,
        idOffsets: this.#idBytes,
        textOffsets: this.#textBytes,
      }
      for (const name of NAMES) {
        const start = starts[name]
        this.#append(name, start === undefined ? block[name] : shifted(block[name] as Uint32Array, start))
      }
    } catch (error) {
      throw fileError(error, this.directory, 'write the tokenised examples')
    }
    this.#examples += block.lines.length
    this.#tokens += block.tokenIds.length
    this.#idBytes += block.ids.length
    this.#textBytes += block.texts.length
  }

  /** `renumbered`: the final number of each class, where the rows' numbers were provisional. */
  async finish(facts: Omit<ExampleManifest, 'kind' | 'version' | 'examples' | 'arrays'>, renumbered?: Int32Array) {
    try {
      const arrays: Partial<ExampleManifest['arrays']> = {}
      for (const name of NAMES) arrays[name] = await this.#writers.get(name)!.finish()
      if (renumbered) arrays.targets = await this.#renumber(renumbered)
      const counts = { examples: this.#examples, arrays: arrays as ExampleManifest['arrays'] }
      return { kind: KIND, version: EXAMPLES_VERSION, ...facts, ...counts } satisfies ExampleManifest
    } catch (error) {
      throw fileError(error, this.directory, 'write the tokenised examples')
    }
  }

  /** Closes what finish() has not closed. */
  close(): void {
    for (const writer of this.#writers.values()) writer.close()
  }

  #append(name: ExampleArray, array: ArrayBufferView): void {
    this.#writers.get(name)!.append(array)
  }

  async #renumber(renumbered: Int32Array) {
    const path = join(this.directory, FILES.targets)
    const provisional = new Float64Array(loadBoot().mapFile(path))
    // The map holds on to what it reads.
    rmSync(path)
    const writer = new ArrayWriter(path)
    this.#writers.set('targets', writer)
    const step = 65_536
    for (let start = 0; start < provisional.length; start += step) {
      // NaN = no label stays.
      writer.append(provisional.slice(start, start + step).map((target) => renumbered[target] ?? target))
    }
    return writer.finish()
  }
}

/**
 * Reads the manifest of a folder and checks every array's size and hash. Returns what is wrong as a sentence instead of the manifest;
 * undefined when the folder does not exist.
 */
export async function verifyExamples(directory: string, key: string): Promise<ExampleManifest | string | undefined> {
  let manifest: ExampleManifest
  try {
    manifest = JSON.parse(readFileSync(join(directory, MANIFEST_FILE), 'utf8')) as ExampleManifest
  } catch (error) {
    if (!existsSync(directory)) return undefined
    return `its manifest cannot be read (${(error as Error).message})`
  }
  if (manifest?.kind !== KIND || manifest.version !== EXAMPLES_VERSION || manifest.key !== key) {
    return 'its manifest is of other examples or another version'
  }
  for (const name of NAMES) {
    const path = join(directory, FILES[name])
    const expected = manifest.arrays?.[name]
    if (!expected) return `its manifest lacks ${FILES[name]}`
    try {
      const { size } = statSync(path)
      if (size !== expected.bytes) return `${FILES[name]} has ${size} bytes instead of ${expected.bytes}`
      if ((await hashFile(path)).sha256 !== expected.sha256) return `the content of ${FILES[name]} has changed`
    } catch (error) {
      return `${FILES[name]} cannot be read (${(error as Error).message})`
    }
  }
  return manifest
}

/** Maps the arrays of a folder, as a worker thread does by the folder alone. Throws NOT_FOUND or BAD_FILE. */
export function mapExamples(directory: string, files: readonly string[]): ExampleStore {
  const path = join(directory, MANIFEST_FILE)
  let manifest: ExampleManifest
  try {
    manifest = JSON.parse(readFileSync(path, 'utf8')) as ExampleManifest
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw fileError(error, path, 'open the tokenised examples')
    throw new StrataError('BAD_FILE', `${path} is no JSON document; remove ${directory} and run again`, {
      cause: error,
    })
  }
  const map = (name: ExampleArray): ArrayBuffer => {
    const file = join(directory, FILES[name])
    try {
      return loadBoot().mapFile(file)
    } catch (error) {
      throw fileError(error, file, 'open the tokenised examples')
    }
  }
  return {
    tokenIds: manifest.narrow ? new Uint16Array(map('tokenIds')) : new Int32Array(map('tokenIds')),
    offsets: new Uint32Array(map('offsets')),
    secondStarts: new Uint32Array(map('secondStarts')),
    targets: new Float64Array(map('targets')),
    lines: new Uint32Array(map('lines')),
    truncated: new Uint8Array(map('truncated')),
    ids: new Uint8Array(map('ids')),
    idOffsets: new Uint32Array(map('idOffsets')),
    texts: new Uint8Array(map('texts')),
    textOffsets: new Uint32Array(map('textOffsets')),
    files: manifest.files.map(({ firstExample }, index) => ({ file: files[index], firstExample })),
    directory,
  }
}
