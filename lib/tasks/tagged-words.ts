/** Lists of words and tags in JSON lines or Parquet: the rows of tagging tasks beside CoNLL-U. */
import { RowTally, readTable, tableFormatOf } from '../data/index.js'
import type { TaggingTaskDefinition } from './tagging-task.js'

export interface WordList {
  line: number
  words: string[]
  /** One a word; undefined in a set without tags. */
  tags?: string[]
}

/** Reads a table of lists in blocks. Rows without words, or with another number of tags, are bad rows of the tally. */
export async function* readWordLists(
  file: string,
  definition: Pick<TaggingTaskDefinition, 'words' | 'tags'>,
  options: { unlabelled?: boolean; tally?: RowTally; maxBadShare?: number; signal?: AbortSignal } = {},
): AsyncGenerator<WordList[]> {
  const { unlabelled = false, tally = new RowTally(file), maxBadShare = 0.05, signal } = options
  const words = { names: ['tokens', 'words'], ...definition.words, list: true }
  const tags = { names: ['tags', 'ner_tags', 'pos_tags'], ...definition.tags, list: true, optional: unlabelled }
  const columns = [words, tags]
  for await (const block of readTable({
    source: file,
    format: tableFormatOf(file),
    columns,
    maxBadShare,
    tally,
    signal,
  })) {
    const sentences: WordList[] = []
    for (const { line, lists } of block) {
      const [list, marks] = lists ?? []
      if (!list || list.length === 0) tally.reject(line, 'a sentence without words')
      else if (marks && marks.length !== list.length) {
        tally.reject(line, `${list.length} words and ${marks.length} tags; one tag a word was expected`)
      } else sentences.push({ line, words: list, tags: marks })
    }
    yield sentences
  }
  tally.check(maxBadShare)
}
