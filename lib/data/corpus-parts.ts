/**
 * The parts of a corpus that is being built, so that a build goes on where another one was killed or stopped. The arrays grow in one file
 * each; when a part is written, a line of the journal tells how long each file then is, its hash so far, and where the work stands.
 * Another build copies from a folder what its journal vouches for, part by part: nothing of it is trusted unread, and its owner, should it
 * be alive, is not disturbed. Nothing is flushed to the disk for it: what a power failure took shows in the hashes.
 */
import { createHash, type Hash } from 'node:crypto'
import { appendFileSync, closeSync, openSync, readFileSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { StrataError } from '../errors.js'
import { faultPoint } from '../fault-points.js'
import type { ArrayWriter } from './array-writer.js'
import { JOURNAL_FILE } from './cache-folder.js'
import type { CorpusCounts, CorpusStatistics, StoredArray } from './corpus-files.js'

/** Where the work stands at the end of a part. */
export interface CorpusPart {
  /** Documents that were read until then, removed ones too. */
  documentsRead: number
  counts: CorpusCounts
  statistics: CorpusStatistics
}

interface JournalLine extends CorpusPart {
  /** Of each file up to the end of the part, by its name. */
  files: Record<string, StoredArray>
}

/** Changes when a journal of before would be misread. */
const JOURNAL_VERSION = 1
const COPY_BYTES = 1024 * 1024

export class CorpusParts {
  readonly #journal: string
  readonly #key: string
  readonly #writers: ReadonlyMap<string, ArrayWriter>

  /** `key`: of everything that decides the arrays; `writers`: of all files of the folder, by name. */
  constructor(directory: string, key: string, writers: ReadonlyMap<string, ArrayWriter>) {
    this.#journal = join(directory, JOURNAL_FILE)
    this.#key = key
    this.#writers = writers
  }

  /** Ends a part: everything that was appended until now stays. */
  end(part: CorpusPart): void {
    const files = this.#marks()
    faultPoint('before-corpus-part', this.#writers.values().next().value?.path)
    appendFileSync(this.#journal, journalLine(this.#key, { ...part, files }))
    faultPoint('after-corpus-part')
  }

  /**
   * Copies the whole parts of another build of the same corpus into the still empty arrays, up to the first one that is damaged; returns
   * where the last of them ends, undefined when there is none. `stopped` is asked between blocks.
   */
  takeOver(folder: string, stopped: () => void): CorpusPart | undefined {
    const sources = this.#sources(folder, stopped)
    let last: CorpusPart | undefined
    try {
      for (const { files, ...part } of sources ? readJournal(folder, this.#key) : []) {
        if (!Array.from(sources!, ([name, source]) => source.reaches(files[name])).every(Boolean)) break
        for (const [name, writer] of this.#writers) sources!.get(name)!.copyInto(writer)
        const copied = this.#marks()
        for (const name in files) {
          if (copied[name].sha256 === files[name].sha256) continue
          throw new StrataError('BAD_FILE', `${join(folder, name)} changed while it was read; run again`)
        }
        this.end(part)
        last = part
      }
    } finally {
      for (const source of sources?.values() ?? []) source.close()
    }
    return last
  }

  #marks(): Record<string, StoredArray> {
    return Object.fromEntries(Array.from(this.#writers, ([name, writer]) => [name, writer.mark()]))
  }

  /** Undefined when a file is missing: its owner, or who has copied it as well, may have taken it away. */
  #sources(folder: string, stopped: () => void): Map<string, SourceFile> | undefined {
    const sources = new Map<string, SourceFile>()
    try {
      for (const name of this.#writers.keys()) sources.set(name, new SourceFile(join(folder, name), stopped))
      return sources
    } catch {
      for (const source of sources.values()) source.close()
      return undefined
    }
  }
}

/** How many parts of the corpus with this key a folder claims to have. */
export function partCount(folder: string, key: string): number {
  return readJournal(folder, key).length
}

/** A hash at its head shows a line that was not written whole, or changed. */
function journalLine(key: string, line: JournalLine): string {
  const text = JSON.stringify(line)
  return `${lineHash(key, text)} ${text}\n`
}

function lineHash(key: string, text: string): string {
  return createHash('sha256').update(`${JOURNAL_VERSION} ${key} ${text}`).digest('hex')
}

/** The lines before the first one that is damaged or of another corpus. */
function readJournal(folder: string, key: string): JournalLine[] {
  let text: string
  try {
    text = readFileSync(join(folder, JOURNAL_FILE), 'utf8')
  } catch {
    return []
  }
  const lines: JournalLine[] = []
  for (const line of text.split('\n')) {
    const body = line.slice(65)
    if (line.slice(0, 64) !== lineHash(key, body)) break
    lines.push(JSON.parse(body) as JournalLine)
  }
  return lines
}

/** A file of another build: it is read up to the end of a part, checked, and copied. */
class SourceFile {
  readonly #descriptor: number
  readonly #stopped: () => void
  readonly #hash: Hash = createHash('sha256')
  readonly #block = Buffer.allocUnsafe(COPY_BYTES)
  #checked = 0
  #copied = 0

  constructor(path: string, stopped: () => void) {
    this.#descriptor = openSync(path, 'r')
    this.#stopped = stopped
  }

  /** Whether the file is whole up to there. */
  reaches({ bytes, sha256 }: StoredArray): boolean {
    for (const block of this.#blocks(this.#checked, bytes)) {
      this.#hash.update(block)
      this.#checked += block.length
    }
    return this.#checked === bytes && this.#hash.copy().digest('hex') === sha256
  }

  /** Appends what was checked since the last time; a new file may have its first bytes already. */
  copyInto(writer: ArrayWriter): void {
    if (this.#copied === 0) this.#copied = writer.bytes
    for (const block of this.#blocks(this.#copied, this.#checked)) writer.append(block)
    this.#copied = this.#checked
  }

  close(): void {
    closeSync(this.#descriptor)
  }

  *#blocks(from: number, to: number): Generator<Buffer> {
    for (let at = from; at < to; ) {
      this.#stopped()
      const count = readSync(this.#descriptor, this.#block, 0, Math.min(COPY_BYTES, to - at), at)
      if (count === 0) return
      yield this.#block.subarray(0, count)
      at += count
    }
  }
}
