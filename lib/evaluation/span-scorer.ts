/** Scorer of span tasks: decodes each question once all its windows have come, then scores all as the official script does. */
import { StrataError } from '../errors.js'
import { decodeSpans, type SpanSet, type SpanTaskDefinition, type TaskDefinition } from '../tasks/index.js'
import { scoreSquad11, scoreSquad20 } from './squad-score.js'
import type { TaskScorer, TaskScorerContext } from './task-scorer.js'

/** A question whose windows have not all come. */
interface Pending {
  windows: {
    window: SpanSet['questions'][number]['windows'][number]
    startLogits: Float64Array
    endLogits: Float64Array
  }[]
  missing: number
}

/** What `finish` gives; of sets with questions without an answer the first two of the others where they have such questions. */
export function spanFigureNames(definition: TaskDefinition): string[] {
  const { noAnswer } = definition as SpanTaskDefinition
  const others = ['hasAnswerF1', 'noAnswerAccuracy', 'bestF1', 'bestF1Threshold']
  return ['exactMatch', 'f1', ...(noAnswer ? others : [])]
}

/**
 * `finish` gives `exactMatch` and `f1` as fractions. Of sets with questions without an answer (2.0) it adds `hasAnswerF1`, `noAnswerAccuracy`, and the best
 * F1 that another threshold on the no-answer score would give, with that threshold: `bestF1`, `bestF1Threshold`.
 */
export function spanScorer(context: TaskScorerContext): TaskScorer {
  const { task, split, predictions } = context
  const set = context.set as SpanSet
  const {
    noAnswer: allowsNoAnswer = false,
    maxAnswerTokens,
    nBest,
    noAnswerThreshold,
  } = task.definition as SpanTaskDefinition
  const pending = new Map<number, Pending>()
  /** By question; the lists of candidates are not kept. */
  const answers = new Map<string, { text: string; bestSpan: string; noAnswerScore?: number }>()
  const decode = (example: number, { windows }: Pending): void => {
    const question = set.questions[example]
    const answer = decodeSpans({
      ...question,
      windows,
      noAnswer: allowsNoAnswer,
      maxAnswerTokens,
      nBest,
      noAnswerThreshold,
    })
    const { text, noAnswerScore } = answer
    const bestSpan = answer.candidates.find((candidate) => candidate.text !== '')?.text ?? ''
    answers.set(question.id, { text, bestSpan, noAnswerScore })
    predictions?.({
      task: task.name,
      split,
      example,
      ...set.place(example),
      predicted: answer.text,
      ...(set.labelled && { expected: question.answers.map(({ text }) => text) }),
      scores: {
        probability: answer.probability,
        ...(answer.noAnswerScore !== undefined && { noAnswer: answer.noAnswerScore }),
      },
      span: answer,
    })
  }
  return {
    examples: set.examples,
    add(batch, index, { logits }) {
      if (logits?.shape[1] !== 2 || logits.shape[0] !== batch.tokenIds.length) {
        throw new StrataError(
          'BAD_ARGUMENT',
          `head ${task.head} gives scores of shape ${logits ? logits.shape.join(' × ') : 'none'}, task ${task.name} expects ${batch.tokenIds.length} × 2; use the head that the task was trained with`,
          { details: { task: task.name, head: task.head } },
        )
      }
      const examples = set.exampleNumbers(0, index)
      set.sequenceNumbers(0, index).forEach((sequence, i) => {
        const example = examples[i]
        const question = set.questions[example]
        const from = batch.sequenceOffsets[i]
        const length = batch.sequenceOffsets[i + 1] - from
        const startLogits = Float64Array.from({ length }, (_, token) => logits.values[2 * (from + token)])
        const endLogits = Float64Array.from({ length }, (_, token) => logits.values[2 * (from + token) + 1])
        if (startLogits.some(Number.isNaN) || endLogits.some(Number.isNaN)) {
          throw new StrataError(
            'NON_FINITE',
            `task ${task.name}: the scores of question ${question.id} are not numbers`,
          )
        }
        let entry = pending.get(example)
        if (!entry) {
          entry = { windows: [], missing: question.windows.length }
          pending.set(example, entry)
        }
        const place = sequence - question.firstSequence
        entry.windows[place] = { window: question.windows[place], startLogits, endLogits }
        if (--entry.missing > 0) return
        pending.delete(example)
        decode(example, entry)
      })
    },
    finish(): Record<string, number> {
      if (!set.labelled) return {}
      const texts = new Map([...answers].map(([id, { text }]) => [id, text]))
      if (!allowsNoAnswer) {
        const { exactMatch, f1 } = scoreSquad11(set.questions, texts)
        return { exactMatch, f1 }
      }
      const { exactMatch, f1, official } = scoreSquad20(set.questions, texts)
      // The search wants the best span of every question, whatever the threshold made of it.
      const spans = new Map([...answers].map(([id, { bestSpan }]) => [id, bestSpan]))
      const noAnswer = new Map([...answers].map(([id, { noAnswerScore }]) => [id, noAnswerScore!]))
      const best = scoreSquad20(set.questions, spans, { noAnswer }).official
      return {
        exactMatch,
        f1,
        ...(official.HasAns_f1 !== undefined && { hasAnswerF1: official.HasAns_f1 / 100 }),
        ...(official.NoAns_exact !== undefined && { noAnswerAccuracy: official.NoAns_exact / 100 }),
        bestF1: best.best_f1 / 100,
        bestF1Threshold: best.best_f1_thresh,
      }
    },
  }
}
