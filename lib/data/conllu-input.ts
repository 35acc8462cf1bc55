/** Which of a corpus's files are CoNLL-U: by the format that was asked for, by their names, else by their first lines. */
import { stat } from 'node:fs/promises'
import { isConlluName, lineOfConllu, MOST_UNDECIDED_LINES } from '../text/conllu-detection.js'
import { type FileLines, readLines } from './corpus-line-reader.js'
import type { DocumentFormat } from './document-reader.js'

/** Does {@link readDocuments} take the file for CoNLL-U? Nothing is read of a pipe, which tells it once only. Throws the errors of {@link readLines}. */
export async function isConlluInput(source: string, format: DocumentFormat = 'auto'): Promise<boolean> {
  const named = conlluByName(source, format)
  if (named !== undefined) return named
  const found = await stat(source).catch(() => undefined)
  if (found && !found.isFile()) return false
  for await (const { lines } of readLines(source)) return beginsAsConllu(lines)
  return false
}

/** As {@link isConlluInput}, of a file that is being read: `blocks` are then all of it. */
export async function decideConllu(
  source: string,
  format: DocumentFormat,
  blocks: AsyncGenerator<FileLines>,
): Promise<{ isConllu: boolean; blocks: AsyncGenerator<FileLines> }> {
  const named = conlluByName(source, format)
  if (named !== undefined) return { isConllu: named, blocks }
  const first = await blocks.next()
  const all = async function* (): AsyncGenerator<FileLines> {
    try {
      if (!first.done) yield first.value
      yield* blocks
    } finally {
      await blocks.return(undefined)
    }
  }
  return { isConllu: !first.done && beginsAsConllu(first.value.lines), blocks: all() }
}

/** What a name says of the format, where it says anything. */
export function formatByName(source: string): 'conllu' | 'jsonl' | undefined {
  if (isConlluName(source)) return 'conllu'
  return /\.(?:jsonl|ndjson)(?:\.gz)?$/i.test(source) ? 'jsonl' : undefined
}

function conlluByName(source: string, format: DocumentFormat): boolean | undefined {
  const told = format === 'auto' ? formatByName(source) : format
  return told === undefined ? undefined : told === 'conllu'
}

/** The first block of a file, a mebibyte where it has as much, is enough. */
function beginsAsConllu(lines: Buffer): boolean {
  let start = 0
  for (let count = 0; count < MOST_UNDECIDED_LINES && start < lines.length; count++) {
    const found = lines.indexOf(10, start)
    const end = found < 0 ? lines.length : found
    const told = lineOfConllu(lines.toString('utf8', start, end))
    if (told !== undefined) return told
    start = end + 1
  }
  return false
}
