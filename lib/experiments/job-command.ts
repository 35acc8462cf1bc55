/** The command line of a job. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { StrataError } from '../errors.js'
import { isValues, stagesOf } from '../recipes/index.js'
import { replaceFile, untrainedTaskWarnings } from '../training/index.js'
import { checkpointFolder } from './checkpoint-folder.js'
import { RECIPE_FILE } from './job-folder.js'
import { type CheckpointJob, checkpointPlace, type Job, onlyTask, type TrainJob } from './plan.js'

export const PREDICTIONS_FILE = 'predictions.jsonl'
export const PROBES_FILE = 'probes.json'

/**
 * Writes what the command reads, and returns its arguments. The parent's checkpoint is there. Throws BAD_CHECKPOINT where that of an
 * evaluated task is not.
 */
export async function jobArguments(job: Job): Promise<string[]> {
  if (job.kind === 'train') {
    const file = join(job.folder, RECIPE_FILE)
    await replaceFile(file, `${JSON.stringify(await startedRecipe(job), null, 2)}\n`)
    return ['train', file, '--output', job.folder, '--resume', '--json']
  }
  const place = job.parent ? checkpointPlace(job.parent, job.fromBest) : job.init!
  const task = onlyTask(job)
  if (task !== undefined && job.parent) await checkOwnCheckpoint(job.parent, task)
  // Of a run the command itself finds the one task's own checkpoint.
  return checkpointArguments(job, task === undefined ? await checkpointFolder(place) : place)
}

/** Of a step that looks at `checkpoint`. */
export function checkpointArguments(job: CheckpointJob, checkpoint: string): string[] {
  return job.kind === 'evaluate' ? evaluateArguments(job, checkpoint) : probeArguments(job, checkpoint)
}

/** What another stage's checkpoint says of a task is no figure of the run. */
async function checkOwnCheckpoint(parent: Job, task: string): Promise<void> {
  const stages = parent.kind === 'train' ? stagesOf(parent.recipe) : []
  // Of a name that no stage knows the command tells what there is.
  if (!stages.some(({ heads, tasks }) => heads.includes(task) || tasks.includes(task))) return
  const run = parent.folder
  const folder = await checkpointFolder(run, task)
  const [untrained] = await untrainedTaskWarnings(folder, [task])
  if (untrained === undefined) return
  throw new StrataError(
    'BAD_CHECKPOINT',
    `the checkpoint of task ${task} is gone from ${run}: it was removed when all steps of then were done; remove that folder, so that the run is trained again, and keep: all keeps it`,
    { details: { run, task, untrained } },
  )
}

/** The recipe with the parent's checkpoint itself in place of its run folder. */
async function startedRecipe({ recipe, parent, fromBest }: TrainJob): Promise<TrainJob['recipe']> {
  if (!parent) return recipe
  const folder = await checkpointFolder(checkpointPlace(parent, fromBest))
  return { ...recipe, init: folder, ...(recipe.tokenizer === recipe.init && { tokenizer: folder }) }
}

function evaluateArguments({ tasks, data, folder, predictions }: CheckpointJob, checkpoint: string): string[] {
  return [
    'evaluate',
    checkpoint,
    '--json',
    ...tasks.flatMap((task) => ['--task', task]),
    ...dataArguments(data),
    ...(predictions ? ['--predictions', join(folder, PREDICTIONS_FILE)] : []),
  ]
}

function probeArguments({ tasks, data, folder, options, seed }: CheckpointJob, checkpoint: string): string[] {
  return [
    'probe',
    checkpoint,
    '--output',
    folder,
    ...dataArguments(data),
    ...(tasks.length > 0 ? ['--tasks', tasks.join()] : []),
    ...(options.seed === undefined ? ['--seed', String(seed)] : []),
    ...Object.entries(options).flatMap(([name, value]) => {
      const flag = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
      return value === true ? [flag] : value === false ? [] : [flag, String(value)]
    }),
  ]
}

/** `name=PATH` for every file of every slot. */
function dataArguments(data: CheckpointJob['data']): string[] {
  return Object.entries(data).flatMap(([slot, files]) => {
    if (isValues(files))
      throw new StrataError('BAD_RECIPE', `data.${slot}: came files by split, expected a path or a list of paths`)
    return [files].flat().flatMap((path) => ['--data', `${slot}=${path}`])
  })
}

/** A finished training run still has a checkpoint to start from. */
export function hasCheckpoint(job: Job): boolean {
  return existsSync(join(job.folder, 'latest'))
}
