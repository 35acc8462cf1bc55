/** The command line of a job. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { StrataError } from '../errors.js'
import { isValues } from '../recipes/index.js'
import { replaceFile } from '../training/index.js'
import { checkpointFolder } from './checkpoint-folder.js'
import { RECIPE_FILE } from './job-folder.js'
import { type CheckpointJob, checkpointPlace, type Job, type TrainJob } from './plan.js'

export const PREDICTIONS_FILE = 'predictions.jsonl'
export const PROBES_FILE = 'probes.json'

/** Writes what the command reads, and returns its arguments. The parent's checkpoint is there. */
export async function jobArguments(job: Job): Promise<string[]> {
  if (job.kind === 'train') {
    const file = join(job.folder, RECIPE_FILE)
    await replaceFile(file, `${JSON.stringify(await startedRecipe(job), null, 2)}\n`)
    return ['train', file, '--output', job.folder, '--resume', '--json']
  }
  const checkpoint = await checkpointFolder(job.parent ? checkpointPlace(job.parent, job.fromBest) : job.init!)
  return job.kind === 'evaluate' ? evaluateArguments(job, checkpoint) : probeArguments(job, checkpoint)
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
