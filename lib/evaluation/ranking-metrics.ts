/** Figures of a ranking: each question has some candidates, one of them right. */
import { StrataError } from '../errors.js'
import { checkLengths } from './classification-metrics.js'

export interface RankingFigures {
  /** Share of the questions whose right candidate is scored higher than all others. */
  accuracyAt1: number
  /** Mean of 1 / place of the right candidate. */
  meanReciprocalRank: number
  /** Questions that were judged. */
  questions: number
  /** Questions without exactly one right candidate, which take no part. */
  unjudged: number
}

/**
 * Scores candidates by question. Where scores are equal the right candidate takes the last of their places, so that a constant
 * score is never rewarded; a NaN is below all. NaN figures when no question can be judged.
 *
 * @param scores one a candidate, shape (N)
 * @param labels 1 = the right candidate, shape (N)
 * @param groups number of the candidate's question, shape (N); the candidates of a question may stand anywhere
 */
export function rankingFigures(
  scores: ArrayLike<number>,
  labels: ArrayLike<number>,
  groups: ArrayLike<number>,
): RankingFigures {
  checkLengths(labels, scores)
  if (groups.length !== scores.length) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `${groups.length} groups were given, one a score (${scores.length}) was expected`,
    )
  }
  const right = new Map<number, { score: number; count: number; place: number }>()
  for (let i = 0; i < scores.length; i++) {
    let group = right.get(groups[i])
    if (!group) {
      group = { score: Number.NaN, count: 0, place: 0 }
      right.set(groups[i], group)
    }
    if (labels[i] !== 1) continue
    group.score = scores[i]
    group.count++
  }
  for (let i = 0; i < scores.length; i++) {
    const group = right.get(groups[i])!
    if (!(scores[i] < group.score || (Number.isNaN(scores[i]) && !Number.isNaN(group.score)))) group.place++
  }
  let questions = 0
  let first = 0
  let reciprocal = 0
  for (const { count, place } of right.values()) {
    if (count !== 1) continue
    questions++
    if (place === 1) first++
    reciprocal += 1 / place
  }
  return {
    accuracyAt1: first / questions,
    meanReciprocalRank: reciprocal / questions,
    questions,
    unjudged: right.size - questions,
  }
}
