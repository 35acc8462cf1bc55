/** A run in progress: its state, its clock, and what it does beside the steps: evaluate, save, roll back, tell. */
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { StrataError } from '../errors.js'
import type { HeadScores } from '../evaluation/index.js'
import { type Model, Optimizer } from '../model/index.js'
import { budgetProgress, secondsLeft } from './budgets.js'
import { type CheckpointReference, newestCheckpoint, saveCheckpoint } from './checkpoints.js'
import { writeSynced } from './durable-files.js'
import { type TrainingEvent, TrainingEvents } from './events.js'
import { faultPoint } from './fault-points.js'
import { betterScore, scoreStage } from './held-out.js'
import { openMetricsLog } from './metrics-log.js'
import { type CardText, modelCard } from './model-card.js'
import { type ModelFiles, plainModelFiles, WEIGHTS_FILE } from './model-files.js'
import { parameterGroups, reachedParameters } from './parameter-groups.js'
import type { RunFolder } from './run-folder.js'
import { nonFiniteError, type StepWatch } from './step-watch.js'
import { listenForStop, type StopRequest } from './stop-request.js'
import { openTensorBoardLog } from './tensorboard.js'
import type { TrainResult } from './trainer.js'
import { checkSamePast, freshStage, readTrainingState, STATE_FILE } from './training-state.js'
import type { RunSettings, Stage, TrainingState } from './types.js'

const OPTIMIZER_FILE = 'optimizer.safetensors'

export interface TrainOptions {
  model: Model
  /** Run one after the other; each starts with a fresh optimiser. */
  stages: Stage[]
  settings: RunSettings
  /** Where checkpoints and logs go; without it nothing is written. A resumed folder is gone on with. */
  run?: RunFolder
  /** Default {@link plainModelFiles}. */
  modelFiles?: ModelFiles
  events?: TrainingEvents
  /** An abort finishes the running step, writes a checkpoint and ends with status `interrupted`. */
  signal?: AbortSignal
  /** SIGINT and SIGTERM do the same; a second one ends the process at once. Default false. */
  handleSignals?: boolean
  /** For the model card of the checkpoints. */
  card?: CardText
}

export class TrainingRun {
  readonly model: Model
  readonly stages: readonly Stage[]
  readonly settings: RunSettings
  readonly state: TrainingState
  readonly stop: StopRequest
  scores: Record<string, HeadScores> = {}
  newest?: CheckpointReference
  #optimizer?: Optimizer
  #lastTick = performance.now()
  readonly #startWarnings: string[] = []
  /** Checkpoint whose optimiser belongs to the stage that is about to start. */
  #resumeFrom?: CheckpointReference
  readonly #options: TrainOptions
  readonly #events: TrainingEvents
  readonly #modelFiles: ModelFiles
  readonly #ownLoggers: { log(event: TrainingEvent): unknown; close?(): unknown }[] = []

  private constructor(options: TrainOptions) {
    this.#options = options
    this.model = options.model
    this.stages = options.stages
    this.settings = options.settings
    this.#events = options.events ?? new TrainingEvents()
    this.#modelFiles = options.modelFiles ?? plainModelFiles(options.model)
    this.state = {
      formatVersion: 1,
      seed: options.settings.seed,
      step: 0,
      tokens: 0,
      elapsedSeconds: 0,
      stage: freshStage(options.stages[0], 0),
      dropout: options.model.dropoutState(),
      skippedSteps: 0,
      rollbacks: 0,
    }
    this.stop = listenForStop({
      ...options,
      onRequest: (by) =>
        void this.warn(`${by}: the running step is finished, then a checkpoint is written`).catch(() => {}),
    })
  }

  /** Reads the newest checkpoint when the run folder is resumed, opens the logs and announces the start. */
  static async open(options: TrainOptions): Promise<TrainingRun> {
    const run = new TrainingRun(options)
    try {
      await run.#resume()
      await run.#openLogs()
      const { parameters, trainable } = run.#countParameters()
      await run.emit({
        type: 'start',
        step: run.state.step,
        parameters,
        trainable,
        stages: run.stages.map(({ name }) => name),
      })
      await run.#announceResume()
      return run
    } catch (error) {
      await run.close()
      throw error
    }
  }

  get stage(): Stage {
    return this.stages[this.state.stage.index]
  }

  get optimizer(): Optimizer {
    return this.#optimizer!
  }

  get stopping(): boolean {
    return this.stop.abort.aborted
  }

  /** Share of the running stage's budget, 0 … 1, with the clock moved on. */
  progress(): number {
    this.#tick()
    return budgetProgress(this.stage.budget, this.state.stage)
  }

