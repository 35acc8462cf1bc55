/** What a training run logged: its steps, and its evaluations in order. */
import { join } from 'node:path'
import { METRICS_FILE, namedScores, type StepEvent, type TrainingEvent } from '../training/index.js'
import { readLines } from './job-folder.js'

export interface RunLog {
  /** Parameters of the model, and those that some stage trains. */
  parameters?: { parameters: number; trainable: number }
  steps: StepEvent[]
  evaluations: LoggedEvaluation[]
  /** Optimiser steps that the run had done when each stage began. */
  stageStarts: ReadonlyMap<string, number>
}

export interface LoggedEvaluation {
  stage: string
  step: number
  seconds: number
  /** Every number by name, as measures name them; NaN where it was not finite. */
  scores: Map<string, number>
}

/** Reads `metrics.jsonl` of a run folder; a run that logged nothing has an empty log. */
export async function readRunLog(folder: string): Promise<RunLog> {
  const events = await readLines<TrainingEvent>(join(folder, METRICS_FILE))
  const start = events.findLast((event) => event.type === 'start')
  const evaluations: LoggedEvaluation[] = []
  const stageStarts = new Map<string, number>()
  for (const event of events) {
    // A stage that is gone on with is announced again.
    if (event.type === 'stage' && !stageStarts.has(event.stage)) stageStarts.set(event.stage, event.step)
    if (event.type !== 'evaluation') continue
    const { stage, step, seconds, scores = {}, tasks = {} } = event
    // A run that was stopped while it scored does so again when it goes on.
    if (evaluations.at(-1)?.step === step && evaluations.at(-1)?.stage === stage) evaluations.pop()
    const named = [...namedScores({ heads: scores, tasks })]
    // The log writes what is not finite as its name.
    evaluations.push({ stage, step, seconds, scores: new Map(named.map(([name, value]) => [name, Number(value)])) })
  }
  return {
    ...(start && { parameters: { parameters: start.parameters, trainable: start.trainable } }),
    // Of an earlier version's log what a step line lacks is not known of the run.
    steps: events.filter(
      (event) => event.type === 'step' && event.tasks !== undefined && event.losses !== undefined,
    ) as StepEvent[],
    evaluations,
    stageStarts,
  }
}
