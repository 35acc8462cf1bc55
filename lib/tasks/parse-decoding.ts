/** Trees out of a parser head's answers. */
import { StrataError } from '../errors.js'
import type { Scores } from '../model/index.js'
import { findCycle } from '../text/index.js'
import { maximumSpanningTree } from './spanning-tree.js'

/** The parse of a sentence of W words. */
export interface Parse {
  /** (W): number of each word's head from 1, 0 for the root. */
  heads: Int32Array
  /** (W) */
  relations: string[]
  /** (W): parts of speech, of a parser that has them. */
  tags?: string[]
}

export interface DecodeParsesOptions {
  /** Names of the relations by number. */
  relations: readonly string[]
  /** Names of the parts of speech by number; without them the answers must have none. */
  tags?: readonly string[]
  /** `tree` (default): the best tree with one root. `greedy`: the best head of each word, which may run in cycles. */
  decode?: 'tree' | 'greedy'
}

/** What relation a word gets where the parser cannot say. */
const UNKNOWN_RELATION = 'dep'
const UNKNOWN_TAG = 'X'

/**
 * The parses of sentences of these numbers of words (sequences without a word left out or 0), out of what a parser head answers (see
 * `HeadEvaluation.logits`). A root's relation is `root` where there is one, and no other word's.
 *
 * Throws BAD_ARGUMENT for answers of another shape, NON_FINITE naming the sentence.
 */
export function decodeParses(
  answers: Scores | undefined,
  wordCounts: ArrayLike<number>,
  options: DecodeParsesOptions,
): Parse[] {
  const { relations, tags, decode = 'tree' } = options
  const counts = Array.from(wordCounts)
  const arcs = counts.reduce((sum, words) => sum + words * (words + 1), 0)
  const rows = arcs + (tags ? counts.reduce((sum, words) => sum + words, 0) : 0)
  if (answers?.shape[0] !== rows || answers.shape[1] !== 2) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `the parser's answers have shape ${answers ? answers.shape.join(' × ') : 'none'}, ${rows} × 2 was expected; use the head that the task was trained with`,
    )
  }
  const { values } = answers
  const root = relations.indexOf('root')
  let arc = 0
  let word = arcs
  return counts.map((words, sentence) => {
    const first = arc
    arc += words * (words + 1)
    const scores = new Float64Array(words * (words + 1))
    for (let at = 0; at < scores.length; at++) {
      const score = values[2 * (first + at)]
      if (!Number.isFinite(score)) throw nonFinite(sentence)
      scores[at] = score
    }
    const heads = headsOf(scores, words, decode)
    const names = Array.from(heads, (head, i) => {
      const best = values[2 * (first + i * (words + 1) + head) + 1]
      if (root >= 0 && head === 0) return relations[root]
      return best === root ? UNKNOWN_RELATION : relations[best]
    })
    if (!tags) return { heads, relations: names }
    return { heads, relations: names, tags: names.map(() => tags[values[2 * word++ + 1]]) }
  })
}

function nonFinite(sentence: number): StrataError {
  return new StrataError('NON_FINITE', `the arc scores of sentence ${sentence} are not numbers`, {
    details: { sentence },
  })
}

function headsOf(scores: Float64Array, words: number, decode: 'tree' | 'greedy'): Int32Array {
  const heads = new Int32Array(words)
  let roots = 0
  for (let word = 0; word < words; word++) {
    let best = 0
    for (let head = 1; head <= words; head++) {
      if (head !== word + 1 && scores[word * (words + 1) + head] > scores[word * (words + 1) + best]) best = head
    }
    heads[word] = best
    if (best === 0) roots++
  }
  // The best heads that are a tree are the best tree.
  if (decode === 'greedy' || (roots === 1 && !findCycle(heads))) return heads
  return maximumSpanningTree(scores, words)
}

/**
 * One parse of a sentence that was parsed in several parts, of `words` words: the root of each later part depends on the first one's, and so
 * do words that no part has seen.
 */
export function wholeParse(parts: readonly Parse[], words: number): Parse {
  const heads = new Int32Array(words)
  const relations: string[] = []
  const tags: string[] = []
  const withTags = parts.length === 0 || parts[0].tags !== undefined
  const root = Math.max(0, parts[0]?.heads.indexOf(0) ?? 0)
  const attach = (word: number, relation: string): void => {
    heads[word] = word === root ? 0 : root + 1
    relations[word] = word === root ? relation : UNKNOWN_RELATION
  }
  let before = 0
  for (const part of parts) {
    part.heads.forEach((head, i) => {
      if (head === 0) attach(before + i, part.relations[i])
      else {
        heads[before + i] = before + head
        relations[before + i] = part.relations[i]
      }
      tags[before + i] = part.tags?.[i] ?? UNKNOWN_TAG
    })
    before += part.heads.length
  }
  for (let word = before; word < words; word++) {
    attach(word, 'root')
    tags[word] = UNKNOWN_TAG
  }
  return withTags ? { heads, relations, tags } : { heads, relations }
}
