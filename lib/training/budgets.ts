/** How long a stage lasts: steps, tokens, passes over the data or wall-clock time. */
import { StrataError } from '../errors.js'
import type { Budget, StageState } from './types.js'

const UNITS = ['steps', 'tokens', 'epochs', 'hours'] as const

/** The one unit that is set, and its amount. Throws BAD_ARGUMENT unless exactly one is set to a positive number. */
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
  return { unit: set[0], amount }
}

/** Share of the budget that a stage has used, 0 … 1; 1 means that it is over. */
export function budgetProgress(budget: Budget, place: StageState): number {
  const { unit, amount } = budgetUnit(budget)
  return Math.min(1, used(unit, place) / amount)
}

/** Seconds that are left, judged by the pace so far; undefined before the first step. */
export function secondsLeft(budget: Budget, place: StageState): number | undefined {
  const { unit, amount } = budgetUnit(budget)
  if (unit === 'hours') return Math.max(0, amount * 3600 - place.elapsedSeconds)
  const progress = budgetProgress(budget, place)
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
