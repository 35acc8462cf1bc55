/**
 * The folder that a run writes:
 *
 * | path | what |
 * |---|---|
 * | recipe.resolved.json | the recipe with every default filled in |
 * | environment.json | versions, machine, command and commit, one entry for each time the run was started |
 * | metrics.jsonl | one JSON object a line, see events.ts |
 * | tensorboard/ | event files |
 * | tokenizer/ | the tokenizer that the run trained, or a copy of the one it was given |
 * | checkpoints/step-N/ | whole checkpoints, each a Hugging Face folder |
 * | latest, best | links into checkpoints/ |
 */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { fileError, StrataError } from '../errors.js'
import { checkpointsPath, removeLeftovers } from './checkpoints.js'
import { makeFolder, replaceFile } from './durable-files.js'
import { describeEnvironment } from './run-environment.js'
import { ENVIRONMENT_FILE, METRICS_FILE, RESOLVED_RECIPE_FILE } from './run-files.js'
import { lockRun } from './run-lock.js'

export interface RunFolder extends AsyncDisposable {
  readonly path: string
  readonly checkpointsPath: string
  readonly metricsPath: string
  readonly tensorboardPath: string
  /** The folder held a run before. */
  readonly resumed: boolean
  /** Unfinished checkpoints of a killed process that were removed. */
  readonly removedLeftovers: string[]
  /** Gives the lock back. */
  close(): Promise<void>
}

export interface RunFolderOptions {
  /** Go on with the run that the folder holds; starts a new one if there is none. Without it a folder with a run is refused. */
  resume?: boolean
  /** Written to recipe.resolved.json. */
  recipe?: unknown
  /** Added to this start's entry of environment.json. */
  environment?: Record<string, unknown>
}

/** Opens and locks a run folder. Throws BAD_ARGUMENT when it holds a run and `resume` is not set, or when it is in use. */
export async function openRunFolder(path: string, options: RunFolderOptions = {}): Promise<RunFolder> {
  const folder = resolve(path)
  const metricsPath = join(folder, METRICS_FILE)
  const traces = [
    checkpointsPath(folder),
    metricsPath,
    join(folder, RESOLVED_RECIPE_FILE),
    join(folder, ENVIRONMENT_FILE),
  ]
  const holdsRun = traces.some((trace) => existsSync(trace))
  if (holdsRun && !options.resume) {
    const message = `${folder} already holds a run; go on with it (--resume) or choose another folder`
    throw new StrataError('BAD_ARGUMENT', message, { details: { path: folder } })
  }
  try {
    await makeFolder(folder)
  } catch (error) {
    throw fileError(error, folder, 'make the run folder')
  }
  const lock = await lockRun(folder)
  try {
    await makeFolder(checkpointsPath(folder))
    const removedLeftovers = await removeLeftovers(folder)
    if (options.recipe !== undefined) await replaceFile(join(folder, RESOLVED_RECIPE_FILE), toJson(options.recipe))
    await addEnvironment(join(folder, ENVIRONMENT_FILE), options.environment)
    const close = () => lock.release()
    return {
      path: folder,
      checkpointsPath: checkpointsPath(folder),
      metricsPath,
      tensorboardPath: join(folder, 'tensorboard'),
      resumed: holdsRun,
      removedLeftovers,
      close,
      [Symbol.asyncDispose]: close,
    }
  } catch (error) {
    await lock.release()
    throw fileError(error, folder, 'open the run folder')
  }
}

/** The recipe that a run folder was made with. Throws NOT_FOUND or BAD_FILE. */
export async function readResolvedRecipe(path: string): Promise<unknown> {
  const file = join(resolve(path), RESOLVED_RECIPE_FILE)
  const text = await readFile(file, 'utf8').catch((error) => {
    throw fileError(error, file, "read the run's recipe")
  })
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new StrataError('BAD_FILE', `${file} is not JSON (${(error as Error).message})`, {
      cause: error,
      details: { path: file },
    })
  }
}

/** environment.json is a list: a run that is resumed on another machine says so. */
async function addEnvironment(file: string, extra?: Record<string, unknown>): Promise<void> {
  const earlier: unknown[] = await readFile(file, 'utf8').then(
    (text) => {
      const value = JSON.parse(text)
      return Array.isArray(value) ? value : []
    },
    () => [],
  )
  await replaceFile(file, toJson([...earlier, await describeEnvironment(extra)]))
}

const toJson = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`
