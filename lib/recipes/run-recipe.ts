import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { ParseOrigin } from '../data/index.js'
import { fileError, StrataError } from '../errors.js'
import { computeThreads, type Model, targetDivisorOf } from '../model/index.js'
import type { Tokenizer } from '../text/index.js'
import {
  checkWatched,
  huggingFaceModelFiles,
  openRunFolder,
  RESOLVED_RECIPE_FILE,
  type RunSettings,
  readResolvedRecipe,
  TrainingEvents,
  type TrainResult,
  train,
} from '../training/index.js'
import { relationNames } from './agreements-of-recipe.js'
import { type HeldOutRow, heldOutRows } from './held-out-table.js'
import { leftOutNotes } from './left-out.js'
import { checkResumedRecipe } from './open-recipe.js'
import { withPenalty, withPenaltyOf } from './penalty-of-run.js'
import { precisionNotes } from './precision-note.js'
import { recipeSource } from './pretraining-sources.js'
import { savedTask } from './recipe-tasks.js'
import type { ResolvedRecipe } from './resolve-recipe.js'
import { openRunData, type RunData } from './run-data.js'
import { openRunModel } from './run-model.js'
import { trainingStages } from './training-stages.js'

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
  const stages = trainingStages(recipe, data)
  const parses = data.text?.parses ?? []

  const { model, notes } = await openRunModel(recipe, data, output, options.resume ?? false)
  try {
    const settings = settingsOf(recipe)
    // Before there is a run folder, which would have to be removed for the corrected recipe.
    checkWatched(stages, settings, model.config)
    await using run = await openRunFolder(output, {
      resume: options.resume,
      recipe,
      environment: {
        device: model.device,
        precision: model.precision,
        computeThreads: computeThreads(),
        ...(parses.length > 0 && { parses }),
      },
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
  if (!existsSync(join(output, RESOLVED_RECIPE_FILE))) return undefined
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
