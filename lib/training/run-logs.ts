/** Where a run's events go: to its own logs in the run folder, and to the user's listeners. */
import { type Logger, type TrainingEvent, TrainingEvents } from './events.js'
import { openMetricsLog } from './metrics-log.js'
import type { RunFolder } from './run-folder.js'
import { openTensorBoardLog } from './tensorboard.js'

export class RunLogs {
  readonly #events: TrainingEvents
  readonly #own: Logger[] = []

  constructor(events = new TrainingEvents()) {
    this.#events = events
  }

  /** Opens metrics.jsonl and TensorBoard's file for a run that goes on after `step`. */
  async open(run: RunFolder, step: number): Promise<void> {
    this.#own.push(await openMetricsLog(run.metricsPath, step))
    this.#own.push(await openTensorBoardLog(run.tensorboardPath, step))
  }

  /** The run's own logs come first: what cannot be written ends the run. */
  async emit(event: TrainingEvent): Promise<void> {
    for (const logger of this.#own) await logger.log(event)
    await this.#events.emit(event)
  }

  /** For listeners alone; nobody waits for them. */
  tell(event: TrainingEvent): void {
    void this.#events.emit(event).catch(() => {})
  }

  async close(): Promise<void> {
    for (const logger of this.#own.splice(0)) await logger.close?.()
    await this.#events.close()
  }
}
