import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { laterPasses, type ParseOrigin } from '../data/index.js'
import { fileError, StrataError } from '../errors.js'
import { metricsTold, scoreTask } from '../evaluation/index.js'
import {
  chunkPlainBatches,
  computeThreads,
  type Device,
  loadModel,
  Model,
  type Precision,
  readModelFolder,
  targetDivisorOf,
} from '../model/index.js'
import { resolveDevice } from '../runtime/index.js'
import type { OpenedTask, TaskScores } from '../tasks/index.js'
import type { Tokenizer } from '../text/index.js'
import {
  checkWatched,
  huggingFaceModelFiles,
  newestCheckpoint,
  openRunFolder,
  type RunSettings,
  readResolvedRecipe,
  type Stage,
  TrainingEvents,
  type TrainingTask,
  type TrainResult,
  train,
} from '../training/index.js'
import { relationNames } from './agreements-of-recipe.js'
import { type HeldOutRow, heldOutRows } from './held-out-table.js'
import { leftOutNotes } from './left-out.js'
import { modelConfigOf } from './model-of-recipe.js'
import { checkResumedRecipe } from './open-recipe.js'
import { type PenaltyTrial, searchPenalty } from './penalty-search.js'
import { precisionNotes } from './precision-note.js'
import { recipeSource } from './pretraining-sources.js'
import { FROZEN_BY_PRUNING, penaltyOf, pruningSchedule, searchesPenalty } from './pruning-of-recipe.js'
import { savedTask, shapeOf } from './recipe-tasks.js'
import { type ResolvedRecipe, type ResolvedStage, stagesOf } from './resolve-recipe.js'
import { openRunData, type RunData } from './run-data.js'
import type { RunText } from './run-text.js'
import { startNotes } from './start-notes.js'

/** Where a run writes, and who is told. */
export interface RunRecipeOptions {
  /** The run folder. */
  output: string
  /** Go on with the run that the folder holds; starts a new one if there is none. */
  resume?: boolean
  /** Listeners and loggers. */
  events?: TrainingEvents
  /** An abort writes a checkpoint and ends the run as `interrupted`. */
  signal?: AbortSignal
  /** SIGINT and SIGTERM do the same; default false. */
  handleSignals?: boolean
  /** Where tokenised text is cached; default the user's cache. */
  cacheDirectory?: string
  /** Lines about what happens before training: reading, tokenising. */
  onProgress?: (line: string) => void
  /** What a user should know before the training starts: skipped text, freshly drawn heads; also in the result's `notes`. */
  onNote?: (line: string) => void
}

/** What a run reached, with its last held-out figures. */
export interface RunResult extends TrainResult {
  output: string
  /** The last evaluation beside chance and unigram levels; empty when nothing was held out. */
  heldOut: HeldOutRow[]
  device: string
  precision: Model['precision']
  notes: string[]
}

/** Where a run keeps the tokenizer that it was started with. */
export const TOKENIZER_FOLDER = 'tokenizer'

/**
 * Executes a resolved recipe: text → tokenizer and token corpus → batches → model → stages → trained checkpoints in the run
 * folder. Throws BAD_ARGUMENT when the folder holds a run and `resume` is not set; what train() throws.
 *
 * @example
 * const recipe = await openRecipe('hierarchical-pretrain', { overlay: { data: { corpus: 'text.txt' } } })
 * const { heldOut } = await runRecipe(recipe, { output: 'runs/first' })
 */
