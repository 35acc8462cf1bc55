/** What a run tells while it goes: typed events for listeners and loggers. */
import type { HeadScores } from '../evaluation/index.js'
import type { HeadLoss, PruningReading } from '../model/index.js'
import type { MixReading } from './mix-weights.js'
import type { RunSettings, SplitScores, StageEnd } from './types.js'

export type TrainingEvent =
  | { type: 'start'; step: number; parameters: number; trainable: number; stages: string[] }
  | { type: 'resume'; step: number; checkpoint: string; tokens: number; elapsedSeconds: number }
  | { type: 'stage'; step: number; stage: string; index: number; probabilities: Record<string, number> }
  | StepEvent
  /** After a stage's first step and after its last. By layer: `0` embeddings, `1` … `L` blocks, `heads`; before clipping. */
  | { type: 'gradients'; step: number; stage: string; gradientNorms: Record<string, number> }
  /** About once a second while held-out data are scored; not written to the logs. */
  | { type: 'evaluating'; step: number; task: string; batches: number; of: number }
  | {
      type: 'evaluation'
      step: number
      stage: string
      /** By head. */
      scores: Record<string, HeadScores>
      /** By task and split, of tasks that are scored by their own metrics. */
      tasks: Record<string, Record<string, SplitScores>>
      /** Mean of the tasks' main metrics. */
      mean?: number
      mixes?: Record<string, MixReading>
      /** Of a model with agreements, by relation. */
      gates?: Record<string, number>
      seconds: number
    }
  | { type: 'stageEnd'; step: number; stage: string; endedBy: StageEnd; reason: string }
  | { type: 'checkpoint'; step: number; path: string; seconds: number; best: boolean }
  | {
      type: 'nonFinite'
      step: number
      /** Heads whose loss was not finite; empty when only the gradient was. */
      heads: string[]
      gradNorm: number
      policy: RunSettings['onNonFinite']
      skippedSteps: number
    }
  | { type: 'rollback'; step: number; fromStep: number; checkpoint: string; rollbacks: number }
  | { type: 'warning'; step: number; message: string }
  | {
      type: 'end'
      step: number
      status: 'completed' | 'interrupted'
      tokens: number
      elapsedSeconds: number
      mixes?: Record<string, MixReading>
      gates?: Record<string, number>
      pruning?: PruningReading
    }

/** The steps since the last event of this type, taken together. */
export interface StepEvent {
  type: 'step'
  /** Finished optimiser steps of the run. */
  step: number
  stage: string
  /** Task of the last step. */
  task: string
  /** Steps of each task in this interval. */
  tasks: Record<string, number>
  /** Sum over heads of weight × loss. */
  loss: number
  /** Loss sums and label counts of the interval. */
  losses: Record<string, HeadLoss>
  learningRate: number
  /** Global gradient norm of the last step, before clipping. */
  gradNorm: number
  /** Real tokens of the run. */
  tokens: number
  tokensPerSecond: number
  millisecondsPerStep: number
  /** Share of the time that was spent waiting for batches. */
  dataWaitShare: number
  /** Share of the stage's budget, 0 … 1. */
  progress: number
  elapsedSeconds: number
  secondsLeft?: number
  memoryBytes: number
  skippedSteps: number
  /** Gates of a model with agreements by relation, as they stand after this step. */
  gates?: Record<string, number>
  /** What is left of the weights of a pruned model, as it stands after this step. */
  pruning?: PruningReading
}

/** What the steps themselves tell. */
export type StepSummary = Pick<
  StepEvent,
  | 'task'
  | 'tasks'
  | 'loss'
  | 'losses'
  | 'learningRate'
  | 'gradNorm'
  | 'tokensPerSecond'
  | 'millisecondsPerStep'
  | 'dataWaitShare'
>

export type TrainingEventType = TrainingEvent['type']
/** The event of a type: `EventOf<'step'>`. */
export type EventOf<Type extends TrainingEventType> = Extract<TrainingEvent, { type: Type }>
/** Takes the events of one type; the trainer waits for what it returns. */
export type Listener<Type extends TrainingEventType> = (event: EventOf<Type>) => void | Promise<void>

/** Takes every event; the trainer waits for what `log` returns. */
export interface Logger {
  log(event: TrainingEvent): void | Promise<void>
  close?(): void | Promise<void>
}

interface Receiver {
  receive: (event: TrainingEvent) => void | Promise<void>
  /** Its error ends the run: a run whose record cannot be written is worth nothing. */
  essential: boolean
  failed: boolean
}

/**
 * Hands events to listeners in the order in which they came. One that throws is reported once as a `warning` event and
 * stays connected; training goes on.
 */
export class TrainingEvents {
  readonly #receivers = new Map<unknown, Receiver>()
  readonly #loggers: Logger[] = []

  /** Calls `listener` with every event of a type. The same listener has one type at a time. */
  on<Type extends TrainingEventType>(type: Type, listener: Listener<Type>): this {
    const receive = (event: TrainingEvent) => (event.type === type ? listener(event as EventOf<Type>) : undefined)
    this.#receivers.set(listener, { receive, essential: false, failed: false })
    return this
  }

  /** Ends what {@link on} began. */
  off(listener: Listener<any>): this {
    this.#receivers.delete(listener)
    return this
  }

  /** An essential logger's error ends the run; any other's is a warning. */
  addLogger(logger: Logger, options: { essential?: boolean } = {}): this {
    this.#loggers.push(logger)
    const receive = (event: TrainingEvent) => logger.log(event)
    this.#receivers.set(logger, { receive, essential: options.essential ?? false, failed: false })
    return this
  }

  /** The logger gets no further events; it is not closed. */
  removeLogger(logger: Logger): this {
    this.#receivers.delete(logger)
    const index = this.#loggers.indexOf(logger)
    if (index >= 0) this.#loggers.splice(index, 1)
    return this
  }

  /** Hands an event to all, one after the other. Rejects with the error of an essential logger. */
  async emit(event: TrainingEvent): Promise<void> {
    for (const receiver of [...this.#receivers.values()]) {
      try {
        await receiver.receive(event)
      } catch (error) {
        if (receiver.essential) throw error
        if (receiver.failed) continue
        receiver.failed = true
        const reason = error instanceof Error ? error.message : String(error)
        await this.emit({ type: 'warning', step: event.step, message: `a listener failed on ${event.type}: ${reason}` })
      }
    }
  }

  /** Closes the loggers. */
  async close(): Promise<void> {
    for (const logger of this.#loggers) await logger.close?.()
  }
}
