/**
 * A sentence in CoNLL-U (universaldependencies.org/format.html) and what its columns say. Cells stay the strings of the file, so
 * that a sentence is written back byte for byte.
 */
import { StrataError } from '../errors.js'

/** Columns in the order of the file. */
export const CONLLU_COLUMNS = [
  'id',
  'form',
  'lemma',
  'upos',
  'xpos',
  'feats',
  'head',
  'deprel',
  'deps',
  'misc',
] as const
export type ConlluColumnName = (typeof CONLLU_COLUMNS)[number]

/** One line: a word (`3`), the range of a multi-word token (`3-4`) or an empty node (`3.1`). */
export interface ConlluRow extends Record<ConlluColumnName, string> {
  kind: 'word' | 'range' | 'empty'
  /** In the file, from 1; 0 for a row that was made here. */
  line: number
}

export interface ConlluSentence {
  /** The file. */
  source: string
  /** Of its first line, from 1. */
  line: number
  /** Whole lines, each begins with `#`. */
  comments: string[]
  /** Words, ranges and empty nodes in the order of the file. */
  rows: ConlluRow[]
  /** The words among the rows: W of them. */
  words: ConlluRow[]
  /** (W): the head's word number from 1, 0 for a root, -1 where the column is `_`. Made from the rows; change it with {@link annotate}. */
  heads: Int32Array
  /** Set when the sentence begins a document or a paragraph (`# newdoc`, `# newpar`). */
  newDocument?: { id?: string }
  newParagraph?: { id?: string }
  /** Of the first line. */
  lineEnd: LineEnd
  /** Of every line where they are not all alike: comments, rows, and the blank line at the end. */
  lineEnds?: readonly LineEnd[]
}

export type LineEnd = '\n' | '\r\n'

/** The value of a comment `# name = value`; undefined without it. */
export function commentValue(sentence: Pick<ConlluSentence, 'comments'>, name: string): string | undefined {
  const comment = sentence.comments.find((line) => commentName(line) === name)
  return comment?.slice(comment.indexOf('=') + 1).trim()
}

/**
 * A copy with the comment `# name = value`: in the place of the first of this name, else in front of all but `# global.columns`, which
 * CoNLL-U Plus has as a file's first line.
 */
export function withComment(sentence: ConlluSentence, name: string, value: string): ConlluSentence {
  const comments = [...sentence.comments]
  const comment = `# ${name} = ${value}`
  const place = comments.findIndex((line) => commentName(line) === name)
  if (place >= 0) {
    comments[place] = comment
    return { ...sentence, comments }
  }
  const front = comments.length > 0 && commentName(comments[0]) === 'global.columns' ? 1 : 0
  comments.splice(front, 0, comment)
  const lineEnds = sentence.lineEnds?.toSpliced(front, 0, sentence.lineEnd)
  return { ...sentence, comments, ...(lineEnds && { lineEnds }) }
}

function commentName(comment: string): string | undefined {
  const equals = comment.indexOf('=')
  return equals > 0 ? comment.slice(1, equals).trim() : undefined
}

/** False only where MISC holds `SpaceAfter=No`. */
export function spaceAfter(row: Pick<ConlluRow, 'misc'>): boolean {
  return !row.misc.includes('SpaceAfter=No') || !row.misc.split('|').includes('SpaceAfter=No')
}

/** The number range of a multi-word token, `3-4` as [3, 4]. */
export function rangeOf(row: Pick<ConlluRow, 'id'>): [first: number, last: number] {
  const [first, last] = row.id.split('-')
  return [Number(first), Number(last)]
}

/** A sentence as running text, with the place of each word in it. */
export interface SentenceText {
  text: string
  /** (W) UTF-16 offsets. Words of a multi-word token whose forms do not spell the token share its place. */
  starts: Int32Array
  ends: Int32Array
  /** Does white space follow the last token? */
  spaceAfter: boolean
}

/** The text that the forms and `SpaceAfter` spell (not the `# text` comment). */
export function sentenceText(sentence: Pick<ConlluSentence, 'rows' | 'words'>): SentenceText {
  const starts = new Int32Array(sentence.words.length)
  const ends = new Int32Array(sentence.words.length)
  let text = ''
  let gap = ''
  let word = 0
  let covered = 0
  for (const row of sentence.rows) {
    if (row.kind === 'empty' || (row.kind === 'word' && Number(row.id) <= covered)) continue
    text += gap
    const start = text.length
    text += row.form
    gap = spaceAfter(row) ? ' ' : ''
    if (row.kind === 'word') {
      starts[word] = start
      ends[word++] = text.length
      continue
    }
    const last = rangeOf(row)[1]
    const parts = sentence.words.slice(word, last)
    const spelled = parts.map(({ form }) => form).join('') === row.form
    let at = start
    for (const part of parts) {
      starts[word] = spelled ? at : start
      at += part.form.length
      ends[word++] = spelled ? at : text.length
    }
    covered = last
  }
  return { text, starts, ends, spaceAfter: gap !== '' }
}

/** A copy of the sentence with other tags or another tree. New heads empty the column DEPS, whose graph they outdate. */
export function annotate(
  sentence: ConlluSentence,
  values: { upos?: readonly string[]; heads?: ArrayLike<number>; deprels?: readonly string[] },
): ConlluSentence {
  const { upos, heads, deprels } = values
  for (const [name, list] of Object.entries(values)) {
    if (list === undefined || list.length === sentence.words.length) continue
    throw new StrataError(
      'BAD_ARGUMENT',
      `${name} has ${list.length} entries; one for each of the ${sentence.words.length} words was expected`,
    )
  }
  let word = 0
  const rows = sentence.rows.map((row) => {
    if (row.kind !== 'word') return row
    const copy = { ...row }
    if (upos) copy.upos = upos[word]
    if (deprels) copy.deprel = deprels[word]
    if (heads) {
      copy.head = heads[word] < 0 ? '_' : String(heads[word])
      copy.deps = '_'
    }
    word++
    return copy
  })
  const words = rows.filter(({ kind }) => kind === 'word')
  return { ...sentence, rows, words, heads: heads ? Int32Array.from(heads) : sentence.heads }
}

/** Word numbers (from 1) of a cycle of the heads, undefined where every path ends at a root or at a missing head. Linear time. */
export function findCycle(heads: ArrayLike<number>): number[] | undefined {
  /** 0 not seen, else the walk that came by first. */
  const seen = new Int32Array(heads.length + 1)
  for (let start = 1; start <= heads.length; start++) {
    let at = start
    while (at > 0 && seen[at] === 0) {
      seen[at] = start
      at = heads[at - 1]
    }
    if (at <= 0 || seen[at] !== start) continue
    const cycle = [at]
    for (let next = heads[at - 1]; next !== at; next = heads[next - 1]) cycle.push(next)
    return cycle
  }
  return undefined
}
