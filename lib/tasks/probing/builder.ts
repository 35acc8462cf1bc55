/** What a task's builder is: it sees the text once to count (when it needs to), and once to take its examples. */
import { StrataError } from '../../errors.js'
import type { ProbeSentence } from './sentence.js'
import type { ProbeSizes } from './sizes.js'
import type { ProbeSet } from './types.js'
import type { WordCounts } from './word-counts.js'

export interface ProbeContext {
  seed: number
  sizes: ProbeSizes
  /** Filled in the first pass, when a task of the source needs it. */
  counts: WordCounts
  /** Files and settings, for `ProbeSet.source` and errors. */
  source: string
}

export interface ProbeBuilder {
  /** First pass. A builder without it needs none. */
  count?(sentence: ProbeSentence): void
  /** Between the passes. */
  settle?(): void
  /** Second pass. */
  offer(sentence: ProbeSentence): void
  /** Throws BAD_DATA when the text is too little for the task. */
  finish(): ProbeSet
}

/** The text cannot fill the task. */
export function tooLittle(task: string, source: string, problem: string): StrataError {
  return new StrataError(
    'BAD_DATA',
    `task ${task}: too little text (${source}): ${problem}; give more text or leave the task out`,
    { details: { task } },
  )
}
