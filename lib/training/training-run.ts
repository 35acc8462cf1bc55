/** A run in progress: its state, its clock, and what it does beside the steps: evaluate, save, roll back, tell. */
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import type { StrataError } from '../errors.js'
import type { Model, Optimizer } from '../model/index.js'
import { batchesTaken } from './accumulation.js'
import { budgetProgress, budgetUnit } from './budgets.js'
import { type CheckpointReference, checkpointOfStep, newestCheckpoint } from './checkpoints.js'
import type { TrainingEvent } from './events.js'
import { isEmpty, scoreStage } from './held-out.js'
import { type ModelFiles, plainModelFiles } from './model-files.js'
import { movePruning, readPruning } from './pruner.js'
import { findResumePoint } from './resume-point.js'
import { writeRunCheckpoint } from './run-checkpoint.js'
import { endEvent, evaluationEvent, stepEvent } from './run-events.js'
import { RunLogs } from './run-logs.js'
import { latestBest, needsInitial, stageAtEnd, stageEnd, startStep } from './stage-chain.js'
import { freshOptimizer, loadMoments } from './stage-optimizer.js'
import { stageResults } from './stage-results.js'
import { nonFiniteError, type StepWatch } from './step-watch.js'
import { listenForStop, type StopRequest } from './stop-request.js'
import type { TrainOptions, TrainResult } from './train-options.js'
import { countParameters } from './trained-parameters.js'
import { freshStage, readTrainingState, stageRecords } from './training-state.js'
import type { RunSettings, Stage, StageScores, TrainingState } from './types.js'
import { newBest, patienceEnds, watches } from './watched-score.js'

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
  readonly #logs: RunLogs
  readonly #modelFiles: ModelFiles

  private constructor(options: TrainOptions) {
    this.#options = options
    this.model = options.model
    this.stages = options.stages
    this.settings = options.settings
    this.#logs = new RunLogs(options.events)
    this.#modelFiles = options.modelFiles ?? plainModelFiles(options.model)
    this.state = {
      formatVersion: 1,
      seed: options.settings.seed,
      step: 0,
      tokens: 0,
      elapsedSeconds: 0,
      stage: freshStage(options.stages[0], 0),
      finished: [],
      ...stageRecords(options.stages),
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
      if (options.run) await run.#logs.open(options.run, run.state.step)
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

  /** A stage that shares a budget may find nothing left of it. */
  async warnOfNothingLeft(): Promise<void> {
    const { name, budget } = this.stage
    const { unit, amount } = budgetUnit(budget)
    await this.warn(
      `stage ${name}: the stages before it have spent the whole budget of ${budget.total ?? amount} ${unit}, it takes no step; give a larger budget, or them a smaller share`,
    )
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
    await this.emit(await endEvent(this, status, pruning))
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
    this.#optimizer = await freshOptimizer(this.model, this.stage)
    const from = this.#resumeFrom
    this.#resumeFrom = undefined
    if (from) await loadMoments(this.#optimizer, from, this.stage, this.state.stage.step > 0 && !this.stageOver)
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
    // The clock first: the event tells the time with it.
    const progress = this.progress()
    await this.emit(await stepEvent(this, summary, progress))
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
    await this.emit(await evaluationEvent(this, scores, (performance.now() - started) / 1000))
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
    for (const [task, place] of Object.entries(state.stage.tasks)) {
      if (place.unlabelled === undefined) continue
      const taken = batchesTaken({ tasks: { [task]: place } })
      await this.warn(
        `stage ${stage.name}: ${place.unlabelled} of ${taken} batches of ${task} had no label for its heads and were passed over`,
      )
    }
    const { endedBy, reason } = stageEnd(stage, state.stage, settings.earlyStopping)
    await this.emit({ type: 'stageEnd', step: state.step, stage: stage.name, endedBy, reason })
  }

  #score(): Promise<StageScores | undefined> {
    let told = performance.now()
    return scoreStage(this.model, this.stage, this.stop.abort, (task, batches, of) => {
      if (performance.now() - told < 1000) return
      told = performance.now()
      this.#logs.tell({ type: 'evaluating', step: this.state.step, task, batches, of })
    })
  }

  /** Writes a checkpoint of this very state, if there is a run folder and the step has none yet. */
  async save(isBest = false): Promise<void> {
    const { state, settings } = this
    const run = this.#options.run
    if (!run || (this.newest?.step === state.step && !isBest)) return
    this.#tick()
    const started = performance.now()
    state.dropout = this.model.dropoutState()
    // A stage that is over is not gone on with, but for the last one, whose budget may still grow.
    const goesOn = !this.stageOver || state.stage.index === this.stages.length - 1
    const { saved, warnings } = await writeRunCheckpoint({
      run,
      model: this.model,
      modelFiles: this.#modelFiles,
      optimizer: goesOn ? this.#optimizer : undefined,
      state,
      stages: this.stages,
      stage: this.stage,
      scores: this.#scores,
      card: this.#options.card,
      settings: settings.checkpoint,
    })
    this.newest = saved
    for (const warning of warnings) await this.warn(warning)
    const seconds = (performance.now() - started) / 1000
    await this.emit({ type: 'checkpoint', step: state.step, path: saved.path, seconds, best: isBest })
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
  emit(event: TrainingEvent): Promise<void> {
    return this.#logs.emit(event)
  }

  async warn(message: string): Promise<void> {
    await this.emit({ type: 'warning', step: this.state.step, message })
  }

  async close(): Promise<void> {
    this.stop.release()
    await this.#optimizer?.dispose()
    await this.#logs.close()
  }

  async #resume(): Promise<void> {
    const run = this.#options.run
    if (!run?.resumed) return
    const { found, past, warnings } = await findResumePoint(run.path, this.stages, this.settings.seed)
    this.#startWarnings.push(...warnings)
    if (!found) return
    await this.#modelFiles.read(found.path)
    this.model.setDropoutState(past.dropout)
    Object.assign(this.state, past, stageRecords(this.stages))
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

  #tick(): void {
    const now = performance.now()
    const seconds = (now - this.#lastTick) / 1000
    this.#lastTick = now
    this.state.elapsedSeconds += seconds
    this.state.stage.elapsedSeconds += seconds
  }
}
