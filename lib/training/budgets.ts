/** How long a stage lasts: steps, tokens, passes over the data or wall-clock time. */
import { StrataError } from '../errors.js'
import type { Budget, StageState, TrainingState } from './types.js'

const UNITS = ['steps', 'tokens', 'epochs', 'hours'] as const

/** The one unit that is set, and its amount. Throws BAD_ARGUMENT unless exactly one is set to a positive number, or for a bad total. */
export function budgetUnit(budget: Budget): { unit: (typeof UNITS)[number]; amount: number } {
  const set = UNITS.filter((unit) => budget[unit] !== undefined)
  if (set.length !== 1) {
    const came = set.length === 0 ? 'nothing' : set.join(' and ')
    throw new StrataError('BAD_ARGUMENT', `budget sets ${came}, exactly one of ${UNITS.join(', ')} was expected`)
  }
  const amount = budget[set[0]]!
  if (!(amount > 0 && Number.isFinite(amount))) {
    throw new StrataError('BAD_ARGUMENT', `budget.${set[0]} is ${amount}, a positive number was expected`)
  }
  const { total } = budget
  if (total !== undefined && (set[0] === 'epochs' || !(total > 0 && Number.isFinite(total)))) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `budget.total is ${total}, a positive number of steps, tokens or hours was expected`,
    )
  }
  return { unit: set[0], amount }
}

type Run = Pick<TrainingState, 'step' | 'tokens' | 'elapsedSeconds'>

/** The running stage's own part of its budget: what the stages before have left of a total. */
function ownPart(budget: Budget, place: StageState, run: Run | undefined) {
  const { unit, amount } = budgetUnit(budget)
  if (budget.total === undefined || run === undefined) return { unit, amount }
  const before = {
    steps: run.step - place.step,
    tokens: run.tokens - place.tokens,
    hours: (run.elapsedSeconds - place.elapsedSeconds) / 3600,
    epochs: 0,
  }
  return { unit, amount: Math.max(0, budget.total - before[unit]) }
}

/**
 * Share of the budget that a stage has used, 0 … 1; 1 means that it is over.
 *
 * @param run all that the run has spent, this stage included; for a budget with a total
 */
export function budgetProgress(budget: Budget, place: StageState, run?: Run): number {
  const { unit, amount } = ownPart(budget, place, run)
  return amount > 0 ? Math.min(1, used(unit, place) / amount) : 1
}

/** Seconds that are left, judged by the pace so far; undefined before the first step. */
export function secondsLeft(budget: Budget, place: StageState, run?: Run): number | undefined {
  const { unit, amount } = ownPart(budget, place, run)
  if (unit === 'hours') return Math.max(0, amount * 3600 - place.elapsedSeconds)
  const progress = budgetProgress(budget, place, run)
  return progress > 0 ? (place.elapsedSeconds * (1 - progress)) / progress : undefined
}

function used(unit: (typeof UNITS)[number], place: StageState): number {
  switch (unit) {
    case 'steps':
      return place.step
    case 'tokens':
      return place.tokens
    case 'hours':
      return place.elapsedSeconds / 3600
    case 'epochs':
      return epochsSpent(place)
  }
}

/** Epochs of the stage that are spent, see {@link Budget.epochs}. */
export function epochsSpent(place: Pick<StageState, 'tasks'>): number {
  let taken = 0
  let total = 0
  for (const { epoch, index, batches } of Object.values(place.tasks)) {
    // A later pass may have a few batches more than the first; it ends where it ends.
    taken += epoch * batches + Math.min(index, batches - 1)
    total += batches
  }
  return taken / total
}
