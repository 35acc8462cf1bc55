/** The events that hold readings of the model: its mixes, gates and pruning as they stand. */
import type { Model, PruningReading } from '../model/index.js'
import { secondsLeft } from './budgets.js'
import type { EventOf, StepEvent, StepSummary } from './events.js'
import { readGates } from './gates.js'
import { readMixes } from './mix-weights.js'
import { readPruning } from './pruner.js'
import type { Stage, StageScores, TrainingState } from './types.js'
import { meanScore } from './watched-score.js'

/** What of a run is read. */
interface Place {
  readonly model: Model
  readonly stage: Stage
  readonly state: TrainingState
}

/** `summary`: of the steps since the last one. */
export async function stepEvent(
  { model, stage, state }: Place,
  summary: StepSummary,
  progress: number,
): Promise<StepEvent> {
  return {
    type: 'step',
    step: state.step,
    stage: stage.name,
    ...summary,
    tokens: state.tokens,
    progress,
    elapsedSeconds: state.elapsedSeconds,
    secondsLeft: secondsLeft(stage.budget, state.stage, state),
    memoryBytes: process.memoryUsage.rss(),
    skippedSteps: state.skippedSteps,
    gates: await readGates(model),
    pruning: await readPruning(model),
  }
}

export async function evaluationEvent(
  { model, stage, state }: Place,
  scores: StageScores,
  seconds: number,
): Promise<EventOf<'evaluation'>> {
  return {
    type: 'evaluation',
    step: state.step,
    stage: stage.name,
    scores: scores.heads,
    tasks: scores.tasks,
    mean: meanScore(scores),
    mixes: await readMixes(model),
    gates: await readGates(model),
    seconds,
  }
}

export async function endEvent(
  { model, state }: Place,
  status: 'completed' | 'interrupted',
  pruning: PruningReading | undefined,
): Promise<EventOf<'end'>> {
  return {
    type: 'end',
    step: state.step,
    status,
    tokens: state.tokens,
    elapsedSeconds: state.elapsedSeconds,
    mixes: await readMixes(model),
    gates: await readGates(model),
    pruning,
  }
}
