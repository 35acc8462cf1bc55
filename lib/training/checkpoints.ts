/**
 * Checkpoints that are whole or not there: files are written to `tmp.step-N.<pid>`, flushed, listed with sizes and
 * hashes in `manifest.json`, and the folder is then renamed to `step-N`; only after that `latest` moves and old ones go.
 */
import { existsSync } from 'node:fs'
import { mkdir, readdir, readlink, realpath, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join, normalize, resolve } from 'node:path'
import { z } from 'zod'
import { fileError, StrataError } from '../errors.js'
import { faultPoint } from '../fault-points.js'
import { checkLink, type ReadingAs, readUntrustedJson } from '../untrusted-files.js'
import { fingerprint, listFiles, makeFolder, replaceLink, syncPath, writeSynced } from './durable-files.js'
import { softwareVersions } from './run-environment.js'

export const MANIFEST_FILE = 'manifest.json'

/** People write into a model card; that must not spoil the checkpoint. */
const EDITABLE = new Set(['README.md'])

const AS: ReadingAs = { doing: 'read the checkpoint', code: 'BAD_CHECKPOINT' }

/** A file below the folder. */
const inFolder = (name: string): boolean =>
  !isAbsolute(name) && !/^\.\.([\\/]|$)/.test(normalize(name)) && !name.includes('\0')

const manifestSchema = z.object({
  formatVersion: z.literal(1),
  step: z.int().min(0),
  files: z.array(z.object({ name: z.string().refine(inFolder), bytes: z.int().min(0), sha256: z.string().length(64) })),
  versions: z.record(z.string(), z.string()),
})

export interface CheckpointReference {
  path: string
  step: number
}

export interface SaveCheckpointOptions {
  /** Run folder; checkpoints lie in its `checkpoints/`. */
  runPath: string
  step: number
  /** Writes the model's files, then the optimiser's and the state; the folder exists and is empty. */
  write: (folder: string) => Promise<void>
  /** How many of the newest stay; 0 = all. */
  keep: number
  /** Step of the best checkpoint so far (maybe this one): `best` points at it, and it stays whatever `keep` says. */
  bestStep?: number
  /** Steps whose checkpoints stay as well. */
  pinnedSteps?: ReadonlySet<number>
  onWarning?: (message: string) => void
}

export const checkpointsPath = (runPath: string): string => join(runPath, 'checkpoints')

/** Commits a checkpoint and returns its path. Throws DISK_FULL, READ_ONLY or IO_ERROR; older checkpoints stay as they are. */
export async function saveCheckpoint(options: SaveCheckpointOptions): Promise<CheckpointReference> {
  const parent = checkpointsPath(options.runPath)
  const path = join(parent, `step-${options.step}`)
  const temporary = join(parent, `tmp.step-${options.step}.${process.pid}`)
  try {
    await makeFolder(parent)
    await rm(temporary, { recursive: true, force: true })
    await mkdir(temporary)
    await options.write(temporary)
    faultPoint('before-manifest')
    await writeManifest(temporary, options.step)
    faultPoint('after-manifest')
    await syncPath(temporary)
    await moveAside(path)
    faultPoint('before-rename')
    await rename(temporary, path)
    faultPoint('after-rename')
    await syncPath(parent)
    faultPoint('before-latest')
    await pointAt(options.runPath, 'latest', options.step)
    if (options.bestStep !== undefined) await pointAt(options.runPath, 'best', options.bestStep)
    faultPoint('after-latest')
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => {})
    throw await describeFailure(error, path, parent)
  }
  await removeOld(parent, options)
  return { path, step: options.step }
}

async function writeManifest(folder: string, step: number): Promise<void> {
  const files: { name: string; bytes: number; sha256: string }[] = []
  for (const name of await listFiles(folder)) {
    await syncPath(join(folder, name))
    files.push({ name, ...(await fingerprint(join(folder, name))) })
  }
  const manifest = { formatVersion: 1, step, files, versions: softwareVersions() }
  await writeSynced(join(folder, MANIFEST_FILE), `${JSON.stringify(manifest, null, 2)}\n`)
}

