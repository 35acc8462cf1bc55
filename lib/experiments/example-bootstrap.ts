/** Paired bootstrap over seeds and examples, where evaluations kept what the models said. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import {
  confusionMatrix,
  macroF1,
  matthews,
  type PairedBootstrap,
  pairedBootstrap,
  pairedBootstrapOf,
  pearson,
  spearman,
  type TaskPrediction,
} from '../evaluation/index.js'
import { PREDICTIONS_FILE } from './job-command.js'
import { readLines } from './job-folder.js'
import type { Job } from './plan.js'

/** Replicates of a score that is no mean over examples and is computed anew for each. */
const SCORE_DRAWS = 2000

/**
 * Bootstrap of the mean difference of `<task>.<metric>` between jobs of the same seeds; undefined when no predictions were kept
 * or the metric is none of single labels or numbers; a problem when the runs answered other examples.
 */
export async function bootstrapOf(
  value: string,
  pairs: readonly { own: Job; baseline: Job }[],
): Promise<PairedBootstrap | { problem: string } | undefined> {
  const [task, ...rest] = value.split('.')
  const metric = rest.at(-1)!
  const split = rest.length > 1 ? rest[0] : undefined
  if (pairs.some(({ own, baseline }) => !hasPredictions(own) || !hasPredictions(baseline))) return undefined
  const other = await Promise.all(pairs.map(({ own }) => answersOf(own, task, split)))
  const baseline = await Promise.all(pairs.map((pair) => answersOf(pair.baseline, task, split)))
  const examples = other[0].length
  if (examples === 0) return undefined
  const same = (answers: Answer[], as: Answer[]) =>
    answers.length === as.length && answers.every(({ expected }, i) => expected === as[i].expected)
  if (other.some((answers, i) => !same(answers, baseline[i])))
    return { problem: "the predictions are of other examples than the baseline's" }
  if (other.some((answers) => !same(answers, other[0])))
    return { problem: 'every seed has other held-out examples: name a file for them' }
  const layers = pairs.length > 1 ? 'both' : 'examples'
  if (metric === 'accuracy') {
    const right = (rows: Answer[][]) =>
      rows.map((row) => row.map(({ expected, predicted }) => Number(expected === predicted)))
    return pairedBootstrap(right(other), right(baseline), { layers })
  }
  const score = SCORES[metric]
  if (!score) return undefined
  const isNumber = typeof other[0][0].expected === 'number'
  const names = [...new Set([...other, ...baseline].flat().flatMap((answer) => [answer.expected, answer.predicted]))]
  const numbered = (rows: Answer[][]) =>
    rows.map((row) => ({
      expected: row.map((answer) => (isNumber ? Number(answer.expected) : names.indexOf(answer.expected))),
      predicted: row.map((answer) => (isNumber ? Number(answer.predicted) : names.indexOf(answer.predicted))),
    }))
  const tables = { other: numbered(other), baseline: numbered(baseline) }
  return pairedBootstrapOf(
    (run, seed, drawn) => {
      const { expected, predicted } = tables[run][seed]
      const pick = (list: number[]) => Array.from(drawn, (i) => list[i])
      return score(pick(expected), pick(predicted), names.length)
    },
    pairs.length,
    examples,
    { layers, draws: SCORE_DRAWS },
  )
}

/** Scores to which the order of the classes means nothing: predictions name classes, they do not number them. */
const SCORES: Record<string, ((expected: number[], predicted: number[], classes: number) => number) | undefined> = {
  pearson,
  spearman,
  matthews: (expected, predicted, classes) => matthews(confusionMatrix(expected, predicted, classes), classes),
  f1Macro: (expected, predicted, classes) => macroF1(confusionMatrix(expected, predicted, classes), classes),
}

interface Answer {
  expected: string | number
  predicted: string | number
}

const hasPredictions = (job: Job): boolean => existsSync(join(job.folder, PREDICTIONS_FILE))

async function answersOf(job: Job, task: string, split?: string): Promise<Answer[]> {
  const lines = await readLines<TaskPrediction>(join(job.folder, PREDICTIONS_FILE))
  const own = lines.filter((line) => line.task === task)
  const wanted = split ?? own[0]?.split
  return own
    .filter((line) => line.split === wanted && isOne(line.expected) && isOne(line.predicted))
    .sort((a, b) => a.example - b.example)
    .map(({ expected, predicted }) => ({ expected, predicted }) as Answer)
}

const isOne = (value: unknown): boolean => typeof value === 'string' || typeof value === 'number'
