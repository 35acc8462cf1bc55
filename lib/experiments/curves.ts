/** Development scores of a run over its steps, for the convergence factor. */
import { StrataError } from '../errors.js'
import { type Convergence, convergence, type ScoreCurve } from '../evaluation/index.js'
import type { Floors } from './floors.js'
import { readResult } from './job-folder.js'
import type { Measure } from './load-experiment.js'
import type { Job } from './plan.js'
import { readRunLog } from './run-log.js'

/** The convergence factor of a variant, or why there is none. */
export type ConvergenceOutcome = { found: Convergence; notes: string[] } | { problem: string }

/** One pair a seed, both runs done. `value` and the measure's stage say what is looked at. */
export async function convergenceOf(
  measure: Measure,
  values: { own: string; baseline: string },
  pairs: readonly { seed: number; own: Job; baseline: Job }[],
  floors: Floors,
): Promise<ConvergenceOutcome> {
  const notes: string[] = []
  try {
    const { level, note } = await levelOf(measure, values.baseline, pairs[0].baseline, floors)
    if (note) notes.push(note)
    const curves = []
    for (const { seed, own, baseline } of pairs) {
      curves.push({
        seed,
        baseline: await curveOf(baseline, measure, values.baseline),
        other: await curveOf(own, measure, values.own),
      })
    }
    return { found: convergence(curves, level), notes }
  } catch (error) {
    if (!(error instanceof StrataError)) throw error
    return { problem: error.message }
  }
}

/**
 * Scores at the evaluations of the measure's stage, whose own steps count: those before it are no way to its scores. Of a measure that
 * falls, its negative.
 */
async function curveOf(job: Job, { stage, better }: Measure, value: string): Promise<ScoreCurve> {
  const { evaluations, stageStarts } = await readRunLog(job.folder)
  const before = stage === undefined ? 0 : (stageStarts.get(stage) ?? 0)
  const own = evaluations.filter((evaluation) => stage === undefined || evaluation.stage === stage)
  const sign = better === 'lower' ? -1 : 1
  return {
    steps: own.map(({ step }) => step - before),
    scores: own.map(({ scores }) => sign * (scores.get(value) ?? Number.NaN)),
  }
}

/** The score that a run must leave to be comparable. */
async function levelOf(
  { better }: Measure,
  value: string,
  job: Job,
  floors: Floors,
): Promise<{ level: number; note?: string }> {
  const result = readResult(job)!
  const [name, ...rest] = value.split('.')
  const figure = rest.at(-1)
  if (better === 'lower') {
    const unigram = result.values[`${name}.unigramLoss`]
    if (unigram !== undefined && figure === 'loss') return { level: -unigram }
  } else if (name in result.splits && (rest.length === 1 || rest[0] === result.splits[name][0])) {
    const floor = await floors.floorOf(job, result, name, figure)
    if ('value' in floor) return { level: floor.score }
  } else if (result.values[`${name}.chance`] !== undefined && figure === 'accuracy')
    return { level: result.values[`${name}.chance`] }
  return { level: -Number.MAX_VALUE, note: `no majority score of ${value} is known: every pair counts as comparable` }
}
