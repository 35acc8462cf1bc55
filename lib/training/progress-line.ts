/** The progress of a run on the terminal: one line rewritten in place on a TTY, plain lines elsewhere. */
import type { EventOf, Logger, StepEvent, TrainingEvent } from './events.js'
import type { MixReading } from './mix-weights.js'
import { scoreTable } from './score-table.js'

export interface ProgressLineOptions {
  /** Default: stderr, so that stdout stays free for results. */
  stream?: { isTTY?: boolean; columns?: number; write(text: string): unknown }
}

/**
 * A logger that shows a run's progress: step, losses by head, learning rate, tokens a second, time left, memory. What passes is rewritten
 * in place on a terminal; elsewhere every event is a line.
 */
export function createProgressLine(options: ProgressLineOptions = {}): Logger {
  const stream = options.stream ?? process.stderr
  const inPlace = stream.isTTY === true
  let shown = false
  /** With one task in a stage its name says nothing. */
  let severalTasks = false
  const permanent = (text: string) => {
    stream.write(shown ? `\r\x1b[K${text}\n` : `${text}\n`)
    shown = false
  }
  return {
    log(event) {
      // Where lines cannot be rewritten, one a second is too many.
      if (event.type === 'evaluating' && !inPlace) return
      if (event.type === 'stage') severalTasks = Object.keys(event.probabilities).length > 1
      const text = describe(event, severalTasks)
      if (text === undefined) return
      const passing = event.type === 'step' || event.type === 'evaluating'
      if (!passing || !inPlace) return permanent(text)
      // A line longer than the terminal would wrap and could not be rewritten.
      stream.write(`\r\x1b[K${text.slice(0, Math.max(20, (stream.columns ?? 120) - 1))}`)
      shown = true
    },
    close() {
      if (shown) stream.write('\n')
      shown = false
    },
  }
}

function describe(event: TrainingEvent, severalTasks: boolean): string | undefined {
  switch (event.type) {
    case 'start':
      return `${millions(event.trainable)} of ${millions(event.parameters)} parameters train in ${event.stages.join(', ')}`
    case 'resume':
      return `resumed at step ${event.step} from ${event.checkpoint}`
    case 'stage':
      return event.index > 0 ? `stage ${event.stage}` : undefined
    case 'step':
      return describeStep(event, severalTasks)
    case 'evaluating':
      return `step ${event.step}  scoring held-out data of ${event.task}  ${event.batches}/${event.of}`
    case 'evaluation':
      return describeEvaluation(event)
    case 'gradients':
      return undefined
    case 'stageEnd':
      return event.endedBy === 'budget' ? undefined : `stage ${event.stage} ends at step ${event.step}: ${event.reason}`
    case 'checkpoint':
      return `step ${event.step}  checkpoint ${event.path}${event.best ? '  (best so far)' : ''}`
    case 'nonFinite': {
      const where = event.heads.length > 0 ? `loss of ${event.heads.join(', ')}` : 'gradient'
      return `step ${event.step}  ${where} not finite, update suppressed (${event.skippedSteps} so far, policy ${event.policy})`
    }
    case 'rollback':
      return `back from step ${event.fromStep} to ${event.checkpoint} (rollback ${event.rollbacks})`
    case 'warning':
      return `warning: ${event.message}`
    case 'end':
      return [
        ...describeMixes(event.mixes),
        `${event.status} at step ${event.step}: ${millions(event.tokens)} tokens in ${duration(event.elapsedSeconds)}`,
      ].join('\n')
  }
}

function describeStep(event: StepEvent, severalTasks: boolean): string {
  const parts = [`${event.stage}  step ${event.step}  ${(100 * event.progress).toFixed(1)} %`]
  const losses = Object.entries(event.losses).map(([head, { loss }]) => `${head} ${loss.toFixed(3)}`)
  if (severalTasks) parts.push(`task ${event.task}`)
  else parts.push(...losses)
  if (event.pruning) parts.push(`density ${event.pruning.density.toFixed(3)}`)
  parts.push(`lr ${event.learningRate.toExponential(2)}`)
  parts.push(`grad ${event.gradNorm.toPrecision(3)}`)
  parts.push(`${Math.round(event.tokensPerSecond).toLocaleString('en-US')} tokens/s`)
  parts.push(`${event.millisecondsPerStep.toFixed(0)} ms/step`)
  if (event.secondsLeft !== undefined) parts.push(`${duration(event.secondsLeft)} left`)
  parts.push(`${(event.memoryBytes / 2 ** 30).toFixed(2)} GiB`)
  if (event.skippedSteps > 0) parts.push(`${event.skippedSteps} skipped`)
  // A terminal cuts the line at its end: many tasks' losses go there.
  if (severalTasks) parts.push(...losses)
  return parts.join('  ')
}

function describeEvaluation(event: EventOf<'evaluation'>): string {
  const heads = Object.values(event.scores).map((score) => {
    const place = score.layer < 0 ? '' : `@${score.layer}`
    const parts = [`${score.head}${place}: loss ${score.loss.toFixed(3)}`]
    if (score.ownChunksLoss !== undefined) parts.push(`own chunks ${score.ownChunksLoss.toFixed(3)}`)
    if (score.perplexity !== undefined) parts.push(`perplexity ${score.perplexity.toPrecision(4)}`)
    parts.push(`accuracy ${score.accuracy.toFixed(3)}`)
    if (score.attachment) parts.push(`attached ${score.attachment.accuracy.toFixed(3)}`)
    if (score.balancedAccuracy !== undefined) parts.push(`balanced ${score.balancedAccuracy.toFixed(3)}`)
    return parts.join(', ')
  })
  const first = `step ${event.step}  held out  ${heads.join('; ')}`.trimEnd()
  return [first, ...scoreTable(event.tasks, event.mean)].join('\n')
}

function describeMixes(mixes: Record<string, MixReading> = {}): string[] {
  return Object.entries(mixes).map(
    ([name, { weights, gamma }]) =>
      `mix ${name}: gamma ${gamma.toFixed(3)}, layers ${weights.map((weight) => weight.toFixed(3)).join(' ')}`,
  )
}

/** `1h02m`, `3m05s` or `12s`. */
export function duration(seconds: number): string {
  const whole = Math.round(seconds)
  const two = (value: number) => String(value).padStart(2, '0')
  if (whole >= 3600) return `${Math.floor(whole / 3600)}h${two(Math.floor((whole % 3600) / 60))}m`
  if (whole >= 60) return `${Math.floor(whole / 60)}m${two(whole % 60)}s`
  return `${whole}s`
}

const millions = (count: number): string => `${(count / 1e6).toFixed(2)} M`
