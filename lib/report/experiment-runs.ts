/** The training runs behind a comparison, so that its curves stand beside its table. */
import { existsSync, statSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import type { ComparisonInput } from './comparison-input.js'
import { type RunInput, readRun } from './run-input.js'

export interface ExperimentRuns {
  runs: RunInput[]
  /** What is not there. */
  notes: string[]
}

/**
 * Every training run of the comparison that has begun, once, but for those whose folder is `taken`. A variant, or a seed
 * where there is one variant, has one colour, from `firstColour` on; names begin with `prefix`.
 */
export async function runsOfComparison(
  { folder, report }: ComparisonInput,
  { taken, firstColour, prefix }: { taken: ReadonlySet<string>; firstColour: number; prefix: string },
): Promise<ExperimentRuns> {
  const found: ExperimentRuns = { runs: [], notes: [] }
  const seen = new Set(taken)
  for (const [index, variant] of report.variants.entries()) {
    for (const [nth, { seed, parts }] of variant.runs.entries()) {
      // Of one variant the seeds are what can be told apart.
      const colour = firstColour + (report.variants.length > 1 ? index : nth)
      for (const part of parts) {
        const name = `${prefix}${variant.name}, ${part.step}, seed ${seed}`
        const place = placeOf(folder, part.folder)
        if (place === undefined) {
          if (part.status === 'done') found.notes.push(`${name}: its folder is not there, nor are its curves`)
          continue
        }
        const log = join(place, 'metrics.jsonl')
        // An evaluation or a probe has none, nor has a run before its first line.
        if (seen.has(place) || !existsSync(log) || statSync(log).size === 0) continue
        seen.add(place)
        const run = await readRun(place, name)
        found.runs.push({ ...run, colour, experiment: { variant: variant.name, step: part.step } })
      }
    }
  }
  return found
}

/** The experiment's folder may have been moved since. */
function placeOf(folder: string, written: string): string | undefined {
  return [join(folder, 'runs', basename(written)), resolve(written)].find((place) => existsSync(place))
}
