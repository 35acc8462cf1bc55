/** A run in progress: its state, its clock, and what it does beside the steps: evaluate, save, roll back, tell. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { StrataError } from '../errors.js'
import { type Model, Optimizer, prunedWeightsOf } from '../model/index.js'
import { budgetProgress, secondsLeft } from './budgets.js'
import { type CheckpointReference, checkpointOfStep, newestCheckpoint, saveCheckpoint } from './checkpoints.js'
import { writeSynced } from './durable-files.js'
import { type TrainingEvent, TrainingEvents } from './events.js'
import { faultPoint } from './fault-points.js'
import { readGates } from './gates.js'
import { isEmpty, scoreStage } from './held-out.js'
import { openMetricsLog } from './metrics-log.js'
import { readMixes } from './mix-weights.js'
import { modelCard } from './model-card.js'
import { type ModelFiles, plainModelFiles, WEIGHTS_FILE } from './model-files.js'
import { optimizerOptions } from './optimizer-options.js'
import { movePruning, readPruning } from './pruner.js'
import { findResumePoint } from './resume-point.js'
import { latestBest, needsInitial, pinnedSteps, stageAtEnd, stageEnd, startStep } from './stage-chain.js'
import { stageResults } from './stage-results.js'
import { nonFiniteError, type StepWatch } from './step-watch.js'
import { listenForStop, type StopRequest } from './stop-request.js'
import { openTensorBoardLog } from './tensorboard.js'
import type { TrainOptions, TrainResult } from './train-options.js'
import { countParameters, stageGroups } from './trained-parameters.js'
import { freshStage, readTrainingState, STATE_FILE } from './training-state.js'
import type { RunSettings, Stage, StageScores, TrainingState } from './types.js'
import { meanScore, newBest, patienceEnds, watches } from './watched-score.js'

const OPTIMIZER_FILE = 'optimizer.safetensors'

export class TrainingRun {
  readonly model: Model
  readonly stages: readonly Stage[]
  readonly settings: RunSettings
  readonly state: TrainingState
  readonly stop: StopRequest
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
      finished: [],
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
      const { parameters, trainable } = countParameters(run.model, run.stages)
      await run.emit({
        type: 'start',
        step: run.state.step,
        parameters,
        trainable,
        stages: run.stages.map(({ name }) => name),
      })
      await run.#announceResume()
      if (needsInitial(run.stages) && !run.newest) await run.save()
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
    return budgetProgress(this.stage.budget, this.state.stage, this.state)
  }

  /** The stage's budget is spent, or something else ended it. */
  get stageOver(): boolean {
    return this.state.stage.endedBy !== undefined || this.progress() >= 1
  }

  /** Loads the weights that the stage begins with, opens its optimiser and announces it. */
  async startStage(probabilities: ArrayLike<number>): Promise<void> {
    if (this.state.stage.step === 0) await this.#loadStart()
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
    const { state } = this
    state.finished.push(stageAtEnd(state))
    state.stage = freshStage(this.stages[index], index)
    delete state.best
    this.#resumeFrom = undefined
    return true
  }

  /** Announces the end and says how it came. */
  async finish(): Promise<TrainResult> {
    const { state } = this
    const isLast = state.stage.index === this.stages.length - 1
    const status = isLast && this.stageOver ? 'completed' : 'interrupted'
    await this.prune(this.progress())
    const pruning = await readPruning(this.model)
    await this.emit({
      type: 'end',
      step: state.step,
      status,
      tokens: state.tokens,
      elapsedSeconds: state.elapsedSeconds,
      mixes: await readMixes(this.model),
      gates: await readGates(this.model),
      pruning,
    })
    const run = this.#options.run
    const best = latestBest(state)
    const { heads, tasks } = this.#scores
    return {
      status,
      signal: this.stop.signal,
      state,
      checkpoint: this.newest?.path,
      best: best && run ? join(run.checkpointsPath, `step-${best.step}`) : undefined,
      scores: heads,
      tasks,
      pruning,
      stages: stageResults([...state.finished, ...(status === 'completed' ? [stageAtEnd(state)] : [])], run),
    }
  }

  /** The running stage's last evaluation. */
  get #scores(): StageScores {
    return this.state.stage.scores ?? { heads: {}, tasks: {} }
  }

  /** Nothing to do where a stage goes on with the model as it is. */
  async #loadStart(): Promise<void> {
    const { state, stages, stage } = this
    const start = startStep(stages, state.stage.index, state.finished)
    if (!start) return
    const run = this.#options.run!
    const { path } = await checkpointOfStep(run.path, start.step, `stage ${stage.name}`)
    await this.#modelFiles.read(path)
    if (stage.startFromBest && start.stage && !start.isBest) {
      await this.warn(`stage ${stage.name}: ${start.stage.name} has no best checkpoint, its last one is taken`)
    }
  }

  /** Every optimiser starts empty but the one of a stage that is gone on with. */
  async #openOptimizer(): Promise<void> {
    await this.#optimizer?.dispose()
    const options = optimizerOptions(this.stage.optimizer, stageGroups(this.model, this.stage))
    this.#optimizer = await Optimizer.create(this.model, options)
    const from = this.#resumeFrom
    this.#resumeFrom = undefined
    if (!from) return
    const file = join(from.path, OPTIMIZER_FILE)
    if (existsSync(file)) await this.#optimizer.load(file)
    else if (this.state.stage.step > 0 && !this.stageOver) {
      throw new StrataError(
        'BAD_CHECKPOINT',
        `stage ${this.stage.name} ended with ${from.path}, which holds no optimiser to go on with; give the stage the budget that it had, or start a new run folder`,
        { details: { path: from.path } },
      )
    }
  }

  /** Moves pruning to where the stage stands. */
  prune(progress: number): Promise<void> {
    return movePruning(this.model, this.stage, { step: this.state.stage.step, progress })
  }

  /** Counts a finished optimiser step. */
  advance(tokens: number): void {
    const { state } = this
    state.step++
    state.tokens += tokens
    state.stage.step++
    state.stage.tokens += tokens
  }

  /** Tells what reaches each layer; the norms come from the step itself and cost one read. */
  async logGradientNorms(): Promise<void> {
    const { state, stage, optimizer } = this
    const gradientNorms = await optimizer.gradientNorms()
    await this.emit({ type: 'gradients', step: state.step, stage: stage.name, gradientNorms })
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
      secondsLeft: secondsLeft(stage.budget, state.stage, state),
      memoryBytes: process.memoryUsage.rss(),
      skippedSteps: state.skippedSteps,
      gates: await readGates(this.model),
      pruning: await readPruning(this.model),
    })
  }

  /**
   * Scores the held-out data of the stage's tasks; true when the watched score is the best so far. Ends the stage when
   * early stopping says so. A run that is being stopped leaves it to the one that resumes it.
   */
  async evaluate(): Promise<boolean> {
    const { state, stage, stages, settings } = this
    const started = performance.now()
    const scores = await this.#score()
    state.evaluationDue = scores === undefined ? true : undefined
    if (scores === undefined || isEmpty(scores)) return false
    state.stage.scores = scores
    await this.emit({
      type: 'evaluation',
      step: state.step,
      stage: stage.name,
      scores: scores.heads,
      tasks: scores.tasks,
      mean: meanScore(scores),
      mixes: await readMixes(this.model),
      gates: await readGates(this.model),
      seconds: (performance.now() - started) / 1000,
    })
    const { earlyStopping } = settings
    if (earlyStopping && watches(stage, stages, earlyStopping)) {
      const isOver = patienceEnds(earlyStopping, scores, state.stage)
      if (isOver && this.progress() < 1) state.stage.endedBy = 'earlyStopping'
    }
    const watched = settings.checkpoint.best
    const best = watched && watches(stage, stages, watched) && newBest(watched, scores, state.step, state.best)
    if (best) state.best = best
    return best !== undefined && best !== false
  }

  async announceStageEnd(): Promise<void> {
    const { state, stage, settings } = this
    const { endedBy, reason } = stageEnd(stage, state.stage, settings.earlyStopping)
    await this.emit({ type: 'stageEnd', step: state.step, stage: stage.name, endedBy, reason })
  }

  #score(): Promise<StageScores | undefined> {
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
    // A stage that is over is not gone on with, but for the last one, whose budget may still grow.
    const goesOn = !this.stageOver || state.stage.index === this.stages.length - 1
    this.newest = await saveCheckpoint({
      runPath: run.path,
      step: state.step,
      keep: settings.checkpoint.keep,
      bestStep: latestBest(state)?.step,
      pinnedSteps: pinnedSteps(this.stages, state, settings.checkpoint.keepStages ?? false),
      onWarning: (message) => void warnings.push(message),
      write: async (folder) => {
        await this.#modelFiles.write(folder)
        faultPoint('inside-tensor', join(folder, WEIGHTS_FILE))
        faultPoint('before-optimizer')
        if (goesOn) await this.#optimizer?.save(join(folder, OPTIMIZER_FILE))
        await writeSynced(join(folder, STATE_FILE), `${JSON.stringify(state, null, 2)}\n`)
        const pruned = this.model.config.pruning && (await prunedWeightsOf(this.model))
        const card = modelCard(this.model.config, this.stage, state, this.#scores, this.#options.card, pruned)
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
    const to = sameStage ? past.stage : freshStage(this.stage, state.stage.index)
    Object.assign(state, { step: past.step, tokens: past.tokens, best: sameStage ? past.best : undefined })
    const { step, tokens, scores, patience, endedBy } = to
    Object.assign(state.stage, { step, tokens, scores, patience, endedBy })
    if (!sameStage) await this.#loadStart()
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
    const { found, past, warnings } = await findResumePoint(run.path, this.stages, this.settings.seed)
    this.#startWarnings.push(...warnings)
    if (!found) return
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

  #tick(): void {
    const now = performance.now()
    const seconds = (now - this.#lastTick) / 1000
    this.#lastTick = now
    this.state.elapsedSeconds += seconds
    this.state.stage.elapsedSeconds += seconds
  }
}
