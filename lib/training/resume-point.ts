/** Where a resumed run goes on. */
import { StrataError } from '../errors.js'
import { type CheckpointReference, newestCheckpoint } from './checkpoints.js'
import { checkSamePast, readTrainingState } from './training-state.js'
import type { Stage, TrainingState } from './types.js'

type ResumePoint = { warnings: string[] } & (
  | { found: CheckpointReference; past: TrainingState }
  | { found?: undefined; past?: undefined }
)

/**
 * The newest whole checkpoint of a run folder and its state; none when the run had not come to its first. Throws
 * BAD_CHECKPOINT when all are damaged, or when the state belongs to another run.
 */
export async function findResumePoint(runPath: string, stages: readonly Stage[], seed: number): Promise<ResumePoint> {
  const { found, warnings } = await newestCheckpoint(runPath)
  if (!found) {
    if (warnings.length > 0) {
      const message = `${runPath} has no whole checkpoint: ${warnings.join('; ')}; start a new run folder`
      throw new StrataError('BAD_CHECKPOINT', message, { details: { path: runPath } })
    }
    return { warnings: [`${runPath} has no checkpoint yet, the run starts at step 0`] }
  }
  const past = await readTrainingState(found.path)
  checkSamePast(past, stages, seed, found.path)
  return { found, past, warnings }
}
