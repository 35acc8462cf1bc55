/** Scorers of the kinds that have one class or one number a sequence. */
import { NO_LABEL } from '../data/packed-batch.js'
import { StrataError } from '../errors.js'
import type { HeadEvaluation } from '../model/index.js'
import { softmax } from '../softmax.js'
import type { MetricName } from '../tasks/types.js'
import { accuracy, confusionMatrix, macroF1, matthews } from './classification-metrics.js'
import { pearson, spearman } from './correlation.js'
import { f1Score } from './metrics.js'
import type { TaskScorer, TaskScorerContext } from './task-scorer.js'

/** Compares the class with the highest score (the first of equal ones) with the label. */
export function classificationScorer(context: TaskScorerContext): TaskScorer {
  const { task, split, set, predictions } = context
  const names = task.labels!
  const labels: number[] = []
  const predicted: number[] = []
  return {
    add(batch, index, evaluation) {
      const { values, width } = scoresOf(context, evaluation, names.length)
      const examples = set.exampleNumbers(0, index)
      let row = 0
      batch.labels[task.head].labels.forEach((label, i) => {
        if (label === NO_LABEL) return
        const scores = values.subarray(row * width, ++row * width)
        const best = scores.indexOf(Math.max(...scores))
        if (best < 0) {
          const { file, line } = set.place(examples[i])
          throw new StrataError('NON_FINITE', `task ${task.name}: the scores of ${file}:${line} are not numbers`)
        }
        if (set.labelled) {
          labels.push(label)
          predicted.push(best)
        }
        predictions?.({
          task: task.name,
          split,
          example: examples[i],
          ...set.place(examples[i]),
          predicted: names[best],
          ...(set.labelled && { expected: names[label] }),
          scores: softmax(scores),
          predictedIndex: best,
          ...(set.labelled && { expectedIndex: label }),
        })
      })
    },
    finish() {
      if (!set.labelled) return {}
      const confusion = confusionMatrix(labels, predicted, names.length)
      return figures(task.metrics, {
        accuracy: () => accuracy(labels, predicted),
        f1: () => f1Score(confusion, names.length, 1),
        f1Macro: () => macroF1(confusion, names.length),
        matthews: () => matthews(confusion, names.length),
      })
    },
  }
}

/** Correlates the head's numbers with the values. */
export function regressionScorer(context: TaskScorerContext): TaskScorer {
  const { task, split, set, predictions } = context
  const { targetDivisor = 1 } = task.definition as { targetDivisor?: number }
  const values: number[] = []
  const predicted: number[] = []
  return {
    add(batch, index, evaluation) {
      const { values: scores } = scoresOf(context, evaluation, 1)
      const { labels, values: targets } = batch.labels[task.head]
      const examples = set.exampleNumbers(0, index)
      let row = 0
      labels.forEach((label, i) => {
        if (label === NO_LABEL) return
        const score = scores[row++] * targetDivisor
        // Targets are stored in single precision: 3.8 shall not be shown as 3.7999999523.
        const target = Number((targets![i] * targetDivisor).toPrecision(7))
        if (set.labelled) {
          values.push(target)
          predicted.push(score)
        }
        predictions?.({
          task: task.name,
          split,
          example: examples[i],
          ...set.place(examples[i]),
          predicted: score,
          ...(set.labelled && { expected: target }),
        })
      })
    },
    finish() {
      if (!set.labelled) return {}
      return figures(task.metrics, {
        pearson: () => pearson(values, predicted),
        spearman: () => spearman(values, predicted),
      })
    },
  }
}

/** The scores of a batch's rows, shape (rows, width). */
function scoresOf(
  { task }: TaskScorerContext,
  { logits }: HeadEvaluation,
  width: number,
): { values: Float32Array | Float64Array; width: number } {
  if (logits?.shape[1] === width) return { values: logits.values, width }
  const came = logits ? `${logits.shape[1]} scores an example` : 'no scores'
  throw new StrataError(
    'BAD_ARGUMENT',
    `head ${task.head} gives ${came}, task ${task.name} expects ${width}; use the head that the task was trained with`,
    { details: { task: task.name, head: task.head } },
  )
}

function figures(
  metrics: readonly MetricName[],
  known: Partial<Record<MetricName, () => number>>,
): Record<string, number> {
  return Object.fromEntries(metrics.map((metric) => [metric, known[metric]?.() ?? Number.NaN]))
}
