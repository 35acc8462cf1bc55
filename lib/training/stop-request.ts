/**
 * Ways to end a run early: an AbortSignal or, when asked for, SIGINT and SIGTERM. The running step is finished and a
 * checkpoint written; a batch system should leave at least the time of one step and one checkpoint (a few seconds for the sizes
 * that fit a laptop) between the signal and a kill. A second signal ends the process at once.
 */
import { constants } from 'node:os'

export interface StopRequest {
  /** Aborted when the run shall end. */
  readonly abort: AbortSignal
  /** The process signal that asked, if one did. */
  readonly signal?: NodeJS.Signals
  release(): void
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const

export function listenForStop(options: {
  signal?: AbortSignal
  handleSignals?: boolean
  onRequest: (by: string) => void
}): StopRequest {
  const controller = new AbortController()
  let received: NodeJS.Signals | undefined
  const onAbort = () => {
    if (controller.signal.aborted) return
    controller.abort()
    options.onRequest('AbortSignal')
  }
  const onSignal = (signal: NodeJS.Signals) => {
    if (received) process.exit(128 + constants.signals[signal])
    received = signal
    if (controller.signal.aborted) return
    controller.abort()
    options.onRequest(signal)
  }
  if (options.signal?.aborted) onAbort()
  options.signal?.addEventListener('abort', onAbort)
  if (options.handleSignals) for (const name of SIGNALS) process.on(name, onSignal)
  return {
    abort: controller.signal,
    get signal() {
      return received
    },
    release() {
      options.signal?.removeEventListener('abort', onAbort)
      if (options.handleSignals) for (const name of SIGNALS) process.off(name, onSignal)
    },
  }
}

/** Exit code of a run that was interrupted: 130 after SIGINT, 143 after SIGTERM, 1 after an AbortSignal. */
export function interruptedExitCode(signal?: NodeJS.Signals): number {
  return signal ? 128 + constants.signals[signal] : 1
}
