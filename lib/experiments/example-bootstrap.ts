/** Paired bootstrap over seeds and examples, where evaluations kept what the models said. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type PairedBootstrap, pairedBootstrap, pairedBootstrapOf, type TaskPrediction } from '../evaluation/index.js'
import { type ExampleScores, exampleScores, type KeptPrediction } from './example-scores.js'
import { PREDICTIONS_FILE } from './job-command.js'
import { readLines } from './job-folder.js'
import type { Job } from './plan.js'

/** Replicates of a score that is no mean over examples and is computed anew for each. */
const SCORE_DRAWS = 2000

/**
 * Bootstrap of the mean difference of `<task>.<metric>` between jobs of the same seeds; undefined when no predictions were kept
 * or the metric is none of {@link exampleScores}; a problem when the runs answered other examples.
 */
export async function bootstrapOf(
  value: string,
  pairs: readonly { own: Job; baseline: Job }[],
): Promise<PairedBootstrap | { problem: string } | undefined> {
  const [task, ...rest] = value.split('.')
  const metric = rest.at(-1)!
  const split = rest.length > 1 ? rest[0] : undefined
  if (pairs.some(({ own, baseline }) => !hasPredictions(own) || !hasPredictions(baseline))) return undefined
  const other: KeptPrediction[][] = []
  const baseline: KeptPrediction[][] = []
  for (const pair of pairs) {
    other.push(await predictionsOf(pair.own, task, split))
    baseline.push(await predictionsOf(pair.baseline, task, split))
  }
  const known = exampleScores(metric, other[0])
  if (!known || 'problem' in known) return known
  if (other.some((predictions, i) => !areSame(predictions, baseline[i])))
    return { problem: "the predictions are of other examples than the baseline's" }
  if (other.some((predictions) => !areSame(predictions, other[0])))
    return { problem: 'every seed has other held-out examples: name a file for them' }
  const scores: Record<'other' | 'baseline', ExampleScores[]> = { other: [], baseline: [] }
  for (const [run, seeds] of [['other', other] as const, ['baseline', baseline] as const]) {
    for (const predictions of seeds) {
      const found = exampleScores(metric, predictions)
      if (!found || 'problem' in found) return found
      scores[run].push(found)
    }
  }
  const layers = pairs.length > 1 ? 'both' : 'examples'
  const [others, baselines] = [eachOf(scores.other), eachOf(scores.baseline)]
  if (others && baselines) return pairedBootstrap(others, baselines, { layers })
  return pairedBootstrapOf((run, seed, drawn) => scores[run][seed].of(drawn), pairs.length, other[0].length, {
    layers,
    draws: SCORE_DRAWS,
  })
}

function eachOf(scores: readonly ExampleScores[]): number[][] | undefined {
  const each = scores.flatMap((one) => (one.each ? [one.each] : []))
  return each.length === scores.length ? each : undefined
}

const hasPredictions = (job: Job): boolean => existsSync(join(job.folder, PREDICTIONS_FILE))

function areSame(predictions: readonly KeptPrediction[], as: readonly KeptPrediction[]): boolean {
  const isSame = (one: KeptPrediction, i: number) => JSON.stringify(one.expected) === JSON.stringify(as[i].expected)
  return predictions.length === as.length && predictions.every(isSame)
}

/** In the order of the examples; those without a label are left out. */
async function predictionsOf(job: Job, task: string, split?: string): Promise<KeptPrediction[]> {
  const lines = await readLines<TaskPrediction>(join(job.folder, PREDICTIONS_FILE))
  const own = lines.filter((line) => line.task === task)
  const wanted = split ?? own[0]?.split
  return own
    .filter((line) => line.split === wanted && line.expected !== undefined)
    .sort((a, b) => a.example - b.example)
    .map(({ predicted, expected, scores, predictedIndex, expectedIndex }) => {
      return { predicted, expected, scores, predictedIndex, expectedIndex }
    })
}
