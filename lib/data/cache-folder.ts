/** Folders of a cache that several processes share: each appears whole or not at all. */
import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { fileError } from '../errors.js'
import { syncDirectory } from '../sync-path.js'

export { syncDirectory }

const TEMPORARY = /^tmp-([0-9a-f]{8})-(\d+)-[0-9a-f]{12}$/
const HOST = createHash('sha256').update(hostname()).digest('hex').slice(0, 8)
const STALE_MILLISECONDS = 24 * 3600 * 1000
/** What a rename says to a folder that is in its way; Windows says it may not. */
const IN_THE_WAY = ['ENOTEMPTY', 'EEXIST', 'ENOTDIR', ...(process.platform === 'win32' ? ['EPERM'] : [])]

/** Makes an empty folder in the cache to build in, and removes what killed processes left there. */
export function makeTemporary(cacheDirectory: string, what: string): string {
  try {
    mkdirSync(cacheDirectory, { recursive: true })
    removeLeftovers(cacheDirectory)
    const temporary = join(cacheDirectory, temporaryName())
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
    const aside = join(cacheDirectory, temporaryName())
    try {
      // A rename leaves maps of the old files intact.
      renameSync(directory, aside)
    } catch {
      continue
    }
    rmSync(aside, { recursive: true, force: true })
  }
}

function temporaryName(): string {
  return `tmp-${HOST}-${process.pid}-${randomBytes(6).toString('hex')}`
}

/** Of this host when the process is gone, of another one after a day. */
function removeLeftovers(cacheDirectory: string): void {
  for (const name of readdirSync(cacheDirectory)) {
    const match = TEMPORARY.exec(name)
    if (match === null) continue
    const path = join(cacheDirectory, name)
    try {
      const stale =
        match[1] === HOST ? !isAlive(Number(match[2])) : Date.now() - statSync(path).mtimeMs > STALE_MILLISECONDS
      if (stale) rmSync(path, { recursive: true, force: true })
    } catch {
      // Another process was faster.
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
