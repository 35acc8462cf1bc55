/** Scorer of tagging tasks. */
import { StrataError } from '../errors.js'
import type { TaggingSet } from '../tasks/index.js'
import { accuracy, confusionMatrix, macroF1 } from './classification-metrics.js'
import { spanFigures } from './span-metrics.js'
import type { TaskScorer, TaskScorerContext } from './task-scorer.js'

/**
 * `finish` gives those of `accuracy`, `f1Macro` (both over words) and `spanF1` that the task asks for, over the words that have a label in
 * the batches. A prediction is one tag a word, "" for words that the model does not see.
 */
export function taggingScorer(context: TaskScorerContext): TaskScorer {
  const { task, split, predictions } = context
  const set = context.set as TaggingSet
  const names = task.labels!
  const labels: number[] = []
  const predicted: number[] = []
  const labelTags: string[][] = []
  const predictedTags: string[][] = []
  /** Classes said of an example's judged words so far: its windows may stand in several batches. */
  const pending = new Map<number, number[]>()
  const settle = (example: number, said: readonly number[]): void => {
    const { words, classes, judged } = set.sentences[example]
    const tags: string[] = words.map(() => '')
    judged.forEach((word, i) => {
      tags[word] = names[said[i]]
    })
    if (set.labelled) {
      for (const word of judged) labels.push(classes[word]!)
      for (const best of said) predicted.push(best)
      labelTags.push(judged.map((word) => names[classes[word]!]))
      predictedTags.push(judged.map((word) => tags[word]))
    }
    predictions?.({
      task: task.name,
      split,
      example,
      ...set.place(example),
      predicted: tags,
      ...(set.labelled && { expected: classes.map((value) => (value === undefined ? '' : names[value])) }),
    })
  }
  return {
    add(batch, index, { logits }) {
      const examples = set.exampleNumbers(0, index)
      const positions = batch.labels[task.head].positions!
      if (logits?.shape[1] !== names.length || logits.shape[0] !== positions.length) {
        throw new StrataError(
          'BAD_ARGUMENT',
          `head ${task.head} gives scores of shape ${logits ? logits.shape.join(' × ') : 'none'}, task ${task.name} expects ${positions.length} × ${names.length}; use the head that the task was trained with`,
          { details: { task: task.name, head: task.head } },
        )
      }
      let sequence = 0
      positions.forEach((position, row) => {
        while (position >= batch.sequenceOffsets[sequence + 1]) sequence++
        const example = examples[sequence]
        const scores = logits.values.subarray(row * names.length, (row + 1) * names.length)
        const best = scores.indexOf(Math.max(...scores))
        if (best < 0) {
          const { file, line } = set.place(example)
          throw new StrataError('NON_FINITE', `task ${task.name}: the scores of ${file}:${line} are not numbers`)
        }
        const said = pending.get(example) ?? []
        if (said.push(best) === 1) pending.set(example, said)
        if (said.length < set.sentences[example].judged.length) return
        pending.delete(example)
        settle(example, said)
      })
    },
    finish() {
      if (!set.labelled) return {}
      const figures: Record<string, number> = {}
      for (const metric of task.metrics) {
        if (metric === 'accuracy') figures.accuracy = accuracy(labels, predicted)
        if (metric === 'f1Macro') {
          figures.f1Macro = macroF1(confusionMatrix(labels, predicted, names.length), names.length)
        }
        if (metric === 'spanF1') figures.spanF1 = spanFigures(labelTags, predictedTags).f1
      }
      return figures
    },
  }
}
