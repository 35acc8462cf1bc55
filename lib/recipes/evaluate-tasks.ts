import { stat } from 'node:fs/promises'
import { StrataError } from '../errors.js'
import { scoreTask, type TaskPrediction } from '../evaluation/index.js'
import type { Model, ModelFolder, SavedTask } from '../model/index.js'
import {
  namedSplits,
  type OpenedTask,
  openTask,
  type TaskDefinition,
  type TaskFiles,
  type TaskScores,
  type TextTaskDefinition,
} from '../tasks/index.js'
import type { Tokenizer } from '../text/index.js'
import type { EvaluateCheckpointOptions } from './evaluate-checkpoint.js'
import { evaluatedDefinition } from './evaluated-definition.js'
import type { ResolvedRecipe } from './resolve-recipe.js'
import type { TaskSlot } from './schema.js'
import { checkOfficialForms, hasOfficialForm, writeOfficialForm } from './submissions.js'

/** The held-out data of a checkpoint's tasks. */
export interface TaskEvaluation {
  /** What of them is left out or flawed. */
  warnings: string[]
  /** Scores all that have labels, a test split's too. */
  score: (model: Model) => Promise<TaskScores[]>
}

/** Opens the held-out data of a checkpoint's tasks. */
export async function openTaskEvaluation(
  recipe: ResolvedRecipe | undefined,
  found: ModelFolder,
  tokenizer: Tokenizer,
  wanted: readonly string[],
  options: EvaluateCheckpointOptions,
): Promise<TaskEvaluation> {
  const opened: OpenedTask[] = []
  for (const saved of found.tasks) {
    if (wanted.includes(saved.name)) opened.push(await openSaved(recipe, found, saved, tokenizer, options))
  }
  if (options.submissions !== undefined) checkOfficialForms(opened)
  const warnings = opened.flatMap((task) => task.warnings.map((warning) => `task ${task.name}, ${warning}`))
  const score = async (model: Model) => {
    const scores: TaskScores[] = []
    for (const task of opened) {
      const predicting = options.onTaskPrediction !== undefined || options.submissions !== undefined
      for (const [split, { labelled }] of Object.entries({ ...task.evaluation, ...task.prediction })) {
        if (!labelled && !predicting) continue
        const scored = await scoreSplit(model, task, split, options)
        if (labelled) scores.push(scored)
      }
    }
    return scores
  }
  return { warnings, score }
}

/** Scores one split, tells its predictions and writes them in their official form, where one is asked for and there is one. */
async function scoreSplit(
  model: Model,
  task: OpenedTask,
  split: string,
  options: EvaluateCheckpointOptions,
): Promise<TaskScores> {
  const { onTaskPrediction, onProgress, onSubmission, submissions, signal } = options
  const wanted = submissions !== undefined && hasOfficialForm(task, split)
  const kept: TaskPrediction[] = []
  const scores = await scoreTask(model, task, split, {
    signal,
    onBatch: (done, total) => onProgress?.(`${task.name}: evaluated ${done} of ${total} batches`),
    predictions:
      onTaskPrediction || wanted
        ? (prediction) => {
            onTaskPrediction?.(prediction)
            if (wanted) kept.push(prediction)
          }
        : undefined,
  })
  if (wanted) for (const file of await writeOfficialForm(submissions, task, split, kept)) onSubmission?.(file)
  return scores
}

async function openSaved(
  recipe: ResolvedRecipe | undefined,
  found: ModelFolder,
  saved: SavedTask,
  tokenizer: Tokenizer,
  options: EvaluateCheckpointOptions,
): Promise<OpenedTask> {
  const { name, definition, sequenceTokens } = evaluatedDefinition(found, saved, Object.keys(options.data ?? {}))
  const given = options.data?.[name]
  const data = given ?? recipe?.data[name]
  if (data === undefined) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `${found.folder} does not say where the data of task ${name} lie; give --data ${name}=PATH`,
    )
  }
  options.onProgress?.(`reading task ${name}`)
  const task = recipe?.tasks[name]
  const files = (await evaluatedFiles(given, data)) as string | TaskFiles
  const opened = await openTask({
    definition,
    name,
    data: files,
    tokenizer,
    seed: recipe?.seed ?? 1,
    sequenceTokens,
    head: saved.head,
    adapter: saved.adapter,
    devShare: task?.devShare,
    maxBadShare: task?.maxBadShare,
    memoryBytes: recipe?.taskMegabytes === undefined ? undefined : recipe.taskMegabytes * 2 ** 20,
    cacheDirectory: options.cacheDirectory,
    signal: options.signal,
    splits: heldOutSplits(definition, files),
  })
  if (Object.keys(opened.evaluation).length + Object.keys(opened.prediction).length === 0) {
    throw new StrataError('BAD_DATA', `the data of task ${name} have no held-out split, expected dev or test files`)
  }
  return opened
}

/** The files of a task that are scored: one file that is given is scored whole; a run's own was divided by its seed. */
export async function evaluatedFiles(given: TaskSlot | undefined, own: TaskSlot): Promise<TaskSlot> {
  if (typeof given === 'string' && (await isFile(given))) return { dev: given }
  return given ?? own
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  )
}

/** Every split that the definition or the slot names, but the training one, which a checkpoint has seen. */
function heldOutSplits(definition: TaskDefinition, files: string | TaskFiles): string[] {
  const { files: names } = definition as Partial<TextTaskDefinition>
  return namedSplits(files, names).filter((split) => split !== 'train')
}
