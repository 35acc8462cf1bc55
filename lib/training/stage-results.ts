/** What a run gives back of its stages. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { RunFolder } from './run-folder.js'
import type { StageResult } from './train-options.js'
import type { FinishedStage } from './types.js'

/** Results of finished stages; a checkpoint that retention has removed is left out. */
export function stageResults(finished: readonly FinishedStage[], run?: RunFolder): StageResult[] {
  const kept = (step: number): string | undefined => {
    const path = run && join(run.checkpointsPath, `step-${step}`)
    return path && existsSync(path) ? path : undefined
  }
  return finished.map(({ name, step, endedBy, scores, best }) => ({
    name,
    step,
    endedBy,
    scores: scores.heads,
    tasks: scores.tasks,
    checkpoint: kept(step),
    best: best && { ...best, checkpoint: kept(best.step) },
  }))
}
