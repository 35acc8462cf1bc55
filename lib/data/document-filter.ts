/** Which documents of a text are kept: no exact copies, and none that the vocabulary cuts into too many tokens. */
import { createHash } from 'node:crypto'
import { StrataError } from '../errors.js'
import type { CorpusWriter } from './corpus-files.js'

export interface DocumentFilters {
  /**
   * A document with at least this many tokens a character is removed: what does not compress is seldom plain prose (Cramming:
   * Geiping & Goldstein 2022, arXiv 2212.14034, section 4.4, has 0.3). Default: none is removed.
   */
  maxTokensPerCharacter?: number
  /** Removes every document whose text came before. Default false. */
  dropDuplicates?: boolean
}

/** What the filters removed; a filter that is off has no count. */
export interface RemovedDocuments {
  duplicateDocuments?: number
  duplicateCharacters?: number
  incompressibleDocuments?: number
  incompressibleCharacters?: number
  incompressibleTokens?: number
}

/** Throws BAD_ARGUMENT on a limit that is no positive number. */
export function checkFilters({ maxTokensPerCharacter }: DocumentFilters): void {
  if (maxTokensPerCharacter === undefined || maxTokensPerCharacter > 0) return
  throw new StrataError(
    'BAD_ARGUMENT',
    `maxTokensPerCharacter is ${maxTokensPerCharacter}; a number above 0, like 0.3, was expected`,
  )
}

/** A set of texts by 64 bits of their SHA-256, some 11 to 22 bytes each: of 25 million texts two differ but share them with a chance of 2 in 100,000. */
export class TextSet {
  #table = new Uint32Array(2 * 1024)
  #count = 0

  /** Adds a text; false when it was there. */
  add(text: string): boolean {
    const digest = createHash('sha256').update(text).digest()
    // 0, 0 stands for an empty place.
    const low = digest.readUInt32LE(0) || 1
    const high = digest.readUInt32LE(4)
    if (8 * (this.#count + 1) > 3 * this.#table.length) this.#grow()
    const isNew = place(this.#table, low, high)
    if (isNew) this.#count++
    return isNew
  }

  #grow(): void {
    const larger = new Uint32Array(2 * this.#table.length)
    for (let i = 0; i < this.#table.length; i += 2) {
      if (this.#table[i] !== 0) place(larger, this.#table[i], this.#table[i + 1])
    }
    this.#table = larger
  }
}

/** Linear probing; false when the pair is there. */
function place(table: Uint32Array, low: number, high: number): boolean {
  const places = table.length / 2
  for (let i = high % places; ; i = (i + 1) % places) {
    if (table[2 * i] === 0) {
      table[2 * i] = low
      table[2 * i + 1] = high
      return true
    }
    if (table[2 * i] === low && table[2 * i + 1] === high) return false
  }
}

interface Part {
  tokenIds: Int32Array
  tokenFlags: Uint8Array
  lengths: number[]
}

/** Writes documents of which the end decides whether they are kept; without a limit nothing is held back. */
export class FilteringWriter {
  readonly #writer: CorpusWriter
  readonly #limit: number | undefined
  readonly #onKept: (tokenIds: Int32Array, tokenFlags: Uint8Array) => void
  readonly #removed: RemovedDocuments
  #parts: Part[] = []

  constructor(
    writer: CorpusWriter,
    limit: number | undefined,
    removed: RemovedDocuments,
    onKept: (tokenIds: Int32Array, tokenFlags: Uint8Array) => void,
  ) {
    this.#writer = writer
    this.#limit = limit
    this.#removed = removed
    this.#onKept = onKept
    if (limit !== undefined) {
      Object.assign(removed, { incompressibleDocuments: 0, incompressibleCharacters: 0, incompressibleTokens: 0 })
    }
  }

  add(tokenIds: Int32Array, tokenFlags: Uint8Array, lengths: number[]): void {
    if (this.#limit === undefined) this.#write({ tokenIds, tokenFlags, lengths })
    else this.#parts.push({ tokenIds, tokenFlags, lengths })
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

  #write({ tokenIds, tokenFlags, lengths }: Part): void {
    this.#onKept(tokenIds, tokenFlags)
    this.#writer.addSentences(tokenIds, tokenFlags, lengths)
  }
}
