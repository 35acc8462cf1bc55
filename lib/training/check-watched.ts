/** A watched score that no evaluation tells is found before the first step, not by the first evaluation after an epoch of training. */
import { headFigures } from '../evaluation/index.js'
import type { ModelConfig } from '../model/index.js'
import type { RunSettings, SplitScores, Stage, WatchedScore } from './types.js'
import { namedScores, unknownScore, watches } from './watched-score.js'

/**
 * Throws BAD_ARGUMENT that names the key, the score, those that there are and the nearest of them when `checkpoint.best` or `earlyStopping`
 * watches what a stage's evaluations do not tell. Scores of a task without `metrics` are known at the first evaluation only.
 */
export function checkWatched(
  stages: readonly Stage[],
  { checkpoint, earlyStopping }: Pick<RunSettings, 'checkpoint' | 'earlyStopping'>,
  config: ModelConfig,
): void {
  const watched: Record<string, WatchedScore | undefined> = { 'checkpoint.best': checkpoint.best, earlyStopping }
  for (const [setting, score] of Object.entries(watched)) {
    if (!score) continue
    for (const stage of stages) {
      if (!watches(stage, stages, score)) continue
      const known = possibleScores(stage, config)
      // A stage without held-out data is never evaluated.
      if (known.length === 0 || known.includes(score.metric) || isOpen(stage, score)) continue
      throw unknownScore(setting, score.metric, known, stages.length > 1 ? stage.name : undefined)
    }
  }
}

/** Every name that an evaluation of the stage may tell; `<metric>` and `<split>` stand for what a task does not say beforehand. */
function possibleScores({ tasks }: Stage, config: ModelConfig): string[] {
  const scores: Parameters<typeof namedScores>[0] = { heads: {}, tasks: {} }
  for (const { name, heads, evaluation, score, metrics = { '<split>': ['<metric>'] } } of tasks) {
    if (score) scores.tasks[name] = mapValues(metrics, placeholder)
    else if (evaluation) {
      for (const head of config.heads.filter((one) => heads.includes(one.name))) {
        const key = head.name in scores.heads ? `${name}/${head.name}` : head.name
        scores.heads[key] = zeros(headFigures(head, config.agreements !== undefined))
      }
    }
  }
  return [...namedScores(scores).keys()]
}

/** The score belongs to a task that does not say beforehand what it tells. */
function isOpen({ tasks }: Stage, { metric }: WatchedScore): boolean {
  return tasks.some(({ name, score, metrics }) => score && !metrics && metric.startsWith(`${name}.`))
}

const placeholder = (metrics: readonly string[]): SplitScores => ({
  main: 0,
  loss: 0,
  count: 0,
  metrics: zeros(metrics),
})

const zeros = (names: readonly string[]): Record<string, number> => Object.fromEntries(names.map((name) => [name, 0]))

function mapValues<From, To>(values: Readonly<Record<string, From>>, to: (value: From) => To): Record<string, To> {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, to(value)]))
}
