/** The numbers of an evaluation by name, and what follows from them: the best checkpoint and the end of a stage. */
import { nearest } from '../edit-distance.js'
import { StrataError } from '../errors.js'
import type {
  BestScore,
  EarlyStoppingSettings,
  SplitScores,
  Stage,
  StageScores,
  StageState,
  WatchedScore,
} from './types.js'

/** A task's scores on its first split, which stands for the task. */
export function leadingSplit(splits: Record<string, SplitScores>): { split: string; scores: SplitScores } | undefined {
  const [first] = Object.entries(splits)
  return first && { split: first[0], scores: first[1] }
}

/** Mean of the tasks' main metrics; undefined without a task that has one. */
export function meanScore({ tasks }: Pick<StageScores, 'tasks'>): number | undefined {
  const mains = mainScores(tasks)
  return mains.length > 0 ? sumOf(mains) / mains.length : undefined
}

/** The main metric of every task that has held-out data. */
function mainScores(tasks: StageScores['tasks']): number[] {
  return Object.values(tasks).flatMap((splits) => leadingSplit(splits)?.scores.main ?? [])
}

const sumOf = (mains: readonly number[]): number => mains.reduce((sum, main) => sum + main, 0)

/** Every number that {@link WatchedScore} can name; one inside another figure by both names (`subj.attachment.accuracy`). */
export function namedScores({
  heads,
  tasks,
}: {
  heads: Record<string, object>
  tasks: StageScores['tasks']
}): Map<string, number> {
  const numbers = new Map<string, number>()
  const add = (name: string, value: unknown): void => {
    if (typeof value === 'number') numbers.set(name, value)
    else if (typeof value === 'object' && value !== null && !Array.isArray(value))
      for (const [inner, one] of Object.entries(value)) add(`${name}.${inner}`, one)
  }
  for (const [head, values] of Object.entries(heads)) add(head, values)
  for (const [task, splits] of Object.entries(tasks)) {
    const lead = leadingSplit(splits)?.split
    for (const [split, { metrics, loss }] of Object.entries(splits)) {
      for (const [name, value] of Object.entries({ loss, ...metrics })) {
        if (split === lead) numbers.set(`${task}.${name}`, value)
        numbers.set(`${task}.${split}.${name}`, value)
      }
    }
  }
  const mean = meanScore({ tasks })
  if (mean !== undefined) numbers.set('mean', mean).set('sum', sumOf(mainScores(tasks)))
  return numbers
}

/** The watched number. Throws BAD_ARGUMENT, naming those that there are, when there is none of this name. */
function watchedScore(setting: string, { metric }: WatchedScore, scores: StageScores): number {
  const numbers = namedScores(scores)
  const score = numbers.get(metric)
  if (score !== undefined) return score
  throw unknownScore(setting, metric, [...numbers.keys()])
}

/** What is said of a watched score that is none of `known`. `setting`: `checkpoint.best` or `earlyStopping`; `stage`: of several. */
export function unknownScore(setting: string, metric: string, known: readonly string[], stage?: string): StrataError {
  const key = `${setting}.metric`
  const near = nearest(metric, known)
  const expected = `one of ${known.join(', ')} was expected${stage === undefined ? '' : ` in stage ${stage}`}`
  const message = `${key} is ${metric}, ${expected}${near ? `; did you mean ${near}?` : ''}`
  return new StrataError('BAD_ARGUMENT', message, { details: { key, metric, known } })
}

/** Whether a score beats the one before by more than `minDelta`. A score that is no number beats nothing. */
export function beats(score: number, before: number | undefined, mode: 'min' | 'max', minDelta = 0): boolean {
  if (!Number.isFinite(score)) return false
  return before === undefined || (mode === 'min' ? before - score : score - before) > minDelta
}

/** A stage watches no score of a head or task that only another stage trains. */
export function watches(stage: Stage, stages: readonly Stage[], { metric }: WatchedScore): boolean {
  const names = (of: Stage) => of.tasks.flatMap((task) => [task.name, ...task.heads])
  const named = (of: Stage) => names(of).some((name) => metric.startsWith(`${name}.`) || metric.startsWith(`${name}/`))
  return named(stage) || !stages.some(named)
}

/** The evaluation's score as the best of the stage, if it beats `before`. */
export function newBest(
  watched: WatchedScore,
  scores: StageScores,
  step: number,
  before?: BestScore,
): BestScore | undefined {
  const score = watchedScore('checkpoint.best', watched, scores)
  return beats(score, before?.score, watched.mode) ? { metric: watched.metric, score, step } : undefined
}

/** Counts evaluations without a better score in `place`; true when it is time to end the stage. */
export function patienceEnds(settings: EarlyStoppingSettings, scores: StageScores, place: StageState): boolean {
  const score = watchedScore('earlyStopping', settings, scores)
  const before = place.patience
  if (beats(score, before?.score, settings.mode, settings.minDelta)) place.patience = { score, misses: 0 }
  else place.patience = { ...before, misses: (before?.misses ?? 0) + 1 }
  return place.patience.misses >= settings.patience
}
