/**
 * Which split a word form belongs to, for tasks whose target words must not be shared between splits (Tense, SubjNum, ObjNum), and how
 * often a form may serve.
 */
import type { Draws } from './draws.js'
import { filledShare, type ProbeSizes } from './sizes.js'
import { PROBE_SPLITS, type ProbeSplit } from './types.js'

/** SentEval: "corpus frequency of between 100 and 5,000 occurrences". */
export const LEAST_FREQUENT = 100
export const MOST_FREQUENT = 5000
/** Largest part of a class in a split that one form may make up, the first that fills the splits: our choice. */
const FORM_SHARES = [0.1, 0.25, 1]
/** Candidates may occur twice. */
const MARGIN = 1.1

export interface FormSplits {
  /** Undefined: the counts do not permit it, and forms are shared between the splits. */
  splitOf?: Map<string, ProbeSplit>
  /** By class and form: which part of its candidates is taken. */
  rate: (label: number, form: string) => number
  leastFrequent: number
  formShare: number
}

export interface FormCounts {
  /** By class: candidates of each form. */
  candidates: readonly ReadonlyMap<string, number>[]
  /** How often a form occurs in the text. */
  frequency: (form: string) => number
}

/**
 * Parts the forms. The lower frequency bound is SentEval's and is halved until the splits fill; where they never do, the bound that fills
 * most is taken. If disjoint forms would fill less than half of what shared forms would, they are shared.
 */
export function partForms({ candidates, frequency }: FormCounts, sizes: ProbeSizes, draws: Draws): FormSplits {
  const forms = new Set(candidates.flatMap((counts) => [...counts.keys()]))
  const ordered = [...forms]
    .map((form) => ({ form, frequency: frequency(form), order: draws.stream('form', form).float() }))
    .filter((entry) => entry.frequency <= MOST_FREQUENT)
    .sort((left, right) => left.order - right.order || (left.form < right.form ? -1 : 1))
  let best: (FormSplits & { share: number }) | undefined
  for (let least = LEAST_FREQUENT; least >= 1; least = Math.floor(least / 2)) {
    const chosen = ordered.filter((entry) => entry.frequency >= least).map(({ form }) => form)
    for (const formShare of FORM_SHARES) {
      const parted = part(chosen, candidates, sizes, formShare)
      if (!best || parted.share > best.share) best = { ...parted, leastFrequent: least, formShare }
      if (best.share >= 1) return best
    }
  }
  const known = new Set(ordered.map(({ form }) => form))
  const together = candidates.map((counts) => {
    let sum = 0
    for (const [form, count] of counts) if (known.has(form)) sum += count
    return sum / MARGIN
  })
  if (best!.share >= filledShare(together, sizes) / 2) return best!
  return { rate: (_, form) => (known.has(form) ? 1 : 0), leastFrequent: 1, formShare: 1 }
}

function part(
  forms: readonly string[],
  candidates: readonly ReadonlyMap<string, number>[],
  sizes: ProbeSizes,
  formShare: number,
): { splitOf: Map<string, ProbeSplit>; rate: FormSplits['rate']; share: number } {
  const wanted = (split: ProbeSplit): number => Math.ceil(sizes[split] / candidates.length)
  const most = (split: ProbeSplit): number => Math.max(1, Math.ceil(formShare * wanted(split) * MARGIN))
  const have = candidates.map(() => ({ train: 0, dev: 0, test: 0 }))
  const splitOf = new Map<string, ProbeSplit>()
  for (const form of forms) {
    const counts = candidates.map((of) => of.get(form) ?? 0)
    const main = counts.indexOf(Math.max(...counts))
    // The split that lacks most of its class.
    let chosen: ProbeSplit = 'train'
    for (const split of PROBE_SPLITS) {
      if (have[main][split] / wanted(split) < have[main][chosen] / wanted(chosen)) chosen = split
    }
    splitOf.set(form, chosen)
    counts.forEach((count, label) => {
      have[label][chosen] += Math.min(count, most(chosen))
    })
  }
  const share = filledShare(
    have.map(({ train, dev, test }) => ({ train: train / MARGIN, dev: dev / MARGIN, test: test / MARGIN })),
    sizes,
  )
  const rate = (label: number, form: string): number => {
    const split = splitOf.get(form)
    const count = candidates[label].get(form) ?? 0
    return split && count > 0 ? Math.min(1, most(split) / count) : 0
  }
  return { splitOf, rate, share }
}
