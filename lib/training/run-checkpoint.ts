/** What a checkpoint of a run holds: weights, the optimiser's moments, the state, a model card. */
import { join } from 'node:path'
import { faultPoint } from '../fault-points.js'
import { type Model, type Optimizer, prunedWeightsOf } from '../model/index.js'
import { type CheckpointReference, saveCheckpoint } from './checkpoints.js'
import { writeSynced } from './durable-files.js'
import { type CardText, modelCard } from './model-card.js'
import { type ModelFiles, WEIGHTS_FILE } from './model-files.js'
import type { RunFolder } from './run-folder.js'
import { latestBest, pinnedSteps } from './stage-chain.js'
import { OPTIMIZER_FILE } from './stage-optimizer.js'
import { STATE_FILE } from './training-state.js'
import type { CheckpointSettings, Stage, StageScores, TrainingState } from './types.js'

export interface CheckpointParts {
  run: RunFolder
  model: Model
  modelFiles: ModelFiles
  /** Left out where nothing goes on with the stage. */
  optimizer?: Optimizer
  state: TrainingState
  stages: readonly Stage[]
  /** The running one, and its last scores: for the card. */
  stage: Stage
  scores: StageScores
  card?: CardText
  settings: CheckpointSettings
}

/** Writes a checkpoint of this very state and removes those that the settings do not keep. */
export async function writeRunCheckpoint(
  parts: CheckpointParts,
): Promise<{ saved: CheckpointReference; warnings: string[] }> {
  const { run, model, modelFiles, optimizer, state, stages, stage, scores, card, settings } = parts
  const warnings: string[] = []
  const saved = await saveCheckpoint({
    runPath: run.path,
    step: state.step,
    keep: settings.keep,
    bestStep: latestBest(state)?.step,
    pinnedSteps: pinnedSteps(stages, state, settings.keepStages ?? false),
    onWarning: (message) => void warnings.push(message),
    write: async (folder) => {
      await modelFiles.write(folder)
      faultPoint('inside-tensor', join(folder, WEIGHTS_FILE))
      faultPoint('before-optimizer')
      await optimizer?.save(join(folder, OPTIMIZER_FILE))
      await writeSynced(join(folder, STATE_FILE), `${JSON.stringify(state, null, 2)}\n`)
      const pruned = model.config.pruning && (await prunedWeightsOf(model))
      await writeSynced(join(folder, 'README.md'), modelCard(model.config, stage, state, scores, card, pruned))
    },
  })
  return { saved, warnings }
}