export async function runRecipe(asked: ResolvedRecipe, options: RunRecipeOptions): Promise<RunResult> {
  const output = resolve(options.output)
  const before = await earlierRecipe(output, options.resume ?? false)
  const known = before ? withPenaltyOf(asked, before) : asked
  if (before) checkResumedRecipe(known, before)

  const tokenizerFolder = join(output, TOKENIZER_FOLDER)
  const data = await openRunData(known, { ...options, tokenizerFolder: options.resume ? tokenizerFolder : undefined })
  const { recipe, notes: penaltyNotes } = await withPenalty(known, data, options)
  const stages = stagesOf(recipe).map((stage, index) => trainingStage(recipe, stage, data, index))
  const parses = data.text?.parses ?? []

  const { model, notes } = await openModel(recipe, data, output, options.resume ?? false)
  try {
    const settings = settingsOf(recipe)
    // Before there is a run folder, which would have to be removed for the corrected recipe.
    checkWatched(stages, settings, model.config)
    await using run = await openRunFolder(output, {
      resume: options.resume,
      recipe,
      environment: { device: model.device, precision: model.precision, ...(parses.length > 0 && { parses }) },
    })
    await saveTokenizer(data.tokenizer, tokenizerFolder)
    const allNotes = [
      ...data.notes,
      ...leftOutNotes(recipe, data),
      ...penaltyNotes,
      ...(before ? [] : precisionNotes(asked, model)),
      ...notes,
      ...run.removedLeftovers.map((path) => `${path} was unfinished and is removed`),
    ]
    for (const note of allNotes) options.onNote?.(note)
    const saved = data.tasks.map((task) => savedTask(recipe, task))
    const divided = saved.filter((task) => targetDivisorOf(task) !== 1)
    const divisors = Object.fromEntries(divided.map((task) => [task.name, targetDivisorOf(task)]))
    const result = await train({
      model,
      stages,
      settings,
      run,
      modelFiles: huggingFaceModelFiles(model, {
        tokenizer: savesInto(data.tokenizer, model.config.encoder.maxPositions),
        tasks: saved,
        extra: { recipe },
      }),
      events: options.events ?? new TrainingEvents(),
      signal: options.signal,
      handleSignals: options.handleSignals,
      card: { recipe: recipe.name, description: recipe.description, data: dataText(recipe, parses), divisors },
    })
    const heldOut = heldOutRowsOf(recipe, data, result)
    return { ...result, output, heldOut, device: model.device, precision: model.precision, notes: allNotes }
  } finally {
    await model.dispose()
  }
}

function settingsOf(recipe: ResolvedRecipe): RunSettings {
  return {
    seed: recipe.seed,
    evaluateEverySteps: recipe.evaluation.everySteps,
    evaluateEveryEpochs: recipe.evaluation.everyEpochs || undefined,
    checkpoint: recipe.checkpoint,
    earlyStopping: recipe.earlyStopping,
    logEverySteps: recipe.log.everySteps,
    onNonFinite: recipe.onNonFinite,
    prefetchWorkers: recipe.prefetchWorkers,
  }
}

/** The recipe of the run that the folder holds; a folder that may not be gone on with is refused before minutes of reading text. */
async function earlierRecipe(output: string, resume: boolean): Promise<ResolvedRecipe | undefined> {
  if (!existsSync(join(output, 'recipe.resolved.json'))) return undefined
  if (!resume) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `${output} already holds a run; go on with it (--resume) or choose another folder`,
      {
        details: { path: output },
      },
    )
  }
  return (await readResolvedRecipe(output)) as ResolvedRecipe
}

/** `auto` precision: bf16 on CUDA, fp32 on the CPU. Loads libtorch. */
export function runtimeChoice(recipe: Pick<ResolvedRecipe, 'device' | 'precision'>): {
  device: Device
  precision: Precision
} {
  const device = resolveDevice(recipe.device) as Device
  if (recipe.precision !== 'auto') return { device, precision: recipe.precision }
  return { device, precision: device.startsWith('cuda') ? 'bf16' : 'fp32' }
}

async function openModel(recipe: ResolvedRecipe, data: RunData, output: string, resume: boolean) {
  const { tokenizer } = data
  const options = { ...runtimeChoice(recipe), seed: recipe.seed }
  if (recipe.threads > 0) computeThreads(recipe.threads)
  const saved = resume ? (await newestCheckpoint(output)).found : undefined
  // A checkpoint's vocabulary may be larger than its tokenizer's (padded to a round number).
  const past = saved && (await readModelFolder(saved.path)).config
  const config = modelConfigOf(recipe, past?.encoder.vocabSize ?? tokenizer.vocabSize, data.tasks.map(shapeOf))
  // A checkpoint keeps its agreements, whatever it is trained for.
  const agreements = config.agreements ?? past?.agreements
  if (!recipe.init || saved) {
    const model = await Model.create({ ...config, ...(agreements && { agreements }) }, options)
    chunkPlainBatches(model, tokenizer)
    return { model, notes: [] }
  }

  const { hiddenDropout, attentionDropout } = recipe.encoder
  const { heads, mixes, adapters, pruning } = config
  const parts = { heads, mixes, adapters, pruning, ...(agreements && { agreements }) }
  const { tasks: before } = await readModelFolder(recipe.init)
  const loaded = await loadModel(recipe.init, { ...options, ...parts, hiddenDropout, attentionDropout })
  const rows = loaded.config.encoder.vocabSize
  if (tokenizer.vocabSize > rows) {
    await loaded.model.dispose()
    throw new StrataError(
      'BAD_RECIPE',
      `tokenizer: has ${tokenizer.vocabSize} tokens, but the checkpoint to start from has ${rows}, expected its own tokenizer; remove the key`,
    )
  }
  const tasks = data.tasks.map((task) => savedTask(recipe, task))
  return { model: loaded.model, notes: startNotes(recipe.init, loaded, before, tasks) }
}

