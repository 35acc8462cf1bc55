/**
 * Words and one tag a word out of CoNLL-U. Minimal on purpose: heads, relations, lemmas and features are not read; multi-word
 * ranges (`1-2`) and empty nodes (`8.1`) are left out, as their words stand by themselves (universaldependencies.org/format.html).
 */
import { readLines } from './corpus-line-reader.js'
import { RowTally } from './table-reader.js'

/** A column that can serve as tag. */
export type ConlluColumn = 'upos' | 'xpos' | 'deprel'

export interface TaggedWords {
  /** Line of the sentence's first word, from 1. */
  line: number
  words: string[]
  /** One a word; undefined where the file has `_`. */
  tags: (string | undefined)[]
}

const PLACES: Record<ConlluColumn, number> = { upos: 3, xpos: 4, deprel: 7 }

/**
 * Reads the sentences of a CoNLL-U file, gzipped or not, in blocks. A sentence with a row that has not ten columns, or a word
 * without form or with a wrong number, is bad: counted in `tally` with its line, the tally's `check` refuses beyond a share.
 * Throws NOT_FOUND and BAD_FILE.
 */
export async function* readConlluTags(
  file: string,
  options: { column?: ConlluColumn; tally?: RowTally; maxBadShare?: number; signal?: AbortSignal } = {},
): AsyncGenerator<TaggedWords[]> {
  const { column = 'upos', tally = new RowTally(file), maxBadShare = 0.05, signal } = options
  let sentence: TaggedWords | undefined
  let problem: { line: number; problem: string } | undefined
  const take = (): TaggedWords[] => {
    const ready = sentence
    const wrong = problem
    sentence = undefined
    problem = undefined
    if (wrong) {
      tally.rows++
      tally.reject(wrong.line, wrong.problem)
      return []
    }
    if (!ready) return []
    tally.rows++
    return [ready]
  }
  for await (const { firstLine, lines } of readLines(file, { signal })) {
    const block: TaggedWords[] = []
    let line = firstLine
    for (const row of lines.toString('utf8').replace(/\n$/, '').split('\n')) {
      const text = row.endsWith('\r') ? row.slice(0, -1) : row
      if (text === '') block.push(...take())
      else if (!text.startsWith('#') && !problem) {
        const cells = text.split('\t')
        sentence ??= { line, words: [], tags: [] }
        if (cells.length !== 10) problem = { line, problem: `${cells.length} columns, 10 were expected` }
        else if (/^\d+$/.test(cells[0])) {
          const [id, form] = cells
          if (Number(id) !== sentence.words.length + 1) {
            problem = { line, problem: `word number ${id}, ${sentence.words.length + 1} was expected` }
          } else if (form === '') problem = { line, problem: 'a word without form' }
          else {
            const tag = cells[PLACES[column]]
            sentence.words.push(form)
            sentence.tags.push(tag === '_' || tag === '' ? undefined : tag)
          }
        } else if (!/^\d+[-.]\d+$/.test(cells[0]))
          problem = { line, problem: `${JSON.stringify(cells[0].slice(0, 20))} is no word number` }
      }
      line++
    }
    if (block.length > 0) yield block
  }
  const last = take()
  if (last.length > 0) yield last
  tally.check(maxBadShare)
}
