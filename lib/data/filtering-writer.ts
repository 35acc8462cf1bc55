import type { ChunkColumns } from './chunk-columns.js'
import type { CorpusWriter } from './corpus-files.js'
import type { RemovedDocuments } from './document-filter.js'

interface Part {
  tokenIds: Int32Array
  tokenFlags: Uint8Array
  lengths: number[]
  chunks?: ChunkColumns
}

/** Writes documents of which the end decides whether they are kept; without a limit nothing is held back. */
export class FilteringWriter {
  readonly #writer: CorpusWriter
  readonly #limit: number | undefined
  readonly #onKept: (tokenIds: Int32Array, tokenFlags: Uint8Array, chunks?: ChunkColumns) => void
  readonly #removed: RemovedDocuments
  #parts: Part[] = []

  constructor(
    writer: CorpusWriter,
    limit: number | undefined,
    removed: RemovedDocuments,
    onKept: (tokenIds: Int32Array, tokenFlags: Uint8Array, chunks?: ChunkColumns) => void,
  ) {
    this.#writer = writer
    this.#limit = limit
    this.#removed = removed
    this.#onKept = onKept
    if (limit !== undefined) {
      Object.assign(removed, { incompressibleDocuments: 0, incompressibleCharacters: 0, incompressibleTokens: 0 })
    }
  }

  add(tokenIds: Int32Array, tokenFlags: Uint8Array, lengths: number[], chunks?: ChunkColumns): void {
    const part = { tokenIds, tokenFlags, lengths, chunks }
    if (this.#limit === undefined) this.#write(part)
    else this.#parts.push(part)
  }

  /** Ends the document of so many characters; false when it had no token. */
  end(characters: number): boolean {
    const parts = this.#parts.splice(0)
    const tokens = parts.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0)
    if (this.#limit !== undefined && tokens > 0 && tokens >= this.#limit * characters) {
      this.#removed.incompressibleDocuments!++
      this.#removed.incompressibleCharacters! += characters
      this.#removed.incompressibleTokens! += tokens
      return true
    }
    for (const part of parts) this.#write(part)
    return this.#writer.endDocument()
  }

  #write({ tokenIds, tokenFlags, lengths, chunks }: Part): void {
    this.#onKept(tokenIds, tokenFlags, chunks)
    this.#writer.addSentences(tokenIds, tokenFlags, lengths, chunks)
  }
}