function trainingStage(recipe: ResolvedRecipe, stage: ResolvedStage, data: RunData, index: number): Stage {
  const besideText = data.text !== undefined && stage.heads.length > 0
  const earlier = stagesOf(recipe).slice(0, index)
  const tasks: TrainingTask[] = data.tasks
    .filter(({ name }) => stage.tasks.includes(name))
    .map((task) => {
      const stagesBefore = earlier.filter(({ tasks }) => tasks.includes(task.name)).length
      return labelledTask(task, { adapter: savedTask(recipe, task).adapter, besideText, stagesBefore })
    })
  if (data.text && besideText) {
    const stagesBefore = earlier.filter(({ heads }) => heads.length > 0).length
    tasks.unshift(pretrainingTask(recipe, stage, { tokenizer: data.tokenizer, text: data.text, stagesBefore }))
  }
  return {
    name: stage.name,
    tasks,
    sampler: stage.sampler,
    optimizer: stage.optimizer,
    schedule: stage.schedule,
    clip: stage.clip,
    pruning: recipe.pruning && pruningSchedule(recipe.pruning, stage, index),
    budget: stage.budget,
    accumulation: stage.batch.accumulation,
    accumulationRamp: stage.batch.accumulationRamp,
    freeze: recipe.pruning ? [...new Set([...stage.freeze, FROZEN_BY_PRUNING])] : stage.freeze,
    train: stage.train,
    startFrom: stage.startFrom,
    startFromBest: stage.startFromBest,
  }
}

/** The recipe with the penalty that leaves its final density, found by short runs that leave nothing behind. */
async function withPenalty(recipe: ResolvedRecipe, data: RunData, options: RunRecipeOptions) {
  const { pruning } = recipe
  if (!searchesPenalty(pruning)) return { recipe, notes: [] }
  const { share, ...limits } = pruning.search
  const withTrial = (penalty: number): ResolvedRecipe => ({ ...recipe, pruning: { ...pruning, penalty } })
  const say = ({ penalty, density }: PenaltyTrial) =>
    `pruning.penalty ${penalty.toPrecision(4)} leaves ${(100 * density).toFixed(1)} % of the weights`
  const found = await searchPenalty({
    ...limits,
    finalDensity: pruning.finalDensity!,
    start: penaltyOf(pruning),
    onTrial: (trial) => options.onProgress?.(say(trial)),
    densityOf: async (penalty) => {
      const trial = withTrial(penalty)
      const { model } = await openModel(trial, data, '', false)
      try {
        const stages = [shortened(trainingStage(trial, stagesOf(trial)[0], data, 0), share)]
        const settings = {
          seed: recipe.seed,
          evaluateEverySteps: 0,
          checkpoint: { everySteps: 0, keep: 1 },
          logEverySteps: 0,
        }
        const { onNonFinite, prefetchWorkers } = recipe
        const policy = onNonFinite === 'rollback' ? 'stop' : onNonFinite
        const { signal } = options
        const result = await train({
          model,
          stages,
          settings: { ...settings, onNonFinite: policy, prefetchWorkers },
          signal,
        })
        if (result.status === 'interrupted') {
          throw new StrataError('ABORTED', 'stopped while the penalty of pruning was searched for; nothing was written')
        }
        return result.pruning!.density
      } finally {
        await model.dispose()
      }
    },
  })
  const runs = `${found.runs} ${found.runs === 1 ? 'run' : 'runs'} of ${share} of the budget`
  return {
    recipe: withTrial(found.penalty),
    notes: [`${say(found)} in the nearest of ${runs}, wished ${100 * pruning.finalDensity!} %`],
  }
}

/** A run that is gone on with keeps the penalty that was found when it began. */
function withPenaltyOf(recipe: ResolvedRecipe, before: ResolvedRecipe): ResolvedRecipe {
  const { pruning } = recipe
  if (!searchesPenalty(pruning) || !before.pruning || !('penalty' in before.pruning)) return recipe
  return { ...recipe, pruning: { ...pruning, penalty: before.pruning.penalty } }
}

