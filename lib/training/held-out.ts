/** Held-out scores of a stage, and whether they are the best so far. */
import { StrataError } from '../errors.js'
import { evaluateHeads, type HeadScores } from '../evaluation/index.js'
import type { Model } from '../model/index.js'
import type { CheckpointSettings, Stage } from './types.js'

/** Scores by head over the held-out data of all tasks; undefined when `abort` came first. */
export async function scoreStage(
  model: Model,
  stage: Stage,
  abort: AbortSignal,
  onBatch?: (task: string, batches: number, of: number) => void,
): Promise<Record<string, HeadScores> | undefined> {
  const scores: Record<string, HeadScores> = {}
  try {
    for (const task of stage.tasks) {
      if (!task.evaluation) continue
      const found = await evaluateHeads(model, task.evaluation, {
        heads: task.heads,
        signal: abort,
        onBatch: (batches, of) => onBatch?.(task.name, batches, of),
      })
      // Two tasks may share a head: their scores stay apart.
      for (const [head, score] of Object.entries(found)) scores[head in scores ? `${task.name}/${head}` : head] = score
    }
  } catch (error) {
    if (error instanceof StrataError && error.code === 'ABORTED' && abort.aborted) return undefined
    throw error
  }
  return scores
}

/** The watched score when it beats `before`, else undefined. Throws BAD_ARGUMENT when there is no such score. */
export function betterScore(
  best: NonNullable<CheckpointSettings['best']>,
  scores: Record<string, HeadScores>,
  before: number | undefined,
): number | undefined {
  const numbers = new Map<string, number>()
  for (const [head, values] of Object.entries(scores)) {
    for (const [name, value] of Object.entries(values)) {
      if (typeof value === 'number') numbers.set(`${head}.${name}`, value)
    }
  }
  const score = numbers.get(best.metric)
  if (score === undefined) {
    const message = `checkpoint.best.metric is ${best.metric}, one of ${[...numbers.keys()].join(', ')} was expected`
    throw new StrataError('BAD_ARGUMENT', message)
  }
  const better = before === undefined || (best.mode === 'min' ? score < before : score > before)
  return better ? score : undefined
}
