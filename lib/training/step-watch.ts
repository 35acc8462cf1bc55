/**
 * What steps left on the device is read late, in one go, so that a GPU never waits for JavaScript; a bad step is found
 * then with its exact number. Its update was suppressed on the device, so later steps stand on sound weights.
 */
import { StrataError } from '../errors.js'
import type { HeadLoss, Optimizer, StepLosses } from '../model/index.js'
import type { StepSummary } from './events.js'
import { addLosses } from './gradients.js'
import type { TrainingRun } from './training-run.js'

export interface WatchedStep {
  step: number
  task: string
  losses: StepLosses[]
  update: Awaited<ReturnType<Optimizer['step']>>
  learningRate: number
  tokens: number
  seconds: number
  /** Part of `seconds` spent waiting for batches. */
  waitSeconds: number
}

/** Most steps that may be unread; bounds what they hold on the device. */
const MAX_UNREAD = 64

export interface StepWatch {
  add(step: WatchedStep): void
  /** So many steps are unread that it is time to read them. */
  readonly full: boolean
  /** Reads all steps since the last call. Throws NON_FINITE under `stop`; 'rollback' asks for one. */
  settle(): Promise<'fine' | 'rollback'>
  /** The settled steps since the last summary; undefined when there are none. */
  summary(): StepSummary | undefined
}

export function createStepWatch(run: TrainingRun): StepWatch {
  let unread: WatchedStep[] = []
  let interval = emptyInterval()
  let skippedInARow = 0
  return {
    add: (step) => void unread.push(step),
    get full() {
      return unread.length >= MAX_UNREAD
    },
    async settle() {
      const steps = unread
      unread = []
      for (const step of steps) {
        const losses: Record<string, HeadLoss> = {}
        for (const part of step.losses) addLosses(losses, await part.read())
        const { gradNorm, applied } = await step.update.read()
        interval.add(step, losses, gradNorm)
        const heads = Object.keys(losses).filter((head) => !losses[head].finite)
        if (heads.length === 0 && applied) {
          skippedInARow = 0
          continue
        }
        skippedInARow++
        const outcome = await meetNonFinite(run, { step: step.step, heads, gradNorm, skippedInARow })
        if (outcome === 'skip') continue
        // The steps after the bad one are undone with it.
        interval = emptyInterval()
        skippedInARow = 0
        return 'rollback'
      }
      return 'fine'
    },
    summary() {
      const summary = interval.summary(run)
      interval = emptyInterval()
      return summary
    },
  }
}

interface NonFinite {
  step: number
  heads: string[]
  gradNorm: number
  skippedInARow: number
}

/** Counts, tells and judges a step whose update was suppressed. */
async function meetNonFinite(run: TrainingRun, found: NonFinite): Promise<'skip' | 'rollback'> {
  const { settings, state } = run
  const { step, heads, gradNorm, skippedInARow } = found
  state.skippedSteps++
  // Half precision probes its loss scale: an overflow of the gradient alone is how it finds one.
  const scaleSearch = run.model.precision === 'fp16' && heads.length === 0
  const policy = scaleSearch ? 'skip' : settings.onNonFinite
  await run.emit({ type: 'nonFinite', step, heads, gradNorm, policy, skippedSteps: state.skippedSteps })
  const maxSkipped = settings.maxSkippedInARow ?? 100
  const maxRollbacks = settings.maxRollbacks ?? 3
  if (policy === 'stop') throw run.nonFinite(step, heads, 'training stops (onNonFinite: stop)')
  if (policy === 'skip' && skippedInARow >= maxSkipped) {
    throw run.nonFinite(
      step,
      heads,
      `${skippedInARow} steps in a row were skipped, which is the limit (maxSkippedInARow)`,
    )
  }
  if (policy === 'rollback' && state.rollbacks >= maxRollbacks) {
    throw run.nonFinite(step, heads, `${state.rollbacks} rollbacks did not help, which is the limit (maxRollbacks)`)
  }
  return policy
}

/** The typed error of a run that cannot go on. */
export function nonFiniteError(step: number, heads: string[], reason: string, checkpoint?: string): StrataError {
  const where = heads.length > 0 ? `the loss of ${heads.map((head) => `head ${head}`).join(' and ')}` : 'the gradient'
  const good = checkpoint ? `the newest good checkpoint is ${checkpoint}` : 'there is no checkpoint yet'
  const advice = 'lower the learning rate, lengthen the warm-up or clip harder'
  const message = `${where} is not finite at step ${step}, a finite number was expected: ${reason}; ${good}; ${advice}`
  return new StrataError('NON_FINITE', message, { details: { step, heads, checkpoint } })
}

function emptyInterval() {
  const losses: Record<string, HeadLoss> = {}
  const tasks: Record<string, number> = {}
  let [steps, tokens, seconds, waitSeconds] = [0, 0, 0, 0]
  let learningRate = 0
  let lastGradNorm = 0
  let task = ''
  return {
    add(step: WatchedStep, stepLosses: Record<string, HeadLoss>, gradNorm: number) {
      addLosses(losses, stepLosses)
      tasks[step.task] = (tasks[step.task] ?? 0) + 1
      steps++
      tokens += step.tokens
      seconds += step.seconds
      waitSeconds += step.waitSeconds
      learningRate = step.learningRate
      lastGradNorm = gradNorm
      task = step.task
    },
    summary(run: TrainingRun): StepSummary | undefined {
      if (steps === 0) return undefined
      const counted = run.model.config.heads.filter((head) => losses[head.name]?.count > 0)
      return {
        task,
        tasks,
        loss: counted.reduce((sum, head) => sum + head.weight * losses[head.name].loss, 0),
        losses,
        learningRate,
        gradNorm: lastGradNorm,
        tokensPerSecond: tokens / seconds,
        millisecondsPerStep: (1000 * seconds) / steps,
        dataWaitShare: waitSeconds / seconds,
      }
    },
  }
}