  /** Opens the stage's optimiser and announces it. */
  async startStage(probabilities: ArrayLike<number>): Promise<void> {
    await this.#openOptimizer()
    const { step, stage: place } = this.state
    const shares = Object.fromEntries(this.stage.tasks.map(({ name }, index) => [name, probabilities[index]]))
    await this.emit({ type: 'stage', step, stage: place.name, index: place.index, probabilities: shares })
    if (this.settings.onNonFinite === 'rollback' && !this.newest) await this.save()
  }

  /** Moves on to the next stage; false when the running one was the last. */
  nextStage(): boolean {
    const index = this.state.stage.index + 1
    if (index >= this.stages.length) return false
    this.state.stage = freshStage(this.stages[index], index)
    this.#resumeFrom = undefined
    return true
  }

  /** Announces the end and says how it came. */
  async finish(): Promise<TrainResult> {
    const { state } = this
    const isLast = state.stage.index === this.stages.length - 1
    const status = isLast && this.progress() >= 1 ? 'completed' : 'interrupted'
    // A finished run that is resumed has nothing to train, but its scores are asked for all the same.
    if (status === 'completed' && Object.keys(this.scores).length === 0) {
      this.scores = (await this.#score()) ?? {}
    }
    await this.emit({
      type: 'end',
      step: state.step,
      status,
      tokens: state.tokens,
      elapsedSeconds: state.elapsedSeconds,
    })
    const run = this.#options.run
    const best = state.best && run ? join(run.checkpointsPath, `step-${state.best.step}`) : undefined
    return { status, signal: this.stop.signal, state, checkpoint: this.newest?.path, best, scores: this.scores }
  }

  /** Every optimiser starts empty but the one of a stage that is gone on with. */
  async #openOptimizer(): Promise<void> {
    await this.#optimizer?.dispose()
    const { kind, beta1, beta2, epsilon } = this.stage.optimizer
    this.#optimizer = await Optimizer.create(this.model, {
      kind,
      beta1,
      beta2,
      epsilon,
      groups: this.#groups(this.stage),
    })
    if (this.#resumeFrom) await this.#optimizer.load(join(this.#resumeFrom.path, OPTIMIZER_FILE))
    this.#resumeFrom = undefined
  }

  /** Counts a finished optimiser step. */
  advance(tokens: number): void {
    const { state } = this
    state.step++
    state.tokens += tokens
    state.stage.step++
    state.stage.tokens += tokens
  }

  async log(watch: StepWatch): Promise<void> {
    const summary = watch.summary()
    if (!summary) return
    const { state, stage } = this
    const progress = this.progress()
    await this.emit({
      type: 'step',
      step: state.step,
      stage: stage.name,
      ...summary,
      tokens: state.tokens,
      progress,
      elapsedSeconds: state.elapsedSeconds,
      secondsLeft: secondsLeft(stage.budget, state.stage),
      memoryBytes: process.memoryUsage.rss(),
      skippedSteps: state.skippedSteps,
    })
  }

  /**
   * Scores the held-out data of the stage's tasks; true when the watched score is the best so far. A run that is being
   * stopped leaves it to the one that resumes it.
   */
  async evaluate(): Promise<boolean> {
    const { state, stage } = this
    const started = performance.now()
    const scores = await this.#score()
    state.evaluationDue = scores === undefined ? true : undefined
    if (scores === undefined || Object.keys(scores).length === 0) return false
    this.scores = scores
    const seconds = (performance.now() - started) / 1000
    await this.emit({ type: 'evaluation', step: state.step, stage: stage.name, scores, seconds })
    const best = this.settings.checkpoint.best
    const score = best && betterScore(best, scores, state.best?.score)
    if (score !== undefined) state.best = { metric: best!.metric, score, step: state.step }
    return score !== undefined
  }

  #score(): Promise<Record<string, HeadScores> | undefined> {
    let told = performance.now()
    return scoreStage(this.model, this.stage, this.stop.abort, (task, batches, of) => {
      if (performance.now() - told < 1000) return
      told = performance.now()
      void this.#events.emit({ type: 'evaluating', step: this.state.step, task, batches, of }).catch(() => {})
    })
  }

  /** Writes a checkpoint of this very state, if there is a run folder and the step has none yet. */
  async save(isBest = false): Promise<void> {
    const { state, settings } = this
    const run = this.#options.run
    if (!run || (this.newest?.step === state.step && !isBest)) return
    this.#tick()
    const started = performance.now()
    const warnings: string[] = []
    state.dropout = this.model.dropoutState()
    this.newest = await saveCheckpoint({
      runPath: run.path,
      step: state.step,
      keep: settings.checkpoint.keep,
      bestStep: state.best?.step,
      onWarning: (message) => void warnings.push(message),
      write: async (folder) => {
        await this.#modelFiles.write(folder)
        faultPoint('inside-tensor', join(folder, WEIGHTS_FILE))
        faultPoint('before-optimizer')
        await this.#optimizer?.save(join(folder, OPTIMIZER_FILE))
        await writeSynced(join(folder, STATE_FILE), `${JSON.stringify(state, null, 2)}\n`)
        const card = modelCard(this.model.config, this.stage, state, this.scores, this.#options.card)
        await writeSynced(join(folder, 'README.md'), card)
      },
    })
    for (const warning of warnings) await this.warn(warning)
    const seconds = (performance.now() - started) / 1000
    await this.emit({ type: 'checkpoint', step: state.step, path: this.newest.path, seconds, best: isBest })
  }

  /** Goes back to the weights and moments of the newest checkpoint, and on with the data that follow the bad step. */
  async rollBack(): Promise<void> {
    const { state } = this
    const run = this.#options.run
    const { found } = run ? await newestCheckpoint(run.path) : {}
    if (!found) throw this.nonFinite(state.step, [], 'onNonFinite: rollback found no checkpoint to go back to')
    const fromStep = state.step
    const past = await readTrainingState(found.path)
    await this.#modelFiles.read(found.path)
    const sameStage = past.stage.index === state.stage.index
    Object.assign(state, { step: past.step, tokens: past.tokens, best: past.best })
    state.stage.step = sameStage ? past.stage.step : 0
    state.stage.tokens = sameStage ? past.stage.tokens : 0
    state.rollbacks++
    this.newest = found
    this.#resumeFrom = sameStage ? found : undefined
    await this.#openOptimizer()
    await this.emit({ type: 'rollback', step: past.step, fromStep, checkpoint: found.path, rollbacks: state.rollbacks })
  }

  nonFinite(step: number, heads: string[], reason: string): StrataError {
    return nonFiniteError(step, heads, reason, this.newest?.path)
  }

  /** Tells the run's own logs and the user's listeners. */
  async emit(event: TrainingEvent): Promise<void> {
    for (const logger of this.#ownLoggers) await logger.log(event)
    await this.#events.emit(event)
  }

  async warn(message: string): Promise<void> {
    await this.emit({ type: 'warning', step: this.state.step, message })
  }

  async close(): Promise<void> {
    this.stop.release()
    await this.#optimizer?.dispose()
    for (const logger of this.#ownLoggers.splice(0)) await logger.close?.()
    await this.#events.close()
  }

  async #resume(): Promise<void> {
    const run = this.#options.run
    if (!run?.resumed) return
    const { found, warnings } = await newestCheckpoint(run.path)
    this.#startWarnings.push(...warnings)
    if (!found) {
      if (warnings.length > 0) {
        const message = `${run.path} has no whole checkpoint: ${warnings.join('; ')}; start a new run folder`
        throw new StrataError('BAD_CHECKPOINT', message, { details: { path: run.path } })
      }
      this.#startWarnings.push(`${run.path} has no checkpoint yet, the run starts at step 0`)
      return
    }
    const past = await readTrainingState(found.path)
    checkSamePast(past, this.stages, this.settings.seed, found.path)
    await this.#modelFiles.read(found.path)
    this.model.setDropoutState(past.dropout)
    Object.assign(this.state, past)
    this.newest = found
    this.#resumeFrom = found
  }

  async #announceResume(): Promise<void> {
    for (const name of this.#options.run?.removedLeftovers ?? []) {
      await this.warn(`removed ${name}, an unfinished checkpoint of a process that died`)
    }
    for (const warning of this.#startWarnings) await this.warn(warning)
    if (!this.newest) return
    const { step, tokens, elapsedSeconds } = this.state
    await this.emit({ type: 'resume', step, checkpoint: this.newest.path, tokens, elapsedSeconds })
  }

  async #openLogs(): Promise<void> {
    const run = this.#options.run
    if (!run) return
    this.#ownLoggers.push(await openMetricsLog(run.metricsPath, this.state.step))
    this.#ownLoggers.push(await openTensorBoardLog(run.tensorboardPath, this.state.step))
  }

  #groups(stage: Stage) {
    const active = stage.tasks.flatMap((task) => task.heads)
    const reached = reachedParameters(this.model.parameters(), this.model.config, active)
    return parameterGroups(reached, stage.optimizer, stage.freeze)
  }

  #countParameters(): { parameters: number; trainable: number } {
    const sizes = new Map(this.model.parameters().map(({ name, shape }) => [name, shape.reduce((a, b) => a * b, 1)]))
    const trained = new Set(this.stages.flatMap((stage) => this.#groups(stage).flatMap((group) => group.names)))
    const total = (names: Iterable<string>) => [...names].reduce((sum, name) => sum + (sizes.get(name) ?? 0), 0)
    return { parameters: total(sizes.keys()), trainable: total(trained) }
  }

  #tick(): void {
    const now = performance.now()
    const seconds = (now - this.#lastTick) / 1000
    this.#lastTick = now
    this.state.elapsedSeconds += seconds
    this.state.stage.elapsedSeconds += seconds
  }
}
