/** The texts of tasks as a pre-training corpus: pre-training on the downstream data alone, as Aksoy et al. (arXiv 2011.04451) do. */
import { createHash } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import { fileError, StrataError } from '../errors.js'
import { syncFile } from '../sync-path.js'
import { readTaskTexts, type TaskTextSource } from './task-texts.js'

export type { TaskTextSource } from './task-texts.js'

export interface TaskCorpusFile {
  /** JSON lines with the field `text`, one document a line, for openCorpus. */
  path: string
  documents: number
  /** Texts that had come before and were left out: NLI sets show a premise several times. */
  repeatedTexts: number
  characters: number
  notes: string[]
}

const WRITE_CHARACTERS = 1024 * 1024

/**
 * Writes the texts of tasks to a JSON-lines file that openCorpus reads: what is a document, readTaskTexts says; a text that came before
 * is left out. The same data give the same bytes, so that a cached corpus is found again. Labels are not written.
 *
 * Throws what opening the tasks throws, and DISK_FULL or READ_ONLY; an unfinished file leaves nothing behind.
 */
export async function writeTaskCorpus(
  path: string,
  sources: readonly Omit<TaskTextSource, 'notes'>[],
): Promise<TaskCorpusFile> {
  const result: TaskCorpusFile = { path, documents: 0, repeatedTexts: 0, characters: 0, notes: [] }
  const seen = new Set<string>()
  const temporary = `${path}.${process.pid}.tmp`
  let waiting: string[] = []
  let characters = 0
  try {
    const file = await open(temporary, 'w').catch((error) => {
      throw fileError(error, temporary, 'write the texts of the tasks')
    })
    const flush = async (): Promise<void> => {
      await file.appendFile(waiting.join('')).catch((error) => {
        throw fileError(error, temporary, 'write the texts of the tasks')
      })
      waiting = []
      characters = 0
    }
    try {
      for (const source of sources) {
        for await (const texts of readTaskTexts({ ...source, notes: result.notes })) {
          const fresh = texts
            .map((text) => text.replaceAll(/\s+/g, ' ').trim())
            .filter((text) => text && isNew(seen, text))
          result.repeatedTexts += texts.length - fresh.length
          if (fresh.length === 0) continue
          result.documents++
          for (const text of fresh) result.characters += text.length
          const line = `${JSON.stringify({ text: fresh.join('\n') })}\n`
          waiting.push(line)
          characters += line.length
          if (characters >= WRITE_CHARACTERS) await flush()
        }
      }
      await flush()
      if (result.documents === 0) {
        throw new StrataError('BAD_DATA', 'the tasks have no text for a corpus; at least one document was expected')
      }
      await syncFile(file)
    } finally {
      await file.close()
    }
    await rename(temporary, path).catch((error) => {
      throw fileError(error, path, 'write the texts of the tasks')
    })
  } finally {
    await rm(temporary, { force: true })
  }
  return result
}

function isNew(seen: Set<string>, text: string): boolean {
  // 120 bits of a hash instead of the text: memory stays small, and two texts never meet in practice.
  const key = createHash('sha1').update(text).digest().toString('latin1', 0, 15)
  if (seen.has(key)) return false
  seen.add(key)
  return true
}