/** A folder of the same name can only be one that did not verify, or one that a rollback left behind: the new one replaces it. */
async function moveAside(path: string): Promise<void> {
  if (!existsSync(path)) return
  const aside = join(dirname(path), `tmp.replaced-${basename(path)}.${process.pid}`)
  await rename(path, aside)
  await rm(aside, { recursive: true, force: true })
}

async function describeFailure(error: unknown, path: string, parent: string): Promise<StrataError> {
  const typed = fileError(error, path, 'write the checkpoint')
  const steps = await listSteps(parent).catch(() => [])
  const good =
    steps.length > 0 ? `the last good checkpoint is ${join(parent, `step-${steps[0]}`)}` : 'there is no earlier one'
  return new StrataError(typed.code, `${typed.message}; ${good}`, { cause: error, details: { ...typed.details, path } })
}

/** Steps of the folders `step-N`, newest first. */
export async function listSteps(parent: string): Promise<number[]> {
  const names = await readdir(parent).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw fileError(error, parent, 'list the checkpoints')
  })
  const steps = names.map((name) => /^step-(\d+)$/.exec(name)?.[1]).filter((step) => step !== undefined)
  return steps.map(Number).sort((a, b) => b - a)
}

/** Moves the link RUN/latest or RUN/best; it may lag behind after a kill, so it is never read to decide anything. */
async function pointAt(runPath: string, link: 'latest' | 'best', step: number): Promise<void> {
  const target = join('checkpoints', `step-${step}`)
  const now = await readlink(join(runPath, link)).catch(() => undefined)
  if (now !== target && existsSync(join(runPath, target))) await replaceLink(join(runPath, link), target)
}

/** Deletes all but the newest `keep`, the best and the pinned ones. A folder is renamed first, so that no half-deleted one is taken for whole. */
async function removeOld(
  parent: string,
  { keep, bestStep, pinnedSteps, onWarning }: SaveCheckpointOptions,
): Promise<void> {
  if (keep <= 0) return
  for (const step of (await listSteps(parent)).slice(keep)) {
    if (step === bestStep || pinnedSteps?.has(step)) continue
    const doomed = join(parent, `tmp.removed-step-${step}.${process.pid}`)
    try {
      await rename(join(parent, `step-${step}`), doomed)
      await rm(doomed, { recursive: true, force: true })
    } catch (error) {
      onWarning?.(`cannot remove the old checkpoint step-${step}: ${(error as Error).message}`)
    }
  }
}

/** Removes what killed processes left behind. Call it only while holding the run folder's lock. */
export async function removeLeftovers(runPath: string): Promise<string[]> {
  const parent = checkpointsPath(runPath)
  const names = await readdir(parent).catch(() => [] as string[])
  const leftovers = names.filter((name) => name.startsWith('tmp.'))
  for (const name of leftovers) {
    await rm(join(parent, name), { recursive: true, force: true }).catch((error) => {
      throw fileError(error, join(parent, name), 'remove an unfinished checkpoint')
    })
  }
  return leftovers
}

/** What keeps a folder from being a whole checkpoint; undefined when every file has the size and hash of the manifest. */
export async function checkpointProblem(folder: string): Promise<string | undefined> {
  let manifest: z.infer<typeof manifestSchema>
  try {
    const file = join(folder, MANIFEST_FILE)
    await checkLink(file, AS)
    manifest = manifestSchema.parse(await readUntrustedJson(file, AS))
  } catch (error) {
    const reason = error instanceof StrataError && error.code === 'NOT_FOUND' ? 'is missing' : 'is damaged'
    return `${MANIFEST_FILE} ${reason}`
  }
  for (const { name, bytes, sha256 } of manifest.files) {
    if (EDITABLE.has(name)) continue
    const path = join(folder, name)
    const found = await stat(path).catch(() => undefined)
    if (found === undefined) return `${name} is missing`
    // A pipe or device would be read without end.
    if (!found.isFile()) return `${name} is no plain file`
    if (
      await checkLink(path, AS, folder).then(
        () => false,
        () => true,
      )
    )
      return `${name} is a link out of the folder`
    const { size } = found
    if (size !== bytes) return `${name} has ${size} bytes, the manifest says ${bytes}`
    if ((await fingerprint(path)).sha256 !== sha256) return `${name} differs from its hash in the manifest`
  }
  return undefined
}

