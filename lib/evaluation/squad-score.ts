/**
 * Exact match and F1 of SQuAD, equal to the official scripts (evaluate-v1.1.py; evaluate-v2.0.py) to the last digit.
 * Rajpurkar et al. 2016 (arXiv 1606.05250) and 2018 (arXiv 1806.03822).
 *
 * The scripts are Python: text is compared as Python's `lower`, `split` and `\b` see it, which JavaScript's own differ from
 * (U+001C … U+001F and U+0085 are white space there, U+FEFF is not, and letters of every script belong to a word). Sums
 * run from left to right as in Python before 3.12; a later Python's compensated `sum` may print another last digit for 2.0.
 */
import { StrataError } from '../errors.js'

/** What of a question the scorer needs. */
export interface SquadGold {
  id: string
  /** Empty where the context has no answer (2.0). */
  answers: readonly { text: string }[]
}

/** Texts by question id. A map keeps the order of the file also for ids that read like numbers. */
export type SquadPredictions = Readonly<Record<string, string>> | ReadonlyMap<string, string>

export interface SquadScores {
  /** Mean exact match, as a fraction. */
  exactMatch: number
  /** Mean token F1, as a fraction. */
  f1: number
  /** Questions in the mean. */
  count: number
  /** Questions without a prediction: 0 points in 1.1. */
  missing: number
  /** What the official script prints, in percent, under its own names. */
  official: Record<string, number>
}

