/** Where the sentence tasks put their candidates, and how those become balanced splits without overlap. */
import { tooLittle } from './builder.js'
import type { Draws } from './draws.js'
import { Reservoir, type ReservoirEntry } from './reservoir.js'
import { normalisedText } from './sentence.js'
import { filledShare, type ProbeSizes, shrinkNote, shrunkSizes } from './sizes.js'
import { PROBE_SPLITS, type ProbeSplit, type SentenceProbeExample } from './types.js'

/** More than needed, for what falls out as a double. */
const spare = (needed: number): number => Math.ceil(needed * 1.05) + 8

export interface SentencePoolOptions {
  task: string
  draws: Draws
  sizes: ProbeSizes
  /** Examples a class is to have, when the sizes are not to be shared by all classes evenly. */
  perClass?: ProbeSizes
  classes: readonly string[]
  /** Parts of a class (lengths) whose shares are made the same in all classes. Default 1. */
  strata?: number
  /** Candidates come with their split (their word decides). Default: the splits are cut from one pool. */
  bySplit?: boolean
  /** For errors. */
  source: string
}

interface Cell {
  label: number
  stratum: number
  split?: ProbeSplit
  reservoir: Reservoir<string>
}

export interface FinishedSentences {
  classes: string[]
  splits: Record<ProbeSplit, SentenceProbeExample[]>
  notes: string[]
}

/** One pool a class (and stratum, and split). Candidates may come in any order; the result is the same. */
export class SentencePools {
  readonly #options: SentencePoolOptions
  readonly #cells: Cell[] = []
  readonly #strata: number

  constructor(options: SentencePoolOptions) {
    this.#options = options
    const { classes, strata = 1, bySplit = false, sizes, perClass } = options
    this.#strata = strata
    const need = (split: ProbeSplit): number => perClass?.[split] ?? Math.ceil(sizes[split] / classes.length)
    const splits: readonly (ProbeSplit | undefined)[] = bySplit ? PROBE_SPLITS : [undefined]
    for (const label of classes.keys()) {
      for (let stratum = 0; stratum < strata; stratum++) {
        for (const split of splits) {
          const needed = split ? need(split) : need('train') + need('dev') + need('test')
          this.#cells.push({ label, stratum, split, reservoir: new Reservoir(spare(needed)) })
        }
      }
    }
  }

