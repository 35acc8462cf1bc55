import { createHash, type Hash } from 'node:crypto'
import { closeSync, fsync, openSync, writeSync } from 'node:fs'
import { promisify } from 'node:util'

const BUFFER_BYTES = 1024 * 1024

/** Appends to the file of one array, little-endian, and hashes what it writes. */
export class ArrayWriter {
  readonly #descriptor: number
  readonly #hash: Hash = createHash('sha256')
  readonly #buffer = Buffer.allocUnsafe(BUFFER_BYTES)
  #used = 0
  #bytes = 0
  #closed = false

  /** The file must not exist. */
  constructor(readonly path: string) {
    this.#descriptor = openSync(path, 'wx')
  }

  /** Appended so far. */
  get bytes(): number {
    return this.#bytes + this.#used
  }

  append(array: ArrayBufferView): void {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
    for (let start = 0; start < bytes.length; ) {
      const count = Math.min(bytes.length - start, BUFFER_BYTES - this.#used)
      this.#buffer.set(bytes.subarray(start, start + count), this.#used)
      this.#used += count
      start += count
      if (this.#used === BUFFER_BYTES) this.#flush()
    }
  }

  /** Hands everything to the system and tells the file's size and SHA-256 so far; more may be appended. */
  mark(): { bytes: number; sha256: string } {
    this.#flush()
    return { bytes: this.#bytes, sha256: this.#hash.copy().digest('hex') }
  }

  /** Flushes to disk, without holding up the thread, and closes. */
  async finish(): Promise<{ bytes: number; sha256: string }> {
    this.#flush()
    await promisify(fsync)(this.#descriptor)
    this.close()
    return { bytes: this.#bytes, sha256: this.#hash.digest('hex') }
  }

  close(): void {
    // A second close could hit a file that took the same number.
    if (!this.#closed) closeSync(this.#descriptor)
    this.#closed = true
  }

  #flush(): void {
    const part = this.#buffer.subarray(0, this.#used)
    for (let start = 0; start < part.length; ) start += writeSync(this.#descriptor, part, start)
    this.#hash.update(part)
    this.#bytes += part.length
    this.#used = 0
  }
}
