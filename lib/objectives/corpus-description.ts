import { reopenCorpus } from '../data/reopen-corpus.js'
import type { TokenCorpus } from '../data/token-corpus.js'

/** A corpus as a worker thread gets it: the folder to map again or, for one that lives in memory only, its arrays. */
export type CorpusDescription = { directory: string } | { arrays: TokenCorpus }

/** What a worker thread needs to have the same corpus. */
export function describeCorpus(corpus: TokenCorpus): CorpusDescription {
  if (corpus.directory !== '') return { directory: corpus.directory }
  const { documentCount, sentenceCount, tokenCount, tokenIds, tokenFlags, sentenceOffsets, documentOffsets, chunks } =
    corpus
  const arrays = { tokenIds, tokenFlags, sentenceOffsets, documentOffsets, ...(chunks && { chunks }) }
  return { arrays: { directory: '', documentCount, sentenceCount, tokenCount, ...arrays } }
}

/** The corpus that {@link describeCorpus} described. */
export function corpusFromDescription(description: CorpusDescription): TokenCorpus {
  return 'arrays' in description ? description.arrays : reopenCorpus(description.directory)
}
