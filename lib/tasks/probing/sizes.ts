/** How many examples: what is asked for, what the text fills. */
import { StrataError } from '../../errors.js'
import { PROBE_SPLITS, type ProbeSplit } from './types.js'

/** Examples (targets of token probes, pairs of pair probes) of each split, over all classes. */
export type ProbeSizes = Readonly<Record<ProbeSplit, number>>

/** Classes of so many examples may differ by one; smaller ones are exactly equal, so that balance holds within 1 %. */
const MAY_DIFFER = 100

export function checkSizes(sizes: ProbeSizes): void {
  for (const split of PROBE_SPLITS) {
    if (Number.isSafeInteger(sizes[split]) && sizes[split] > 0) continue
    throw new StrataError('BAD_ARGUMENT', `${split} is ${sizes[split]}; a whole number of examples ≥ 1 was expected`, {
      details: { argument: split },
    })
  }
}

export function totalOf(sizes: ProbeSizes): number {
  return sizes.train + sizes.dev + sizes.test
}

/** `size` examples over `classes`, as even as balance asks for. */
function evenSizes(size: number, classes: number): number[] {
  const base = Math.floor(size / classes)
  const rest = base >= MAY_DIFFER ? Math.floor(size) - base * classes : 0
  return Array.from({ length: classes }, (_, index) => base + (index < rest ? 1 : 0))
}

/**
 * The share of the asked sizes that the text fills in every class and split.
 *
 * @param available by class: one number for all splits together, or one a split
 */
export function filledShare(available: readonly (number | ProbeSizes)[], sizes: ProbeSizes): number {
  let share = 1
  for (const of of available) {
    if (typeof of === 'number') share = Math.min(share, of / roundedNeed(sizes, available.length))
    else {
      for (const split of PROBE_SPLITS) {
        share = Math.min(share, of[split] / Math.ceil(sizes[split] / available.length))
      }
    }
  }
  return share
}

function roundedNeed(sizes: ProbeSizes, classes: number): number {
  return PROBE_SPLITS.reduce((sum, split) => sum + Math.ceil(sizes[split] / classes), 0)
}

/**
 * Examples by split and class when `share` of the sizes is filled: shrunk evenly. A class of dev or test has at least one.
 * Throws BAD_DATA when fewer examples than classes are asked for.
 *
 * @param most what a class has for all splits together, where they are cut from one pool
 */
export function shrunkSizes(
  task: string,
  share: number,
  sizes: ProbeSizes,
  classes: readonly string[],
  most = Number.POSITIVE_INFINITY,
): Record<ProbeSplit, number[]> {
  if (share >= 1) {
    const whole = (split: ProbeSplit): number[] => evenSizes(sizes[split], classes.length)
    const all = { train: whole('train'), dev: whole('dev'), test: whole('test') }
    for (const split of PROBE_SPLITS) {
      if (all[split][0] === 0) throw fewerThanClasses(task, split, sizes[split], classes.length)
    }
    return all
  }
  const even = (split: ProbeSplit): number[] => {
    const size = Math.floor((sizes[split] / classes.length) * share + 1e-9)
    return classes.map(() => Math.max(size, split === 'train' ? 0 : 1))
  }
  const [dev, test] = [even('dev'), even('test')]
  return {
    train: even('train').map((size, index) => Math.max(0, Math.min(size, most - dev[index] - test[index]))),
    dev,
    test,
  }
}

function fewerThanClasses(task: string, split: ProbeSplit, size: number, classes: number): StrataError {
  return new StrataError(
    'BAD_DATA',
    `task ${task}: ${size} ${split} examples for ${classes} classes; at least one a class was expected: ask for more, or give more text`,
    { details: { task, split, size, classes } },
  )
}

/** Says that the text filled less than was asked for; undefined when it did not. */
export function shrinkNote(
  share: number,
  sizes: ProbeSizes,
  reached: ProbeSizes,
  scarcest: string,
): string | undefined {
  if (share >= 1) return undefined
  const line = (of: ProbeSizes): string => PROBE_SPLITS.map((split) => of[split]).join(' / ')
  return `asked for ${line(sizes)} examples, the text fills ${line(reached)}: all splits and classes are shrunk alike; the scarcest is ${scarcest}`
}
