export { forecastOfBatches, forecastOfSteps } from './accumulation.js'
export { budgetProgress, budgetUnit, secondsLeft } from './budgets.js'
export { checkWatched } from './check-watched.js'
export {
  type CheckpointReference,
  newestCheckpoint,
  type ResolvedCheckpoint,
  resolveCheckpoint,
  saveCheckpoint,
} from './checkpoints.js'
export { makeFolder, replaceFile } from './durable-files.js'
export {
  type EventOf,
  type Listener,
  type Logger,
  type StepEvent,
  type TrainingEvent,
  TrainingEvents,
  type TrainingEventType,
} from './events.js'
export { readGates } from './gates.js'
export { type GradientReading, readGradientNorms } from './gradient-norms.js'
export { addGradients, labelCounts } from './gradients.js'
export { shownMetric } from './metric-scale.js'
export { type MixReading, mixReadings, readMixes } from './mix-weights.js'
export type { CardText } from './model-card.js'
export { huggingFaceModelFiles, type ModelFiles, plainModelFiles } from './model-files.js'
export { optimizerOptions } from './optimizer-options.js'
export { parameterGroups, reachedParameters } from './parameter-groups.js'
export { createProgressLine, type ProgressLineOptions } from './progress-line.js'
export { pruningAt } from './pruning-schedule.js'
export { softwareVersions } from './run-environment.js'
export { ENVIRONMENT_FILE, METRICS_FILE, RESOLVED_RECIPE_FILE } from './run-files.js'
export { openRunFolder, type RunFolder, type RunFolderOptions, readResolvedRecipe } from './run-folder.js'
export { lockRun, runHolder } from './run-lock.js'
export { type SchedulePlace, scheduleFactor } from './schedules.js'
export { interruptedExitCode } from './stop-request.js'
export { resolveTaskCheckpoint, untrainedTaskWarnings } from './task-checkpoints.js'
export type { StageResult, TrainOptions, TrainResult } from './train-options.js'
export { trainedNames } from './trained-parameters.js'
export { train } from './trainer.js'
export { readTrainingState } from './training-state.js'
export type * from './types.js'
export { namedScores } from './watched-score.js'