/** The newest whole checkpoint of a run folder; a warning names each newer one that is damaged. */
export async function newestCheckpoint(runPath: string): Promise<{ found?: CheckpointReference; warnings: string[] }> {
  const parent = checkpointsPath(runPath)
  const warnings: string[] = []
  for (const step of await listSteps(parent)) {
    const path = join(parent, `step-${step}`)
    const problem = await checkpointProblem(path)
    if (problem === undefined) return { found: { path, step }, warnings }
    warnings.push(`${path} is not whole (${problem}); the one before it is taken`)
  }
  return { warnings }
}

/** The checkpoint of a step. Throws BAD_CHECKPOINT when it is gone or not whole. */
export async function checkpointOfStep(runPath: string, step: number, use: string): Promise<CheckpointReference> {
  const path = join(checkpointsPath(runPath), `step-${step}`)
  const problem = await checkpointProblem(path)
  if (problem === undefined) return { path, step }
  throw new StrataError(
    'BAD_CHECKPOINT',
    `${use} needs ${path}, which is not whole: ${problem}; start a new run folder`,
    {
      details: { path, problem },
    },
  )
}

export interface ResolvedCheckpoint {
  /** Folder with config.json and model.safetensors, without links on the way to it. */
  folder: string
  kind: 'checkpoint' | 'run' | 'hugging-face'
  /** Step of a checkpoint of ours. */
  step?: number
  warnings: string[]
}

/**
 * Finds the model folder that a user means: a checkpoint folder, a run folder (its newest whole checkpoint) or any
 * Hugging Face folder. Throws NOT_FOUND or BAD_CHECKPOINT.
 */
export async function resolveCheckpoint(path: string): Promise<ResolvedCheckpoint> {
  const given = resolve(path)
  const unopened = (error: unknown): never => {
    const failure = fileError(error, given, 'open the checkpoint')
    if (failure.code !== 'NOT_FOUND') throw failure
    const message = `${failure.message}; a local folder was expected, names of a hub are not looked up`
    throw new StrataError(failure.code, message, { cause: error, details: failure.details })
  }
  // A link may be moved to another folder while the files of this one are read.
  const folder = await realpath(given).catch(unopened)
  const found = await stat(folder).catch(unopened)
  if (!found.isDirectory()) {
    throw new StrataError(
      'BAD_CHECKPOINT',
      `${folder} is a file; give the folder that holds config.json and model.safetensors`,
    )
  }
  if (existsSync(join(folder, MANIFEST_FILE))) return wholeCheckpoint(folder)
  for (const run of [folder, dirname(folder)]) {
    if (run !== folder && basename(folder) !== 'checkpoints') continue
    const { found: newest, warnings } = await newestCheckpoint(run)
    if (newest) return { folder: newest.path, kind: 'run', step: newest.step, warnings }
    if (warnings.length > 0) {
      throw new StrataError('BAD_CHECKPOINT', `${folder} has no whole checkpoint: ${warnings.join('; ')}`, {
        details: { folder },
      })
    }
  }
  if (existsSync(join(folder, 'config.json'))) return { folder, kind: 'hugging-face', warnings: [] }
  const expected =
    'a checkpoint (manifest.json), a run folder (checkpoints/step-N) or a Hugging Face folder (config.json) was expected'
  throw new StrataError('BAD_CHECKPOINT', `${folder} holds no model: ${expected}`, { details: { folder } })
}

async function wholeCheckpoint(folder: string): Promise<ResolvedCheckpoint> {
  const problem = await checkpointProblem(folder)
  if (problem !== undefined) {
    const message = `${folder} is not whole: ${problem}; take another checkpoint of the run`
    throw new StrataError('BAD_CHECKPOINT', message, { details: { folder, problem } })
  }
  const { step } = manifestSchema.parse(await readUntrustedJson(join(folder, MANIFEST_FILE), AS))
  return { folder, kind: 'checkpoint', step, warnings: [] }
}
