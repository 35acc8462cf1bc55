import { StrataError } from '../errors.js'
import type { TaskPrediction } from '../evaluation/index.js'
import {
  freshWarnings,
  type HeadConfig,
  loadModel,
  type ModelFolder,
  readModelFolder,
  tapLayer,
} from '../model/index.js'
import type { TaskScores } from '../tasks/index.js'
import { Tokenizer } from '../text/index.js'
import { resolveCheckpoint, resolveTaskCheckpoint, untrainedTaskWarnings } from '../training/index.js'
import { openTaskEvaluation } from './evaluate-tasks.js'
import { type EvaluatedText, openTextEvaluation } from './evaluate-text.js'
import type { HeldOutRow } from './held-out-table.js'
import type { Values } from './merge.js'
import { type ResolvedRecipe, resolveRecipe } from './resolve-recipe.js'
import { runtimeChoice } from './run-model.js'
import type { TaskSlot } from './schema.js'

/** What of a checkpoint is scored, and on which data. */
export interface EvaluateCheckpointOptions {
  /**
   * Data slots in place of the run's own: `corpus` = text, all of it; a task's name = its files. The task of a folder of transformers, which
   * does not say how its rows are read, is scored as the known task whose name its data have (`rte`, `squad`).
   */
  data?: Readonly<Record<string, TaskSlot>>
  /** Names of heads and tasks; default all that the checkpoint has. Of a run folder a single one is scored by its own checkpoint. */
  heads?: string[]
  device?: string
  precision?: ResolvedRecipe['precision']
  cacheDirectory?: string
  signal?: AbortSignal
  onProgress?: (line: string) => void
  /** Gets every label of the self-supervised heads with what the head said. */
  onPrediction?: (prediction: Prediction) => void | Promise<void>
  /** Gets every example of the labelled tasks with what the model said, those of sets without labels too. */
  onTaskPrediction?: (prediction: TaskPrediction) => void
  /** Folder for predictions in the forms of GLUE's submissions and SQuAD's scorer; sets without labels are predicted too. */
  submissions?: string
  /** Gets the path of every such file. */
  onSubmission?: (file: string) => void
}

/** One label of a self-supervised head and what the head said. */
export interface Prediction {
  head: string
  /** Batch and label within it. */
  batch: number
  index: number
  label: number
  predicted: number
  /** Probability of `predicted`. */
  probability: number
}

/** Figures of a checkpoint. */
export interface EvaluationReport {
  checkpoint: string
  /** The text behind `rows`; missing when no self-supervised head was asked for. */
  text?: EvaluatedText
  /** The self-supervised heads. */
  rows: HeldOutRow[]
  /** The labelled tasks, one entry a split that has labels, a test split too. */
  tasks: TaskScores[]
  /** About the checkpoint, and rows, questions or words of the tasks' data that are left out or flawed. */
  warnings: string[]
}

/**
 * Figures of a checkpoint's heads: self-supervised ones on held-out text, labelled tasks on their held-out sets by their own
 * metrics. Of a run folder the newest whole checkpoint is taken or, when one task or head alone is asked for, that of the last stage
 * that trained it. Throws UNSUPPORTED when it has no heads, BAD_ARGUMENT when neither data are given nor the checkpoint knows its run's.
 */
export async function evaluateCheckpoint(
  path: string,
  options: EvaluateCheckpointOptions = {},
): Promise<EvaluationReport> {
  const [only, ...others] = new Set(options.heads)
  const isOne = only !== undefined && others.length === 0
  const { folder, warnings: resolving } = await (isOne ? resolveTaskCheckpoint(path, only) : resolveCheckpoint(path))
  const found = await readModelFolder(folder)
  const { heads, wantedTasks } = chosenParts(found, options.heads)
  const recipe = recipeOf(found)
  const warnings = [...resolving, ...(await untrainedTaskWarnings(folder, options.heads ?? wantedTasks))]
  const tokenizer = await Tokenizer.load(folder)
  const runText =
    recipe && heads.length > 0 ? await openTextEvaluation(recipe, found, tokenizer, heads, options) : undefined
  const tasks = await openTaskEvaluation(recipe, found, tokenizer, wantedTasks, options)
  warnings.push(...tasks.warnings)

  const choice = runtimeChoice({ device: options.device ?? 'auto', precision: options.precision ?? 'auto' })
  const { model, fresh } = await loadModel(folder, choice)
  warnings.push(...freshWarnings(folder, fresh))
  try {
    const evaluated = await runText?.(model)
    const scores = await tasks.score(model)
    return { checkpoint: folder, text: evaluated?.text, rows: evaluated?.rows ?? [], tasks: scores, warnings }
  } finally {
    await model.dispose()
  }
}

/** The self-supervised heads and the tasks that are asked for. */
function chosenParts(found: ModelFolder, wanted: string[] | undefined) {
  const tasks = found.tasks.map(({ name }) => name)
  const selfSupervised = found.config.heads.filter(isSelfSupervised).map(({ name }) => name)
  const known = [...selfSupervised, ...tasks]
  if (known.length === 0) {
    throw new StrataError(
      'UNSUPPORTED',
      `${found.folder} has no head, so there is nothing to evaluate; use a checkpoint of a training run`,
    )
  }
  const missing = wanted?.find((name) => !known.includes(name))
  if (missing !== undefined) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `no head is named "${missing}", the checkpoint has ${known.join(', ')}; name one of these`,
    )
  }
  const chosen = wanted ?? known
  return {
    heads: selfSupervised.filter((name) => chosen.includes(name)),
    wantedTasks: tasks.filter((name) => chosen.includes(name)),
  }
}

function isSelfSupervised({ kind }: HeadConfig): boolean {
  return kind === 'masked-lm' || kind === 'next-sentence' || kind === 'bigram-shift' || kind === 'agreement'
}

/** The recipe that the checkpoint was trained with, else one of defaults around its self-supervised heads. */
function recipeOf(found: ModelFolder): ResolvedRecipe | undefined {
  const trained = found.strata?.extra.recipe
  if (trained) return resolveRecipe(trained as Values, { label: `${found.folder}/stratabert.json extra.recipe` })
  const { vocabSize: _, ...encoder } = found.config.encoder
  const heads = found.config.heads
    .filter((head) => isSelfSupervised(head) && head.kind !== 'agreement')
    .map(({ name, tap, ...head }) => [name, { ...head, layer: tapLayer(tap, encoder.layers) }])
  if (heads.length === 0) return undefined
  return resolveRecipe(
    { resolved: true, encoder, heads: Object.fromEntries(heads), budget: { steps: 1 } },
    { label: found.folder },
  )
}
