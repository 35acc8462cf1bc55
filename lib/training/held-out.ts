/** Held-out scores of a stage. */
import { StrataError } from '../errors.js'
import { evaluateHeads } from '../evaluation/index.js'
import type { Model } from '../model/index.js'
import type { Stage, StageScores } from './types.js'

/**
 * Scores the held-out data of all tasks of a stage: by the task's own metrics where it has `score`, else head by head.
 * Undefined when `abort` came first.
 */
export async function scoreStage(
  model: Model,
  stage: Stage,
  abort: AbortSignal,
  onProgress?: (task: string, batches: number, of: number) => void,
): Promise<StageScores | undefined> {
  const scores: StageScores = { heads: {}, tasks: {} }
  try {
    for (const { name, heads, evaluation, score } of stage.tasks) {
      const onBatch = (batches: number, of: number) => onProgress?.(name, batches, of)
      if (score) {
        scores.tasks[name] = await score(model, { signal: abort, onBatch })
      } else if (evaluation) {
        const found = await evaluateHeads(model, evaluation, { heads, signal: abort, onBatch })
        // Two tasks may share a head: their scores stay apart.
        for (const [head, part] of Object.entries(found)) {
          scores.heads[head in scores.heads ? `${name}/${head}` : head] = part
        }
      }
    }
  } catch (error) {
    if (error instanceof StrataError && error.code === 'ABORTED' && abort.aborted) return undefined
    throw error
  }
  return scores
}

export function isEmpty({ heads, tasks }: StageScores): boolean {
  return Object.keys(heads).length === 0 && Object.keys(tasks).length === 0
}
