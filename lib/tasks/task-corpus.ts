/** The texts of tasks as a pre-training corpus: pre-training on the downstream data alone, as Aksoy et al. (arXiv 2011.04451) do. */
import { createHash } from 'node:crypto'
import { StrataError } from '../errors.js'
import { type Write, writeOutput } from '../output-file.js'
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
  const work = async (write: Write): Promise<void> => {
    for (const source of sources) {
      for await (const texts of readTaskTexts({ ...source, notes: result.notes })) {
        const fresh = texts
          .map((text) => text.replaceAll(/\s+/g, ' ').trim())
          .filter((text) => text && isNew(seen, text))
        result.repeatedTexts += texts.length - fresh.length
        if (fresh.length === 0) continue
        result.documents++
        for (const text of fresh) result.characters += text.length
        await write(`${JSON.stringify({ text: fresh.join('\n') })}\n`)
      }
    }
    if (result.documents === 0) {
      throw new StrataError('BAD_DATA', 'the tasks have no text for a corpus; at least one document was expected')
    }
  }
  await writeOutput(path, 'write the texts of the tasks', work, { durable: true })
  return result
}

function isNew(seen: Set<string>, text: string): boolean {
  // 120 bits of a hash instead of the text: memory stays small, and two texts never meet in practice.
  const key = createHash('sha1').update(text).digest().toString('latin1', 0, 15)
  if (seen.has(key)) return false
  seen.add(key)
  return true
}
