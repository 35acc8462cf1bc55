/** What a training request must fulfil before anything is read or written. */
import { StrataError } from '../errors.js'
import { checkRamp } from './accumulation.js'
import { budgetUnit } from './budgets.js'
import { checkWatched } from './check-watched.js'
import { checkPruning } from './pruning-schedule.js'
import { checkSchedule } from './schedules.js'
import { checkChain } from './stage-chain.js'
import { stageSampler } from './stage-sampler.js'
import type { TrainOptions } from './train-options.js'
import type { EarlyStoppingSettings, Stage } from './types.js'

/** Throws BAD_ARGUMENT that names the field, what came and what was expected. */
export function checkRequest(options: TrainOptions): void {
  const { stages, settings, model } = options
  if (stages.length === 0) refuse('stages is empty', 'at least one stage')
  checkNames(
    stages.map((stage) => stage.name),
    'stages',
  )
  for (const [name, value] of Object.entries({
    evaluateEverySteps: settings.evaluateEverySteps,
    'checkpoint.everySteps': settings.checkpoint.everySteps,
    'checkpoint.keep': settings.checkpoint.keep,
    logEverySteps: settings.logEverySteps,
    prefetchWorkers: settings.prefetchWorkers,
  })) {
    if (!(Number.isInteger(value) && value >= 0)) refuse(`settings.${name} is ${value}`, 'a whole number ≥ 0')
  }
  if (!Number.isSafeInteger(settings.seed)) refuse(`settings.seed is ${settings.seed}`, 'a whole number')
  if (settings.onNonFinite === 'rollback' && !options.run) {
    refuse('onNonFinite is rollback without a run folder', 'a run folder, whose checkpoints can be gone back to')
  }
  const everyEpochs = settings.evaluateEveryEpochs
  if (everyEpochs !== undefined && !(everyEpochs >= 0 && Number.isFinite(everyEpochs))) {
    refuse(`settings.evaluateEveryEpochs is ${everyEpochs}`, 'a number ≥ 0')
  }
  if (settings.earlyStopping) {
    checkEarlyStopping(settings.earlyStopping)
    if (!settings.evaluateEverySteps && !everyEpochs) {
      refuse('earlyStopping is set without evaluations on the way', 'evaluateEverySteps or evaluateEveryEpochs')
    }
  }
  checkChain(stages, options.run !== undefined, settings.checkpoint.best !== undefined)
  const heads = model.config.heads.map((head) => head.name)
  for (const stage of stages) {
    checkStage(stage, heads)
    checkPruning(stage, model.config)
  }
  checkWatched(stages, settings, model.config)
}

function checkEarlyStopping({ patience, minDelta = 0 }: EarlyStoppingSettings): void {
  if (!(Number.isInteger(patience) && patience >= 1))
    refuse(`earlyStopping.patience is ${patience}`, 'a whole number ≥ 1')
  if (!(minDelta >= 0 && Number.isFinite(minDelta))) refuse(`earlyStopping.minDelta is ${minDelta}`, 'a number ≥ 0')
}

function checkStage(stage: Stage, heads: readonly string[]): void {
  const at = `stage ${stage.name}`
  budgetUnit(stage.budget)
  checkSchedule(stage.schedule)
  if (stage.tasks.length === 0) refuse(`${at} has no task`, 'at least one')
  checkNames(
    stage.tasks.map((task) => task.name),
    `${at}: tasks`,
  )
  for (const task of stage.tasks) {
    if (task.heads.length === 0) refuse(`${at}: task ${task.name} has no head`, 'at least one')
    for (const head of task.heads) {
      if (!heads.includes(head)) refuse(`${at}: task ${task.name} names head ${head}`, `one of ${heads.join(', ')}`)
    }
    if (!(task.source.batchCount(0) > 0)) {
      throw new StrataError(
        'BAD_DATA',
        `${at}: task ${task.name} has no batch, at least one was expected; give it more text`,
      )
    }
  }
  checkSizes(stage, at)
  if (!(Number.isInteger(stage.accumulation) && stage.accumulation >= 1)) {
    refuse(`${at}: accumulation is ${stage.accumulation}`, 'a whole number ≥ 1')
  }
  checkRamp(stage)
  if (stage.accumulationRamp && stage.sampler.kind === 'shuffled') {
    refuse(
      `${at}: accumulationRamp is ${stage.accumulationRamp} with the shuffled sampler`,
      'no ramp (0), or another sampler',
    )
  }
  // A later stage's sampler is not found wrong when the stages before it are done.
  stageSampler(stage, 0)
  const { learningRate, weightDecay, layerDecay } = stage.optimizer
  if (!(learningRate > 0 && Number.isFinite(learningRate)))
    refuse(`${at}: learningRate is ${learningRate}`, 'a number > 0')
  if (!(weightDecay >= 0 && Number.isFinite(weightDecay)))
    refuse(`${at}: weightDecay is ${weightDecay}`, 'a number ≥ 0')
  if (!(layerDecay > 0 && layerDecay <= 1)) refuse(`${at}: layerDecay is ${layerDecay}`, 'a number in (0, 1]')
}

/** Examples of one task against batches of another would be no ratio at all. */
function checkSizes({ tasks, sampler }: Stage, at: string): void {
  for (const { name, examples } of tasks) {
    if (examples !== undefined && !(examples > 0 && Number.isFinite(examples))) {
      refuse(`${at}: task ${name} has ${examples} examples`, 'a number > 0')
    }
  }
  const bySize = ['proportional', 'sqrt', 'annealed', 'temperature'].includes(sampler.kind)
  const without = tasks.filter(({ examples }) => examples === undefined)
  if (!bySize || without.length === 0 || without.length === tasks.length) return
  refuse(`${at}: task ${without[0].name} has no number of examples, as others have`, 'it for all tasks or for none')
}

function checkNames(names: readonly string[], what: string): void {
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) refuse(`${what} hold ${twice} twice`, 'names that differ')
}

function refuse(came: string, expected: string): never {
  throw new StrataError('BAD_ARGUMENT', `${came}, ${expected} was expected`)
}
