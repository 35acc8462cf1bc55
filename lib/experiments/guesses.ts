/**
 * What answers without a look at the text would reach on a held-out set, by metric: of constant answers and of classes drawn with any
 * probabilities the best, by expected counts. Our choice.
 */
import { NO_LABEL } from '../data/index.js'
import { type OpenedTask, RankingSet, SpanSet, type TaskSet } from '../tasks/index.js'

/** One who guesses: the share that it gets right has Wilson's interval, of which the score follows. */
export interface Guess {
  /** To stand before its score. */
  who: string
  share: number
  /** Grows with the share; default the share itself. */
  scoreOf?: (share: number) => number
}

/** Metrics of which a guess is known, whatever the task. */
export const GUESSED_METRICS = ['accuracy', 'f1', 'f1Macro', 'exactMatch', 'accuracyAt1', 'meanReciprocalRank'] as const
export type GuessedMetric = (typeof GUESSED_METRICS)[number]

/** Of these every guess has 0, or none. */
export const CORRELATIONS = ['matthews', 'pearson', 'spearman'] as const

/** Metrics of which it is known what a run must be above. */
export const FLOORED_METRICS = [...GUESSED_METRICS, ...CORRELATIONS] as const

export interface Guesses {
  /** Judged labels; questions of spans and rankings. */
  count: number
  byMetric: Partial<Record<GuessedMetric, Guess>>
}

export function guessesOf(task: OpenedTask, set: TaskSet): Guesses {
  if (set instanceof RankingSet) return ofRanking(set)
  if (set instanceof SpanSet) return ofSpans(set)
  return ofClasses(task, set)
}

function ofRanking({ questions }: RankingSet): Guesses {
  const sizes = questions.map(({ candidates }) => candidates.length)
  const meanOf = (score: (size: number) => number) => sizes.reduce((sum, size) => sum + score(size), 0) / sizes.length
  // The right one stands at each place as often: the reciprocal of its rank is 1/n Σ 1/r in the mean.
  const reciprocal = (size: number) =>
    Array.from({ length: size }, (_, i) => 1 / (i + 1)).reduce((a, b) => a + b) / size
  return {
    count: sizes.length,
    byMetric: {
      accuracyAt1: { who: "a random candidate's", share: meanOf((size) => 1 / size) },
      meanReciprocalRank: { who: "a random order's", share: meanOf(reciprocal) },
    },
  }
}

/** Exact match and F1 of an empty answer are 1 where there is none, else 0. */
function ofSpans({ questions }: SpanSet): Guesses {
  const share = questions.filter(({ answers }) => answers.length === 0).length / questions.length
  const silence: Guess = { who: 'no answer anywhere:', share }
  return { count: questions.length, byMetric: { exactMatch: silence, f1: silence } }
}

function ofClasses(task: OpenedTask, set: TaskSet): Guesses {
  const counts = new Map<number, number>()
  for (let index = 0; index < set.batchCount(0); index++) {
    for (const label of set.build(0, index).labels[task.head].labels) {
      if (label !== NO_LABEL) counts.set(label, (counts.get(label) ?? 0) + 1)
    }
  }
  const count = [...counts.values()].reduce((sum, one) => sum + one, 0)
  return {
    count,
    byMetric: {
      accuracy: { who: "the majority's", share: Math.max(...counts.values()) / count },
      // Precision is the class's share p and recall 1.
      f1: { who: 'class 1 everywhere:', share: (counts.get(1) ?? 0) / count, scoreOf: (p) => (2 * p) / (1 + p) },
      // A class of share p that is said with probability q has F1 2pq/(p + q); the sum is largest at q = p, where it is Σ p.
      f1Macro: { who: 'classes drawn by their shares:', share: 1 / counts.size },
    },
  }
}
