/** Is a file CoNLL-U? Its name says so, or its first lines. */
import { CONLLU_COLUMNS } from './conllu.js'

/** By the name alone: `.conllu` or `.conll`, also gzipped. */
export function isConlluName(file: string): boolean {
  return /\.conllu?(?:\.gz)?$/i.test(file)
}

/** More lines than this before the first that tells it are text. */
export const MOST_UNDECIDED_LINES = 1000

const USUAL_COMMENT = /^#\s*(?:newdoc\b|newpar\b|(?:sent_id|text|generator|global\.columns)\s*=)/
const WORD_NUMBER = /^\d+(?:[-.]\d+)?\t/
/** Blank, or something that may be a comment of CoNLL-U as well as a line of text ("# Notes"). */
const UNDECIDED = /^\s*(?:#|$)/

/**
 * What one of a file's first lines tells: true for CoNLL-U (a usual comment, or a row of ten columns that begins with a word number), false
 * for text, undefined where it may be either. For the first line that is not undefined; without one the file is text.
 */
export function lineOfConllu(line: string): boolean | undefined {
  if (USUAL_COMMENT.test(line)) return true
  if (UNDECIDED.test(line)) return undefined
  return WORD_NUMBER.test(line) && line.split('\t', CONLLU_COLUMNS.length + 1).length === CONLLU_COLUMNS.length
}