  /** Might a candidate of this priority be kept? With `bySplit` and no split given: in any of the splits. */
  wants(label: number, priority: number, stratum = 0, split?: ProbeSplit): boolean {
    if (this.#options.bySplit && !split) return PROBE_SPLITS.some((of) => this.wants(label, priority, stratum, of))
    return this.#cell(label, stratum, split).reservoir.wants(priority)
  }

  /** @param key of the sentence in the source text, {@link normalisedText} */
  offer(label: number, priority: number, key: string, text: string, stratum = 0, split?: ProbeSplit): void {
    this.#cell(label, stratum, split).reservoir.offer(priority, key, text)
  }

  /** Candidates of a class that are kept, over strata and splits. */
  sizeOf(label: number): number {
    return this.#cells.reduce((sum, cell) => sum + (cell.label === label ? cell.reservoir.size : 0), 0)
  }

  /** Balanced splits of the classes in `kept` (default: all). Throws BAD_DATA when a class is empty. */
  finish(kept: readonly number[] = [...this.#options.classes.keys()]): FinishedSentences {
    const { task, sizes, perClass, classes, bySplit, draws } = this.#options
    const names = kept.map((label) => classes[label])
    const asked = perClass ? mapSplits((split) => perClass[split] * kept.length) : sizes
    const { lists, doubles } = this.#withoutDoubles(kept)
    const available = kept.map((_, index) =>
      bySplit
        ? mapSplits((split) => lists[index].get(split)?.[0].length ?? 0)
        : this.#strata > 1
          ? this.#commonStrata(lists).reduce((sum, size) => sum + size, 0)
          : lists[index].get('all')![0].length,
    )
    const share = filledShare(available, asked)
    const most = bySplit ? undefined : Math.min(...available.map(least))
    const counts = shrunkSizes(task, share, asked, names, most)
    const drawn = mapSplits((): SentenceProbeExample[] => [])
    for (const index of kept.keys()) {
      for (const [split, taken] of Object.entries(
        bySplit ? this.#cutBySplit(lists[index], counts, index) : this.#cutOnePool(lists, counts, index),
      )) {
        drawn[split as ProbeSplit].push(...taken.map(({ value }) => ({ text: value, label: index })))
      }
    }
    const notes = doubles > 0 ? [`${doubles} candidates left out: their text occurs in two classes or splits`] : []
    const reached = mapSplits((split) => drawn[split].length)
    // What the classes have in common is equal: the class with the fewest candidates limits it.
    const own = available.map((of, index) => (this.#strata > 1 ? this.sizeOf(kept[index]) : least(of)))
    const scarce = names[own.indexOf(Math.min(...own))]
    const shrunk = shrinkNote(share, asked, reached, `class ${scarce}`)
    if (shrunk) notes.push(shrunk)
    for (const split of PROBE_SPLITS) {
      if (reached[split] === 0 || drawn[split].length < kept.length) {
        throw tooLittle(
          task,
          this.#options.source,
          `it has ${Math.min(...available.map(least))} sentences for class ${scarce}`,
        )
      }
      draws.stream('order', split).shuffle(drawn[split])
    }
    return { classes: names, splits: drawn, notes }
  }

  #cell(label: number, stratum: number, split?: ProbeSplit): Cell {
    const splits = this.#options.bySplit ? PROBE_SPLITS.length : 1
    const place = split ? PROBE_SPLITS.indexOf(split) : 0
    return this.#cells[(label * this.#strata + stratum) * splits + place]
  }

  /** By kept class: the candidates of each split (or of `all`) and stratum, by priority, no text twice. */
  #withoutDoubles(kept: readonly number[]): {
    lists: Map<ProbeSplit | 'all', ReservoirEntry<string>[][]>[]
    doubles: number
  } {
    const cells = this.#cells.filter(({ label }) => kept.includes(label))
    const owner = new Map<string, number>()
    const shared = new Set<string>()
    const sorted = cells.map(({ reservoir }) => reservoir.sorted())
    sorted.forEach((entries, cell) => {
      for (const { key } of entries) {
        if (owner.has(key)) shared.add(key)
        owner.set(key, cell)
      }
    })
    let doubles = 0
    const seen = new Set(owner.keys())
    const lists = kept.map(() => new Map<ProbeSplit | 'all', ReservoirEntry<string>[][]>())
    sorted.forEach((entries, place) => {
      const { label, stratum, split = 'all' } = cells[place]
      const good = entries.filter(({ key, value }) => {
        const made = normalisedText(value)
        // A changed text may equal another sentence, or another changed one.
        const bad = shared.has(key) || (made !== key && seen.has(made))
        if (bad) doubles++
        else seen.add(made)
        return !bad
      })
      const strata = lists[kept.indexOf(label)]
      if (!strata.has(split)) strata.set(split, [])
      strata.get(split)![stratum] = good
    })
    return { lists, doubles }
  }

  /** By stratum: how many candidates every class has. */
  #commonStrata(lists: readonly Map<ProbeSplit | 'all', ReservoirEntry<string>[][]>[]): number[] {
    return Array.from({ length: this.#strata }, (_, stratum) =>
      Math.min(...lists.map((list) => list.get('all')![stratum].length)),
    )
  }

  #cutBySplit(
    list: Map<ProbeSplit | 'all', ReservoirEntry<string>[][]>,
    counts: Record<ProbeSplit, number[]>,
    index: number,
  ): Record<ProbeSplit, ReservoirEntry<string>[]> {
    return mapSplits((split) => list.get(split)![0].slice(0, counts[split][index]))
  }

  /** Each stratum gives the same number in every class; test and dev are cut first. */
  #cutOnePool(
    lists: readonly Map<ProbeSplit | 'all', ReservoirEntry<string>[][]>[],
    counts: Record<ProbeSplit, number[]>,
    index: number,
  ): Record<ProbeSplit, ReservoirEntry<string>[]> {
    const common = this.#commonStrata(lists)
    const pools = lists[index].get('all')!
    const used = common.map(() => 0)
    const cut = mapSplits((): ReservoirEntry<string>[] => [])
    for (const split of ['test', 'dev', 'train'] as const) {
      const free = common.map((size, stratum) => size - used[stratum])
      // With several strata all classes take the smallest count: what one class has more would unbalance its strata.
      const wanted = this.#strata > 1 ? Math.min(...counts[split]) : counts[split][index]
      const shares = this.#strata > 1 ? apportion(wanted, free) : [wanted]
      shares.forEach((count, stratum) => {
        cut[split].push(...pools[stratum].slice(used[stratum], used[stratum] + count))
        used[stratum] += count
      })
    }
    return cut
  }
}

function mapSplits<T>(make: (split: ProbeSplit) => T): Record<ProbeSplit, T> {
  return { train: make('train'), dev: make('dev'), test: make('test') }
}

function least(available: number | ProbeSizes): number {
  return typeof available === 'number' ? available : Math.min(available.train, available.dev, available.test)
}

/** Parts `count` in proportion to `free` (largest remainders), never more than is free. */
export function apportion(count: number, free: readonly number[]): number[] {
  const total = free.reduce((sum, size) => sum + size, 0)
  const wanted = Math.min(count, total)
  const exact = free.map((size) => (total === 0 ? 0 : (wanted * size) / total))
  const parts = exact.map(Math.floor)
  let rest = wanted - parts.reduce((sum, part) => sum + part, 0)
  const order = [...free.keys()].sort(
    (left, right) => exact[right] - parts[right] - (exact[left] - parts[left]) || left - right,
  )
  for (const place of order) {
    if (rest === 0) break
    if (parts[place] >= free[place]) continue
    parts[place]++
    rest--
  }
  return parts
}
