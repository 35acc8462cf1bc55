/** The texts of tasks as a pre-training corpus: pre-training on the downstream data alone, as Aksoy et al. (arXiv 2011.04451) do. */
import { createHash } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import { RowTally, readSquad } from '../data/index.js'
import { fileError, StrataError } from '../errors.js'
import { splitBySeed } from './data-share.js'
import { LabelReader } from './label-reader.js'
import type { SpanTaskDefinition } from './span-task.js'
import { type ResolvedFiles, resolveTaskFiles } from './task-files.js'
import { describeTally, endingsOf, readTaskRows, type TaskRow } from './task-rows.js'
import type { TextTaskDefinition } from './text-definition.js'
import type { OpenTaskOptions, TaskDefinition, TaskKind } from './types.js'

/** The part of a task's options that decides its texts. */
export type TaskTextSource<D extends TaskDefinition = TaskDefinition> = Pick<
  OpenTaskOptions<D>,
  'definition' | 'name' | 'data' | 'maxBadShare' | 'devShare' | 'signal'
> & {
  /** Seed of the split of a single file: its held-out part is left out of the corpus as well. */
  seed: number
  /** Default: `train` alone. */
  splits?: readonly string[]
  /** Gets a sentence for each thing that the user should know. */
  notes: string[]
}

/** Gives the paragraphs of one document after the other. */
export type TaskTextReader<D extends TaskDefinition = TaskDefinition> = (
  source: TaskTextSource<D>,
) => AsyncIterable<readonly string[]>

export interface TaskCorpusFile {
  /** JSON lines with the field `text`, one document a line, for openCorpus. */
  path: string
  documents: number
  /** Texts that had come before and were left out: NLI sets show a premise several times. */
  repeatedTexts: number
  characters: number
  notes: string[]
}

const READERS: Partial<Record<TaskKind, TaskTextReader<any>>> = {
  classification: readTexts,
  regression: readTexts,
  span: readContexts,
}

const WRITE_CHARACTERS = 1024 * 1024

/**
 * Writes the texts of tasks to a JSON-lines file that openCorpus reads: a text or a context is a document, a pair a document of two
 * paragraphs; a text that came before is left out. The same data give the same bytes, so that a cached corpus is found again. Labels are not written.
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
        const read = READERS[source.definition.kind]
        if (!read) {
          throw new StrataError('UNSUPPORTED', `tasks of kind ${source.definition.kind} give no texts for a corpus`)
        }
        for await (const texts of read({ ...source, notes: result.notes })) {
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
      await file.sync()
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

async function* readTexts(source: TaskTextSource<TextTaskDefinition>): AsyncGenerator<readonly string[]> {
  const { definition, name = definition.name, data, splits: wanted = ['train'], seed, devShare = 0.1 } = source
  const { splits, single } = resolveTaskFiles(name, data, endingsOf(definition), definition.files)
  const labels = new LabelReader(name, definition)
  let held: Set<number> | undefined
  if (single) {
    let count = 0
    for await (const rows of labelledRows(source, splits.get('train')!, labels)) count += rows.length
    held = new Set(splitBySeed(count, devShare, seed, `task ${name} (${data}): examples`).dev)
  }
  checkSplits(name, splits, wanted)
  for (const split of wanted) {
    let number = 0
    for await (const rows of labelledRows(source, splits.get(split)!, labels, source.notes)) {
      for (const { texts } of rows) if (!held?.has(number++)) yield texts
    }
  }
}

/** The rows that opening the task would use, in the same order. */
async function* labelledRows(
  source: TaskTextSource<TextTaskDefinition>,
  files: readonly string[],
  labels: LabelReader,
  notes?: string[],
): AsyncGenerator<TaskRow[]> {
  const { definition, name = definition.name, maxBadShare, signal } = source
  for (const file of files) {
    const tally = new RowTally(file)
    for await (const rows of readTaskRows({ definition, file, labels, collect: true, maxBadShare, signal, tally })) {
      if (signal?.aborted) throw new StrataError('ABORTED', `reading the texts of task ${name} was stopped`)
      yield rows.filter(({ label }) => label !== undefined)
    }
    const bad = describeTally(`corpus from ${name}`, tally)
    if (bad) notes?.push(bad)
  }
}

/** The contexts of SQuAD files; of one file those that the task trains on. */
async function* readContexts(source: TaskTextSource<SpanTaskDefinition>): AsyncGenerator<readonly string[]> {
  const { definition, name = definition.name, data, splits: wanted = ['train'], seed, devShare = 0.1, signal } = source
  const { splits, single } = resolveTaskFiles(name, data, ['json'], definition.files)
  checkSplits(name, splits, wanted)
  for (const split of wanted) {
    for (const file of splits.get(split)!) {
      if (signal?.aborted) throw new StrataError('ABORTED', `reading the texts of task ${name} was stopped`)
      const { noAnswer = false } = definition
      const set = await readSquad(file, { maxBadShare: source.maxBadShare, noAnswer })
      const texts = [...new Set(set.questions.map(({ context }) => set.contexts[context].text))]
      const parts = single && splitBySeed(texts.length, devShare, seed, `task ${name} (${file}): contexts`)
      const kept = parts ? [...parts.train].map((index) => texts[index]) : texts
      for (const text of kept) yield [text]
    }
  }
}

function checkSplits(name: string, splits: ResolvedFiles['splits'], wanted: readonly string[]): void {
  const missing = wanted.find((split) => !splits.has(split))
  if (missing === undefined) return
  throw new StrataError(
    'BAD_ARGUMENT',
    `task ${name} has no split ${missing} for the corpus; there are ${[...splits.keys()].join(', ')}`,
    { details: { task: name, split: missing } },
  )
}
