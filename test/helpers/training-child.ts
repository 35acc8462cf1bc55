/** Trains the tiny model in a run folder, going on with what is there: the process that fault tests kill. */

import { TrainingEvents } from '../../lib/training/events.js'
import {
  huggingFaceModelFiles,
  interruptedExitCode,
  openRunFolder,
  type TrainResult,
  train,
} from '../../lib/training/index.js'
import { TINY_CONFIG, tinyModel, tinySettings, tinyStage } from './tiny-training.js'

async function main(runPath: string, steps: number, threads: number): Promise<TrainResult> {
  const model = await tinyModel(TINY_CONFIG, {}, threads)
  await using run = await openRunFolder(runPath, { resume: true })
  const stage = tinyStage({ budget: { steps }, accumulation: 2 })
  const settings = tinySettings({ checkpoint: { everySteps: 2, keep: 3 }, evaluateEverySteps: 5, prefetchWorkers: 1 })
  const events = new TrainingEvents().on('stage', () => void process.stdout.write('training\n'))
  const result = await train({
    model,
    stages: [stage],
    settings,
    run,
    modelFiles: huggingFaceModelFiles(model),
    events,
    handleSignals: true,
  })
  await model.dispose()
  return result
}

const [runPath, steps, threads] = process.argv.slice(2)
main(runPath, Number(steps), Number(threads)).then(
  (result) => {
    process.stdout.write(`${result.status}\n`)
    if (result.status === 'interrupted') process.exitCode = interruptedExitCode(result.signal)
  },
  (error) => {
    process.stderr.write(`${error?.code ?? ''} ${error?.stack ?? error}\n`)
    process.exitCode = error?.exitCode ?? 1
  },
)
