/** Scorer of ranking tasks. */
import { StrataError } from '../errors.js'
import type { RankingSet } from '../tasks/index.js'
import { rankingFigures } from './ranking-metrics.js'
import type { TaskScorer, TaskScorerContext } from './task-scorer.js'

/** What `finish` gives. */
export const RANKING_FIGURES = ['accuracyAt1', 'meanReciprocalRank'] as const

/** `finish` gives `accuracyAt1` and `meanReciprocalRank`; a prediction is the text of the candidate with the highest score. */
export function rankingScorer(context: TaskScorerContext): TaskScorer {
  const { task, split, predictions } = context
  const set = context.set as RankingSet
  const scores: number[] = []
  const labels: number[] = []
  const groups: number[] = []
  return {
    add(batch, index, { logits }) {
      const examples = set.exampleNumbers(0, index)
      if (logits?.shape[1] !== 1 || logits.shape[0] !== examples.length) {
        throw new StrataError(
          'BAD_ARGUMENT',
          `head ${task.head} gives scores of shape ${logits ? logits.shape.join(' × ') : 'none'}, task ${task.name} expects ${examples.length} × 1; use the head that the task was trained with`,
          { details: { task: task.name, head: task.head } },
        )
      }
      const batchLabels = batch.labels[task.head].labels
      for (let from = 0; from < examples.length; ) {
        const example = examples[from]
        let to = from
        while (to < examples.length && examples[to] === example) to++
        const own = Array.from(logits.values.subarray(from, to))
        if (own.some(Number.isNaN)) {
          const { file, line } = set.place(example)
          throw new StrataError('NON_FINITE', `task ${task.name}: the scores of ${file}:${line} are not numbers`)
        }
        own.forEach((score, i) => {
          scores.push(score)
          labels.push(batchLabels[from + i])
          groups.push(example)
        })
        from = to
        if (!predictions) continue
        const { candidates, right } = set.question(example)
        const best = own.indexOf(Math.max(...own))
        predictions({
          task: task.name,
          split,
          example,
          ...set.place(example),
          predicted: candidates[best],
          ...(right >= 0 && { expected: candidates[right] }),
          scores: own,
          predictedIndex: best,
          ...(right >= 0 && { expectedIndex: right }),
        })
      }
    },
    finish(): Record<string, number> {
      if (!set.labelled) return {}
      const { accuracyAt1, meanReciprocalRank } = rankingFigures(scores, labels, groups)
      return { accuracyAt1, meanReciprocalRank }
    },
  }
}
