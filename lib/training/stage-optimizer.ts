/** The optimiser of a stage: empty at its start, as it was where the stage is gone on with. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { StrataError } from '../errors.js'
import { type Model, Optimizer } from '../model/index.js'
import type { CheckpointReference } from './checkpoints.js'
import { optimizerOptions } from './optimizer-options.js'
import { stageGroups } from './trained-parameters.js'
import type { Stage } from './types.js'

export const OPTIMIZER_FILE = 'optimizer.safetensors'

export function freshOptimizer(model: Model, stage: Stage): Promise<Optimizer> {
  return Optimizer.create(model, optimizerOptions(stage.optimizer, stageGroups(model, stage)))
}

/** Reads the moments of a checkpoint. Throws BAD_CHECKPOINT when it has none and some are `needed` to go on. */
export async function loadMoments(
  optimizer: Optimizer,
  { path }: CheckpointReference,
  stage: Stage,
  needed: boolean,
): Promise<void> {
  const file = join(path, OPTIMIZER_FILE)
  if (existsSync(file)) return optimizer.load(file)
  if (!needed) return
  throw new StrataError(
    'BAD_CHECKPOINT',
    `stage ${stage.name} ended with ${path}, which holds no optimiser to go on with; give the stage the budget that it had, or start a new run folder`,
    { details: { path } },
  )
}
