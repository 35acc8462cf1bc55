/** What makes two runs the same: their settings and the content of their files, wherever these lie. */
import { createHash } from 'node:crypto'
import { type FileHandle, open, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileError } from '../errors.js'
import { isValues } from '../recipes/index.js'
import { fileHash } from './file-hash.js'

const END_BYTES = 1 << 20

/** Remembers what it has read: one experiment names the same file in many runs. */
export class Fingerprints {
  readonly #known = new Map<string, Promise<unknown>>()
  readonly #ofFile: (path: string) => Promise<string>
  #earlier: Fingerprints | undefined

  constructor(ofFile = sizeAndHash) {
    this.#ofFile = ofFile
  }

  /** As an earlier version took them, under which its runs are found: a file above 2 MiB by its size, first and last MiB. */
  get earlier(): Fingerprints {
    this.#earlier ??= new Fingerprints(sizeAndHashOfEnds)
    return this.#earlier
  }

  /** Of a file, or of every file in a folder. Throws what reading throws. */
  ofPath(path: string): Promise<unknown> {
    let found = this.#known.get(path)
    if (!found) {
      found = fingerprint(path, this.#ofFile)
      this.#known.set(path, found)
    }
    return found
  }

  /** A data slot (path, list, or paths by split) with fingerprints in place of paths. */
  async ofSlot(slot: unknown): Promise<unknown> {
    if (typeof slot === 'string') return this.ofPath(slot)
    if (Array.isArray(slot)) return Promise.all(slot.map((one) => this.ofSlot(one)))
    if (!isValues(slot) || 'fromTasks' in slot) return slot
    const entries = Object.entries(slot).map(async ([split, files]) => [split, await this.ofSlot(files)] as const)
    return Object.fromEntries(await Promise.all(entries))
  }
}

async function fingerprint(path: string, ofFile: (path: string) => Promise<string>): Promise<unknown> {
  try {
    if (!(await stat(path)).isDirectory()) return await ofFile(path)
    const entries = await readdir(path, { recursive: true, withFileTypes: true })
    const names = entries
      .filter((entry) => entry.isFile() && entry.name !== 'README.md')
      .map((entry) => join(entry.parentPath, entry.name))
      .sort()
    return await Promise.all(names.map(async (name) => [name.slice(path.length + 1), await ofFile(name)]))
  } catch (error) {
    throw fileError(error, path, 'read the data')
  }
}

async function sizeAndHash(path: string): Promise<string> {
  const { size } = await stat(path)
  return `${size} ${await fileHash(path)}`
}

async function sizeAndHashOfEnds(path: string): Promise<string> {
  const file = await open(path)
  try {
    const { size } = await file.stat()
    const hash = createHash('sha256')
    hash.update(await bytes(file, 0, Math.min(size, END_BYTES)))
    if (size > END_BYTES) hash.update(await bytes(file, Math.max(END_BYTES, size - END_BYTES), END_BYTES))
    return `${size} ${hash.digest('hex')}`
  } finally {
    await file.close()
  }
}

async function bytes(file: FileHandle, from: number, count: number): Promise<Uint8Array> {
  const buffer = Buffer.alloc(count)
  let read = 0
  while (read < count) {
    const { bytesRead } = await file.read(buffer, read, count - read, from + read)
    if (bytesRead === 0) break
    read += bytesRead
  }
  return buffer.subarray(0, read)
}

/** SHA-256 of a value as JSON with sorted keys. */
export function hashOf(value: unknown): string {
  const sorted = (_: string, inner: unknown) =>
    isValues(inner) ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1))) : inner
  return createHash('sha256').update(JSON.stringify(value, sorted)).digest('hex')
}