const PUNCTUATION = /[!-/:-@[-`{-~]/g
const ARTICLES = /(?<![\p{L}\p{N}_])(?:a|an|the)(?![\p{L}\p{N}_])/gu
// biome-ignore lint/suspicious/noControlCharactersInRegex: what Python's str.split() cuts at
const WHITE_SPACE = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/

/** Lower case, without ASCII punctuation, English articles and superfluous white space. */
export function normalizeAnswer(text: string): string {
  return words(text.toLowerCase().replace(PUNCTUATION, '').replace(ARTICLES, ' ')).join(' ')
}

function words(text: string): string[] {
  return text.split(WHITE_SPACE).filter((word) => word !== '')
}

/** Words of a normalised answer; a normalised text has no white space but single spaces. */
const tokensOf = (text: string): string[] => {
  const normalized = normalizeAnswer(text)
  return normalized === '' ? [] : normalized.split(' ')
}

/** F1 over the words that both have; `whenEmpty` is asked when one side has no word. */
function tokenF1(prediction: string[], gold: string[], whenEmpty: () => number): number {
  if (prediction.length === 0 || gold.length === 0) return whenEmpty()
  const left = new Map<string, number>()
  for (const word of gold) left.set(word, (left.get(word) ?? 0) + 1)
  let same = 0
  for (const word of prediction) {
    const count = left.get(word) ?? 0
    if (count === 0) continue
    same++
    left.set(word, count - 1)
  }
  if (same === 0) return 0
  const precision = same / prediction.length
  const recall = same / gold.length
  return (2 * precision * recall) / (precision + recall)
}

/**
 * SQuAD 1.1: a missing prediction scores 0; of several answers the best counts, exact match and F1 each for itself.
 * Two texts without any word left match exactly, yet have F1 0, as in the official script.
 * Throws BAD_DATA for a question without an answer (those are 2.0's) and for a set without questions.
 */
export function scoreSquad11(questions: readonly SquadGold[], predictions: SquadPredictions): SquadScores {
  checkQuestions(questions)
  const predicted = toMap(predictions)
  let exact = 0
  let f1 = 0
  let missing = 0
  for (const { id, answers } of questions) {
    if (answers.length === 0) {
      throw new StrataError(
        'BAD_DATA',
        `question ${id} has no answer, SQuAD 1.1 needs one; score the set as SQuAD 2.0`,
        {
          details: { id },
        },
      )
    }
    const text = predicted.get(id)
    if (text === undefined) {
      missing++
      continue
    }
    const prediction = tokensOf(text)
    const joined = prediction.join(' ')
    const golds = answers.map((answer) => tokensOf(answer.text))
    exact += golds.some((gold) => gold.join(' ') === joined) ? 1 : 0
    f1 += Math.max(...golds.map((gold) => tokenF1(prediction, gold, () => 0)))
  }
  const count = questions.length
  const official = { exact_match: (100 * exact) / count, f1: (100 * f1) / count }
  return { exactMatch: exact / count, f1: f1 / count, count, missing, official }
}

export interface Squad20Options {
  /** Probability (or any score) that a question has no answer, by id; with it the best thresholds are searched. */
  noAnswer?: Readonly<Record<string, number>> | ReadonlyMap<string, number>
  /** A question whose `noAnswer` exceeds this counts as answered by "". Default 1, as in the official script. */
  threshold?: number
}

/**
 * SQuAD 2.0: the right answer to a question without one is the empty text. `official` also has the figures of both kinds of
 * questions (`HasAns_…`, `NoAns_…`) and, when `noAnswer` is given, `best_exact`, `best_exact_thresh`, `best_f1`, `best_f1_thresh`.
 * Throws BAD_DATA when a question has no prediction or no `noAnswer` entry (the official script fails there, too).
 */
export function scoreSquad20(
  questions: readonly SquadGold[],
  predictions: SquadPredictions,
  options: Squad20Options = {},
): SquadScores {
  checkQuestions(questions)
  const { threshold = 1 } = options
  const predicted = toMap(predictions)
  const noAnswer = options.noAnswer && toMap(options.noAnswer)
  for (const [what, map] of [
    ['prediction', predicted],
    ['no-answer probability', noAnswer],
  ] as const) {
    const lacking = map && questions.filter(({ id }) => !map.has(id))
    if (lacking && lacking.length > 0) {
      const shown = lacking.slice(0, 5).map(({ id }) => id)
      throw new StrataError(
        'BAD_DATA',
        `${lacking.length} of ${questions.length} questions have no ${what} (${shown.join(', ')}${lacking.length > 5 ? ', …' : ''}); give one for each`,
        { details: { ids: shown } },
      )
    }
  }
  // By id, as the script's dictionaries: of two questions with one id the last counts.
  const hasAnswer = new Map<string, boolean>()
  const exactRaw = new Map<string, number>()
  const f1Raw = new Map<string, number>()
  for (const { id, answers } of questions) {
    hasAnswer.set(id, answers.length > 0)
    const text = predicted.get(id)!
    const prediction = tokensOf(text)
    let golds = answers.map((answer) => tokensOf(answer.text)).filter((gold) => gold.length > 0)
    if (golds.length === 0) golds = [[]]
    const joined = prediction.join(' ')
    exactRaw.set(id, golds.some((gold) => gold.join(' ') === joined) ? 1 : 0)
    f1Raw.set(
      id,
      Math.max(...golds.map((gold) => tokenF1(prediction, gold, () => (gold.length === prediction.length ? 1 : 0)))),
    )
  }
  const applied = (raw: ReadonlyMap<string, number>): Map<string, number> => {
    const result = new Map<string, number>()
    for (const [id, score] of raw)
      result.set(id, (noAnswer?.get(id) ?? 0) > threshold ? (hasAnswer.get(id) ? 0 : 1) : score)
    return result
  }
  const exact = applied(exactRaw)
  const f1 = applied(f1Raw)
  const ids = [...hasAnswer.keys()]
  const official: Record<string, number> = {}
  const merge = (prefix: string, of: readonly string[]): void => {
    if (of.length === 0) return
    official[`${prefix}exact`] = (100 * sumOf(exact, of)) / of.length
    official[`${prefix}f1`] = (100 * sumOf(f1, of)) / of.length
    official[`${prefix}total`] = of.length
  }
  merge('', ids)
  merge(
    'HasAns_',
    ids.filter((id) => hasAnswer.get(id)),
  )
  merge(
    'NoAns_',
    ids.filter((id) => !hasAnswer.get(id)),
  )
  if (noAnswer) {
    const ascending = [...noAnswer.keys()].sort((left, right) => noAnswer.get(left)! - noAnswer.get(right)!)
    for (const [name, raw] of [
      ['exact', exactRaw],
      ['f1', f1Raw],
    ] as const) {
      const best = bestThreshold(ascending, raw, noAnswer, hasAnswer, predicted)
      official[`best_${name}`] = best.score
      official[`best_${name}_thresh`] = best.threshold
    }
  }
  const count = ids.length
  return { exactMatch: sumOf(exact, ids) / count, f1: sumOf(f1, ids) / count, count, missing: 0, official }
}

/** The threshold over which "no answer" is best said, by walking through all of them. `score` in percent. */
function bestThreshold(
  ascending: readonly string[],
  scores: ReadonlyMap<string, number>,
  noAnswer: ReadonlyMap<string, number>,
  hasAnswer: ReadonlyMap<string, boolean>,
  predicted: ReadonlyMap<string, string>,
): { score: number; threshold: number } {
  let current = [...hasAnswer.values()].filter((has) => !has).length
  let best = current
  let threshold = 0
  for (const id of ascending) {
    const score = scores.get(id)
    if (score === undefined) continue
    if (hasAnswer.get(id)) current += score
    else if (predicted.get(id) !== '') current -= 1
    if (current > best) {
      best = current
      threshold = noAnswer.get(id)!
    }
  }
  return { score: (100 * best) / scores.size, threshold }
}

function sumOf(scores: ReadonlyMap<string, number>, ids: readonly string[]): number {
  let sum = 0
  for (const id of ids) sum += scores.get(id)!
  return sum
}

function toMap<T>(values: Readonly<Record<string, T>> | ReadonlyMap<string, T>): ReadonlyMap<string, T> {
  return values instanceof Map ? values : new Map(Object.entries(values as Record<string, T>))
}

function checkQuestions(questions: readonly SquadGold[]): void {
  if (questions.length === 0) throw new StrataError('BAD_DATA', 'the set has no question, at least one was expected')
}
