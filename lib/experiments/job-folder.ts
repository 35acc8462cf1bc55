/**
 * The folder of one run of an experiment: `runs/<variant>.<step>.<seed>.<start of its id>`. A run is done when `result.json` is there
 * and names the run's id; the file appears whole or not at all.
 *
 * | file | what |
 * |---|---|
 * | result.json | every number the run gave |
 * | failure.json | why the last try failed |
 * | job.recipe.json | the recipe as `train` gets it |
 * | job.log | what the command said |
 * | the rest | what `train` or `probe` writes; `predictions.jsonl` of an evaluation |
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { readFile, rename, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { fileError } from '../errors.js'
import { replaceFile } from '../training/index.js'
import type { NotFinite } from './not-finite.js'

export interface JobResult {
  format: 1
  /** The job's. */
  id: string
  kind: 'train' | 'evaluate' | 'probe'
  variant: string
  step: string
  seed: number
  /** Every number by name; of a run with stages that of the last stage that has it, `mean` and `sum` over every task's own last. */
  values: Record<string, number>
  /** The same by stage. */
  stages: Record<string, Record<string, number>>
  /** Numbers of the run that are not among these, because they are not finite; missing where all are. */
  notFinite?: NotFinite
  /** What an evaluation warned of, as that a task is not scored by its own checkpoint; missing where there is nothing. */
  warnings?: string[]
  /** Held-out splits of each task that the run scored, the leading one first. */
  splits: Record<string, string[]>
  steps: number
  tokens: number
  /** Of the training; of the whole command otherwise. */
  seconds: number
  /** Of the commands that led here, start and reading of data included; those of interrupted tries are not known. */
  commandSeconds: number
  finishedAt: string
}

export interface JobFailure {
  id: string
  /** Exit code or signal. */
  ended: string
  message: string
}

/** The folders in the output, and those that are planned. */
export interface FolderNames {
  runsPath: string
  existing: readonly string[]
}

export function readFolderNames(output: string): FolderNames {
  const runsPath = resolve(output, 'runs')
  return { runsPath, existing: existsSync(runsPath) ? readdirSync(runsPath) : [] }
}

const ID_LETTERS = 12

/** The folder that ends in the id, whatever variant it was first made for; else a new name. */
export function jobFolder(
  { runsPath, existing }: FolderNames,
  { variant, step, seed }: { variant: string; step: string; seed: number },
  id: string,
): string {
  const found = existing.find((name) => endsInId(name, id))
  return join(runsPath, found ?? `${variant}.${step}.${seed}.${id.slice(0, ID_LETTERS)}`)
}

export const endsInId = (folder: string, id: string): boolean => folder.endsWith(`.${id.slice(0, ID_LETTERS)}`)

/** The recipe as `train` gets it. */
export const RECIPE_FILE = 'job.recipe.json'

const RESULT_FILE = 'result.json'
const FAILURE_FILE = 'failure.json'

/** The result of a finished job; undefined when it is not finished, or another job's. */
export function readResult(job: { id: string; folder: string }): JobResult | undefined {
  const result = readJson<JobResult>(join(job.folder, RESULT_FILE))
  return result?.id === job.id && result.format === 1 ? result : undefined
}

export function readFailure(job: { id: string; folder: string }): JobFailure | undefined {
  const failure = readJson<JobFailure>(join(job.folder, FAILURE_FILE))
  return failure?.id === job.id ? failure : undefined
}

/** Marks the job as done, in one move. */
export async function writeResult(folder: string, result: JobResult): Promise<void> {
  await write(join(folder, RESULT_FILE), result)
  await rm(join(folder, FAILURE_FILE), { force: true })
}

export async function writeFailure(folder: string, failure: JobFailure): Promise<void> {
  await write(join(folder, FAILURE_FILE), failure)
}

export async function clearFailure(folder: string): Promise<void> {
  await rm(join(folder, FAILURE_FILE), { force: true })
}

async function write(path: string, value: unknown): Promise<void> {
  await replaceFile(path, `${JSON.stringify(value, null, 2)}\n`).catch((error) => {
    throw fileError(error, path, 'write the result of a run')
  })
}

/** A file that is missing or torn counts as not there. */
export function readJson<T>(path: string): T | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as T
  } catch {
    return undefined
  }
}

/** Deletes a run of which something is needed that it no longer has. */
export async function removeRun(folder: string): Promise<void> {
  const doomed = `${folder}.removed`
  try {
    await rm(doomed, { recursive: true, force: true })
    // Renamed first, so that no half-deleted run is taken for a whole one.
    await rename(folder, doomed)
    await rm(doomed, { recursive: true, force: true })
  } catch (error) {
    throw fileError(error, folder, 'remove a run')
  }
}

export async function readLines<T>(path: string): Promise<T[]> {
  const text = await readFile(path, 'utf8').catch(() => '')
  // The last line may be cut short by a kill.
  return text.split('\n').flatMap((line) => {
    try {
      return line ? [JSON.parse(line) as T] : []
    } catch {
      return []
    }
  })
}
