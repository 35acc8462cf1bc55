/** Scorer of parsing tasks. */
import { decodeParses, type ParsingSet, type ParsingTaskDefinition, wholeParse } from '../tasks/index.js'
import { annotate, type ConlluSentence } from '../text/index.js'
import { scoreDependencies } from './dependency-score.js'
import type { TaskScorer, TaskScorerContext } from './task-scorer.js'

/**
 * Decodes trees with one root and gives those of `LAS`, `UAS`, `UPOS` and `CLAS` that the task asks for, as the CoNLL 2018 shared task
 * scores them (subtypes of relations do not count, punctuation does). Words that the model does not see depend on the root word. A
 * prediction is `head:relation` for each word.
 */
export function parsingScorer(context: TaskScorerContext): TaskScorer {
  const { task, split, predictions } = context
  const set = context.set as ParsingSet
  const { upos } = task.definition as ParsingTaskDefinition
  const names = { relations: task.labels!, tags: Array.isArray(upos) ? (upos as readonly string[]) : undefined }
  const gold: ConlluSentence[] = []
  const system: ConlluSentence[] = []
  return {
    add(_batch, index, { logits }) {
      const examples = set.exampleNumbers(0, index)
      const parses = decodeParses(
        logits,
        Array.from(examples, (example) => set.sentences[example].seen),
        names,
      )
      examples.forEach((example, i) => {
        const { sentence } = set.sentences[example]
        const { heads, relations, tags } = wholeParse([parses[i]], sentence.words.length)
        if (set.labelled) {
          gold.push(sentence)
          system.push(annotate(sentence, { heads, deprels: relations, upos: tags }))
        }
        predictions?.({
          task: task.name,
          split,
          example,
          ...set.place(example),
          predicted: relations.map((relation, word) => `${heads[word]}:${relation}`),
          ...(set.labelled && {
            expected: sentence.words.map(({ deprel }, word) => `${sentence.heads[word]}:${deprel}`),
          }),
        })
      })
    },
    finish() {
      if (!set.labelled) return {}
      const scores = scoreDependencies(gold, system)
      return Object.fromEntries(task.metrics.map((metric) => [metric, scores[metric as 'LAS'].f1]))
    },
  }
}
