/** Sentences to CoNLL-U text: what was read is written back byte for byte. */
import { StrataError } from '../errors.js'
import { writePackedOutput } from '../packed-output.js'
import { CONLLU_COLUMNS, type ConlluRow, type ConlluSentence } from './conllu.js'

/** The sentence with its comments and the blank line that ends it. Throws BAD_DATA for a cell that no column can hold. */
export function formatConllu(
  sentence: Pick<ConlluSentence, 'comments' | 'rows'> & Partial<Pick<ConlluSentence, 'lineEnd' | 'lineEnds'>>,
): string {
  const { lineEnd = '\n', lineEnds } = sentence
  let text = ''
  let line = 0
  const end = (): string => lineEnds?.[line++] ?? lineEnd
  for (const comment of sentence.comments) {
    if (!comment.startsWith('#') || /[\r\n]/.test(comment) || comment.includes('\0')) {
      throw new StrataError(
        'BAD_DATA',
        `comment ${JSON.stringify(comment.slice(0, 60))} cannot be written; one line that begins with # was expected`,
      )
    }
    text += comment + end()
  }
  for (const row of sentence.rows) {
    const cells = CONLLU_COLUMNS.map((column) => row[column])
    const bad = cells.findIndex((cell) => cell === '' || /[\t\r\n]/.test(cell) || cell.includes('\0'))
    if (bad >= 0) {
      throw new StrataError(
        'BAD_DATA',
        `row ${row.id}: ${CONLLU_COLUMNS[bad]} is ${JSON.stringify(cells[bad].slice(0, 60))}; text without tabs, line ends and NUL, or "_", was expected`,
      )
    }
    text += cells.join('\t') + end()
  }
  return text + end()
}

/** A word to be written. */
export interface NewWord {
  form: string
  upos?: string
  /** Word number from 1, 0 for the root. */
  head?: number
  deprel?: string
  /** Default true. */
  spaceAfter?: boolean
  /** Words that follow one another with the same number are the words of one token ("don't"): they get a range. */
  token?: number
}

/** A sentence of words that were not read from a file. */
export function makeSentence(words: readonly NewWord[], comments: readonly string[] = []): ConlluSentence {
  const rows: ConlluRow[] = []
  const all: ConlluRow[] = []
  for (let first = 0; first < words.length; ) {
    let end = first + 1
    const { token } = words[first]
    while (token !== undefined && end < words.length && words[end].token === token) end++
    const misc = (words[end - 1].spaceAfter ?? true) ? '_' : 'SpaceAfter=No'
    const isRange = end > first + 1
    if (isRange) {
      let form = ''
      for (let place = first; place < end; place++) form += words[place].form
      rows.push(newRow('range', `${first + 1}-${end}`, { form }, misc))
    }
    for (; first < end; first++) {
      const word = newRow('word', String(first + 1), words[first], isRange ? '_' : misc)
      rows.push(word)
      all.push(word)
    }
  }
  const heads = Int32Array.from(words, ({ head }) => head ?? -1)
  return { source: 'text', line: 0, comments: [...comments], rows, words: all, heads, lineEnd: '\n' }
}

/** Every field by itself: a copy of a blank row that is then changed takes several times as long. */
function newRow(
  kind: ConlluRow['kind'],
  id: string,
  { form, upos = '_', head, deprel = '_' }: NewWord,
  misc: string,
): ConlluRow {
  return {
    kind,
    line: 0,
    id,
    form,
    lemma: '_',
    upos,
    xpos: '_',
    feats: '_',
    head: head === undefined ? '_' : String(head),
    deprel,
    deps: '_',
    misc,
  }
}

/**
 * Writes a file (gzipped if its name ends in .gz) as the sentences come; it appears when it is whole. A pipe or device is written straight.
 * Returns the number of sentences. Throws BAD_DATA and the errors of files.
 */
export async function writeConllu(
  path: string,
  sentences: Iterable<ConlluSentence> | AsyncIterable<ConlluSentence>,
): Promise<number> {
  let count = 0
  await writePackedOutput(path, 'write the CoNLL-U file', async (write) => {
    for await (const sentence of sentences) {
      count++
      await write(formatConllu(sentence))
    }
  })
  return count
}
