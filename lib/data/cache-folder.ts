/** Folders of a cache that several processes share: each appears whole or not at all. */
import { mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileError } from '../errors.js'
import { syncDirectory } from '../sync-path.js'
import { isLeftover, isTemporaryName, temporaryName } from '../temporary-names.js'

export { syncDirectory }

const PREFIX = 'tmp'
/** Of a folder whose build was stopped, and which nobody works in. */
const STOPPED_PREFIX = 'stopped'
/** Which parts of an unfinished folder are whole; a folder with such a journal can be gone on from, and is kept for that. */
export const JOURNAL_FILE = 'parts.jsonl'
const KEPT_MILLISECONDS = 7 * 24 * 3600 * 1000
/** What a rename says to a folder that is in its way; Windows says it may not. */
const IN_THE_WAY = ['ENOTEMPTY', 'EEXIST', 'ENOTDIR', ...(process.platform === 'win32' ? ['EPERM'] : [])]

/** Makes an empty folder in the cache to build in, and removes what killed processes left there. */
export function makeTemporary(cacheDirectory: string, what: string): string {
  try {
    mkdirSync(cacheDirectory, { recursive: true })
    removeLeftovers(cacheDirectory)
    const temporary = join(cacheDirectory, temporaryName(PREFIX))
    mkdirSync(temporary)
    return temporary
  } catch (error) {
    throw fileError(error, cacheDirectory, `make the folder of the ${what} cache`)
  }
}

/**
 * Moves a finished folder to its place. When another process was faster, its copy stays if it is whole, which `verify` tells: what
 * it returns as an object is given back; a text says what is wrong with that copy, undefined that there is none.
 */
export async function publishFolder<Found extends object>(
  temporary: string,
  directory: string,
  what: string,
  verify: (attempt: number) => Promise<Found | string | undefined>,
): Promise<Found | undefined> {
  const cacheDirectory = join(directory, '..')
  for (let attempt = 1; ; attempt++) {
    try {
      renameSync(temporary, directory)
      syncDirectory(cacheDirectory)
      return undefined
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (attempt === 5 || !IN_THE_WAY.includes(code ?? '')) {
        throw fileError(error, directory, `put the ${what} into the cache`)
      }
    }
    const other = await verify(attempt)
    if (typeof other === 'object') return other
    if (other === undefined) continue
    const aside = join(cacheDirectory, temporaryName(PREFIX))
    try {
      // A rename leaves maps of the old files intact.
      renameSync(directory, aside)
    } catch {
      continue
    }
    rmSync(aside, { recursive: true, force: true })
  }
}

/** The unfinished folders that have a journal, whoever's they are: only what a journal tells of them stays as it is. */
export function unfinishedFolders(cacheDirectory: string): string[] {
  return readdirSync(cacheDirectory)
    .filter(isUnfinished)
    .map((name) => join(cacheDirectory, name))
    .filter((folder) => journalAge(folder) !== undefined)
}

/** Leaves an unfinished folder to the next build if it has a journal, else removes it. */
export function leaveUnfinished(temporary: string): void {
  if (journalAge(temporary) === undefined) rmSync(temporary, { recursive: true, force: true })
  else renameSync(temporary, join(temporary, '..', temporaryName(STOPPED_PREFIX)))
}

/** Removes an unfinished folder unless a process may still be at work in it. */
export function removeUnfinished(folder: string): void {
  const [cacheDirectory, name] = [join(folder, '..'), basename(folder)]
  if (!isTemporaryName(name, STOPPED_PREFIX) && !isLeftover(cacheDirectory, name, PREFIX)) return
  try {
    rmSync(folder, { recursive: true, force: true })
  } catch {
    // Another process was faster.
  }
}

function removeLeftovers(cacheDirectory: string): void {
  for (const name of readdirSync(cacheDirectory)) {
    if (!isUnfinished(name)) continue
    const folder = join(cacheDirectory, name)
    if ((journalAge(folder) ?? Number.POSITIVE_INFINITY) > KEPT_MILLISECONDS) removeUnfinished(folder)
  }
}

function isUnfinished(name: string): boolean {
  return isTemporaryName(name, PREFIX) || isTemporaryName(name, STOPPED_PREFIX)
}

/** Milliseconds since the journal was written to; undefined where there is none. */
function journalAge(folder: string): number | undefined {
  const found = statSync(join(folder, JOURNAL_FILE), { throwIfNoEntry: false })
  return found && Date.now() - found.mtimeMs
}