/** A stage with a share of its budget and nothing to score. Its scores learn faster by as much: in fewer updates they come as far. */
function shortened(stage: Stage, share: number): Stage {
  const { budget, schedule, tasks, pruning } = stage
  const part = (value: number | undefined) => value && value * share
  const steps = budget.steps && Math.max(1, Math.round(budget.steps * share))
  const warmup = schedule.warmup < 1 ? schedule.warmup : Math.max(1, Math.round(schedule.warmup * share))
  return {
    ...stage,
    tasks: tasks.map(({ score: _, evaluation: __, ...task }) => task),
    budget: { steps, tokens: part(budget.tokens), epochs: part(budget.epochs), hours: part(budget.hours) },
    schedule: { ...schedule, warmup },
    pruning: pruning && { ...pruning, scoreLearningRate: pruning.scoreLearningRate / share },
  }
}

/** All self-supervised heads of a stage on one forward pass. `stagesBefore`: earlier stages with text, whose passes do not come again. */
function pretrainingTask(
  recipe: ResolvedRecipe,
  stage: ResolvedStage,
  { tokenizer, text, stagesBefore }: { tokenizer: Tokenizer; text: RunText; stagesBefore: number },
): TrainingTask {
  const common = { tokenizer, heads: stage.heads, batch: stage.batch }
  const training = recipeSource(recipe, { ...common, view: text.training, evaluation: false })
  const evaluation = text.heldOut && recipeSource(recipe, { ...common, view: text.heldOut, evaluation: true })
  return { name: 'pretraining', heads: [...stage.heads], source: laterPasses(training, stagesBefore), evaluation }
}

/**
 * `besideText`: sizes are then compared in batches, since text has no examples. `stagesBefore`: earlier stages with this task, whose orders
 * of its rows do not come again.
 */
function labelledTask(
  task: OpenedTask,
  { adapter, besideText, stagesBefore }: { adapter?: string; besideText: boolean; stagesBefore: number },
): TrainingTask {
  const { name, head, train, evaluation } = task
  if (!train) throw new StrataError('BAD_DATA', `task ${name} has no training examples, expected a split "train"`)
  return {
    name,
    heads: [head],
    source: laterPasses(train, stagesBefore),
    examples: besideText ? undefined : train.examples,
    fingerprint: train.fingerprint(),
    adapter,
    metrics: Object.fromEntries(Object.keys(evaluation).map((split) => [split, metricsTold(task)])),
    score: async (model, options) => {
      const scores: Record<string, TaskScores> = {}
      for (const split of Object.keys(evaluation)) scores[split] = await scoreTask(model, task, split, options)
      return scores
    },
  }
}

/** The self-supervised heads' last figures beside chance and unigram levels. */
function heldOutRowsOf(recipe: ResolvedRecipe, data: RunData, { scores }: TrainResult): HeldOutRow[] {
  if (!data.text?.heldOut) return []
  const evaluation = recipeSource(recipe, {
    view: data.text.heldOut,
    tokenizer: data.tokenizer,
    heads: [...relationNames(recipe), ...Object.keys(recipe.heads)],
    batch: recipe.batch,
    evaluation: true,
  })
  return heldOutRows(scores, evaluation)
}

function dataText(recipe: ResolvedRecipe, parses: readonly ParseOrigin[]): string {
  const paths = (slot: unknown): string[] =>
    typeof slot === 'string' ? [slot] : slot && typeof slot === 'object' ? Object.values(slot).flatMap(paths) : []
  const generators = parses.map(({ generator }) => generator)
  return [
    Object.values(recipe.data).flatMap(paths).join(', '),
    ...(parses.length > 0 ? [`generator of the parse: ${generators.join(', ')}`] : []),
  ].join('; ')
}

async function saveTokenizer(tokenizer: Tokenizer, folder: string): Promise<void> {
  if (existsSync(join(folder, 'tokenizer.json'))) return
  await mkdir(folder, { recursive: true }).catch((error) => {
    throw fileError(error, folder, 'save the tokenizer')
  })
  await tokenizer.save(folder)
}

function savesInto(tokenizer: Tokenizer, longest: number) {
  return { save: async (folder: string) => void (await tokenizer.save(folder, { longest })) }
}
