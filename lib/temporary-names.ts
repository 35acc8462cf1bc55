/** Names of what a process makes in a folder that others use too: none meets another one, and what a killed process left can be told. */
import { createHash, randomBytes } from 'node:crypto'
import { statSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { isProcessAlive } from './process-alive.js'

const NAME = /^([a-z]+)-([0-9a-f]{8})-(\d+)-[0-9a-f]{12}$/
const HOST = createHash('sha256').update(hostname()).digest('hex').slice(0, 8)
const STALE_MILLISECONDS = 24 * 3600 * 1000

/** `prefix` is of small letters. */
export function temporaryName(prefix: string): string {
  return `${prefix}-${HOST}-${process.pid}-${randomBytes(6).toString('hex')}`
}

export function isTemporaryName(name: string, prefix: string): boolean {
  return NAME.exec(name)?.[1] === prefix
}

/**
 * Whether a process left this behind: one of this host that is gone, or another host's after a day. So after a day is what has this process's
 * own number, which a container gives to the next process as well.
 */
export function isLeftover(folder: string, name: string, prefix: string): boolean {
  const match = NAME.exec(name)
  if (match?.[1] !== prefix) return false
  const [, , host, pid] = match
  if (host === HOST && Number(pid) !== process.pid) return !isProcessAlive(Number(pid))
  // Another process may have removed it.
  const found = statSync(join(folder, name), { throwIfNoEntry: false })
  return found !== undefined && Date.now() - found.mtimeMs > STALE_MILLISECONDS
}
