/**
 * The training loop. It stands on the public low-level parts alone (Model, Optimizer, batch sources, schedules), so that
 * a loop of one's own can do all that this one does.
 */
import { performance } from 'node:perf_hooks'
import { tokenCount } from '../data/packed-batch.js'
import { batchesAt, batchesTaken } from './accumulation.js'
import { openBatchStreams } from './batch-streams.js'
import { epochsSpent } from './budgets.js'
import { checkRequest } from './check-request.js'
import { addGradients } from './gradients.js'
import { scheduleFactor } from './schedules.js'
import { stageSampler } from './stage-sampler.js'
import { createStepWatch } from './step-watch.js'
import type { TrainOptions, TrainResult } from './train-options.js'
import { TrainingRun } from './training-run.js'
import type { Stage, StageState, TrainingTask } from './types.js'

/**
 * Trains all stages to the end of their budgets. With a resumed run folder it goes on from its newest whole checkpoint: on
 * CPU bit for bit as if it had never stopped.
 * Throws NON_FINITE, DISK_FULL, READ_ONLY, BAD_CHECKPOINT, BAD_ARGUMENT, BAD_DATA.
 */
export async function train(options: TrainOptions): Promise<TrainResult> {
  checkRequest(options)
  const run = await TrainingRun.open(options)
  try {
    do await trainStage(run)
    while (!run.stopping && run.nextStage())
    return await run.finish()
  } finally {
    await run.close()
  }
}

async function trainStage(run: TrainingRun): Promise<void> {
  const { model, settings, state, stage } = run
  const place = state.stage
  const sampler = stageSampler(stage, settings.seed + place.index)
  const watch = createStepWatch(run)
  await using batches = openBatchStreams(place, settings.prefetchWorkers)
  if (run.stageOver && place.step === 0) await run.warnOfNothingLeft()
  let ends = run.stageOver || run.stopping
  if (ends && !state.evaluationDue) return
  let progress = run.progress()
  await run.startStage(sampler.probabilities(place.draws, progress))
  await run.prune(progress)
  if (state.evaluationDue && (await run.evaluate())) await run.save(true)
  ends ||= run.stageOver || run.stopping

  while (!ends) {
    const started = performance.now()
    const epochsBefore = epochsSpent(place)
    const task = stage.tasks[sampler.taskAt(place.draws++, progress)]
    const step = await batches.take(task, batchesOfStep(stage, task, place, progress))
    const waitSeconds = (performance.now() - started) / 1000

    const losses = await addGradients(model, step)
    const factor = scheduleFactor(stage.schedule, { step: place.step, progress })
    const learningRate = stage.optimizer.learningRate * factor
    const update = await run.optimizer.step({ learningRate, ...clipLimits(stage.clip) })

    const tokens = step.reduce((sum, batch) => sum + tokenCount(batch), 0)
    run.advance(tokens)
    if (place.step === 1) await run.logGradientNorms()
    progress = run.progress()
    await run.prune(progress)
    ends = progress >= 1 || run.stopping
    const seconds = (performance.now() - started) / 1000
    watch.add({ step: state.step, task: task.name, losses, update, learningRate, tokens, seconds, waitSeconds })

    const isTurn = (everySteps: number) => everySteps > 0 && state.step % everySteps === 0
    const log = ends || isTurn(settings.logEverySteps)
    const endsEpochs = passesMultiple(settings.evaluateEveryEpochs, epochsBefore, epochsSpent(place))
    const evaluate = progress >= 1 || isTurn(settings.evaluateEverySteps) || endsEpochs
    const save = ends || isTurn(settings.checkpoint.everySteps)
    if (!(log || evaluate || save || watch.full)) continue
    if ((await watch.settle()) === 'rollback') {
      await run.rollBack()
      progress = run.progress()
      await run.prune(progress)
      ends = progress >= 1 || run.stopping
      continue
    }
    if (log) await run.log(watch)
    // The clock went on meanwhile: a stage that is over by now is evaluated as well.
    progress = run.progress()
    const evaluated = evaluate || progress >= 1
    const isBest = evaluated && (await run.evaluate())
    ends ||= (evaluated && run.stageOver) || run.stopping
    if (run.stageOver && place.step > 1) await run.logGradientNorms()
    if (save || isBest || ends) await run.save(isBest)
  }
  if (run.stageOver && !state.evaluationDue) await run.announceStageEnd()
}

/** Under `shuffled` the last step of a pass takes what is left of it: each batch comes once an epoch. */
function batchesOfStep(stage: Stage, { name, source }: TrainingTask, place: StageState, progress: number): number {
  if (stage.sampler.kind !== 'shuffled') return batchesAt(stage, progress, batchesTaken(place))
  const { epoch, index } = place.tasks[name]
  return Math.min(stage.accumulation, source.batchCount(epoch) - index)
}

/** Whether a multiple of `every` lies in (before, after]. */
function passesMultiple(every: number | undefined, before: number, after: number): boolean {
  // 0.3 / 0.1 is a crumb below 3.
  const passed = (epochs: number, each: number) => Math.floor(epochs / each + 1e-9)
  return every !== undefined && every > 0 && passed(after, every) > passed(before, every)
}

/** The optimiser takes no limit for "no limit". */
function clipLimits(clip: { maxGradNorm: number; maxTensorGradNorm: number }) {
  return { maxGradNorm: clip.maxGradNorm || undefined, maxTensorGradNorm: clip.maxTensorGradNorm || undefined }
}
