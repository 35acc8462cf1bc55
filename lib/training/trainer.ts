/**
 * The training loop. It stands on the public low-level parts alone (Model, Optimizer, batch sources, schedules), so that
 * a loop of one's own can do all that this one does.
 */
import { performance } from 'node:perf_hooks'
import { tokenCount } from '../data/packed-batch.js'
import { createTaskSampler } from '../data/task-sampler.js'
import type { HeadScores } from '../evaluation/index.js'
import { openBatchStreams } from './batch-streams.js'
import { checkRequest } from './check-request.js'
import { addGradients } from './gradients.js'
import { scheduleFactor } from './schedules.js'
import { createStepWatch } from './step-watch.js'
import { TrainingRun, type TrainOptions } from './training-run.js'
import type { TrainingState } from './types.js'

export interface TrainResult {
  status: 'completed' | 'interrupted'
  /** The process signal that interrupted it, if one did. */
  signal?: NodeJS.Signals
  state: TrainingState
  /** The newest checkpoint's folder. */
  checkpoint?: string
  /** The folder of the best one, with `settings.checkpoint.best`. */
  best?: string
  /** The last evaluation, by head. */
  scores: Record<string, HeadScores>
}

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
  const sizes = stage.tasks.map(({ name, source }) => ({ name, size: source.batchCount(0) }))
  const sampler = createTaskSampler(stage.sampler, sizes, settings.seed + state.stage.index)
  const watch = createStepWatch(run)
  await using batches = openBatchStreams(state.stage, settings.prefetchWorkers)
  let progress = run.progress()
  let ends = progress >= 1 || run.stopping
  if (ends && !state.evaluationDue) return
  await run.startStage(sampler.probabilities(state.stage.draws, progress))
  if (state.evaluationDue && (await run.evaluate())) await run.save(true)

  while (!ends) {
    const started = performance.now()
    const task = stage.tasks[sampler.taskAt(state.stage.draws++, progress)]
    const step = await batches.take(task, stage.accumulation)
    const waitSeconds = (performance.now() - started) / 1000

    const losses = await addGradients(model, step)
    const factor = scheduleFactor(stage.schedule, { step: state.stage.step, progress })
    const learningRate = stage.optimizer.learningRate * factor
    const update = await run.optimizer.step({ learningRate, ...clipLimits(stage.clip) })

    const tokens = step.reduce((sum, batch) => sum + tokenCount(batch), 0)
    run.advance(tokens)
    progress = run.progress()
    ends = progress >= 1 || run.stopping
    const seconds = (performance.now() - started) / 1000
    watch.add({ step: state.step, task: task.name, losses, update, learningRate, tokens, seconds, waitSeconds })

    const isTurn = (everySteps: number) => everySteps > 0 && state.step % everySteps === 0
    const log = ends || isTurn(settings.logEverySteps)
    const evaluate = progress >= 1 || isTurn(settings.evaluateEverySteps)
    const save = ends || isTurn(settings.checkpoint.everySteps)
    if (!(log || evaluate || save || watch.full)) continue
    if ((await watch.settle()) === 'rollback') {
      await run.rollBack()
      progress = run.progress()
      ends = progress >= 1 || run.stopping
      continue
    }
    if (log) await run.log(watch)
    const isBest = evaluate && (await run.evaluate())
    ends ||= run.stopping
    if (save || isBest || ends) await run.save(isBest)
  }
}

/** The optimiser takes no limit for "no limit". */
function clipLimits(clip: { maxGradNorm: number; maxTensorGradNorm: number }) {
  return { maxGradNorm: clip.maxGradNorm || undefined, maxTensorGradNorm: clip.maxTensorGradNorm || undefined }
}
