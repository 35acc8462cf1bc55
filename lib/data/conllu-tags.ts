/** Words and one tag a word out of CoNLL-U: a view for tagging tasks. */
import type { StrataError } from '../errors.js'
import type { ConlluSentence } from '../text/conllu.js'
import { readConlluBlocks } from './conllu-file.js'
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

interface SentenceOptions {
  tally?: RowTally
  maxBadShare?: number
  signal?: AbortSignal
}

/**
 * Reads the sentences of a CoNLL-U file, gzipped or not, in blocks. A sentence that breaks the format is bad: counted in `tally` with
 * its line, the tally's `check` refuses beyond a share. Throws NOT_FOUND, BAD_FILE and BAD_DATA.
 */
export async function* readConlluSentences(
  file: string,
  options: SentenceOptions = {},
): AsyncGenerator<ConlluSentence[]> {
  const { tally = new RowTally(file), maxBadShare = 0.05, signal } = options
  const onBadSentence = ({ message, details }: StrataError): void => {
    tally.rows++
    const line = details.line as number
    tally.reject(line, message.replace(`${file}:${line}: `, ''))
  }
  for await (const block of readConlluBlocks(file, { tolerant: true, onBadSentence, signal })) {
    tally.rows += block.length
    yield block
  }
  tally.check(maxBadShare)
}

/** As {@link readConlluSentences}: their words with the tags of a column. */
export async function* readConlluTags(
  file: string,
  options: SentenceOptions & { column?: ConlluColumn } = {},
): AsyncGenerator<TaggedWords[]> {
  const { column = 'upos' } = options
  for await (const block of readConlluSentences(file, options)) {
    yield block.map(({ rows, words }) => ({
      line: rows[0].line,
      words: words.map(({ form }) => form),
      tags: words.map((word) => (word[column] === '_' ? undefined : word[column])),
    }))
  }
}
