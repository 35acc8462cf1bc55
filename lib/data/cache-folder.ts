/** Folders of a cache that several processes share: each appears whole or not at all. */
import { mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileError } from '../errors.js'
import { syncDirectory } from '../sync-path.js'
import { isLeftover, temporaryName } from '../temporary-names.js'

export { syncDirectory }

const PREFIX = 'tmp'
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

function removeLeftovers(cacheDirectory: string): void {
  for (const name of readdirSync(cacheDirectory)) {
    try {
      if (isLeftover(cacheDirectory, name, PREFIX)) rmSync(join(cacheDirectory, name), { recursive: true, force: true })
    } catch {
      // Another process was faster.
    }
  }
}
