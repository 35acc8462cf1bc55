/**
 * One process a run folder. The lock is a file that names its holder; it is touched while it is held, so that a holder
 * that died (here: its process is gone; on another machine: untouched for minutes) does not block the next run.
 */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { link, open, readFile, rm, stat, unlink, utimes, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { fileError, StrataError } from '../errors.js'
import { isProcessAlive } from '../process-alive.js'

const TOUCH_MS = 30_000
const STALE_ELSEWHERE_MS = 5 * 60_000
const STALE_TAKEOVER_MS = 10_000

interface Holder {
  id: string
  pid: number
  host: string
  /** Start of the process in clock ticks since boot (Linux): tells a reused pid from the holder. */
  processStart?: string
  since: string
}

export interface RunLock {
  release(): Promise<void>
}

/** Takes the lock of a run folder. Throws BAD_ARGUMENT when another live process holds it. */
export async function lockRun(runPath: string): Promise<RunLock> {
  const path = join(runPath, '.lock')
  const holder: Holder = {
    id: randomUUID(),
    pid: process.pid,
    host: hostname(),
    processStart: processStart(process.pid),
    since: new Date().toISOString(),
  }
  const own = `${path}.${holder.id}`
  try {
    await writeFile(own, `${JSON.stringify(holder, null, 2)}\n`)
    // A link fails when the name exists: of two processes one wins.
    while (!(await linked(own, path))) await removeStale(path, runPath)
  } catch (error) {
    throw fileError(error, path, 'lock the run folder')
  } finally {
    await rm(own, { force: true }).catch(() => {})
  }
  const touch = setInterval(() => void utimes(path, new Date(), new Date()).catch(() => {}), TOUCH_MS)
  touch.unref()
  return {
    async release() {
      clearInterval(touch)
      if ((await readHolder(path))?.id === holder.id) await rm(path, { force: true })
    },
  }
}

/** The live process that holds a run folder; undefined when none does. */
export async function runHolder(runPath: string): Promise<{ pid: number; host: string } | undefined> {
  const path = join(runPath, '.lock')
  const holder = await readHolder(path)
  return holder && (await isAlive(holder, path)) ? { pid: holder.pid, host: holder.host } : undefined
}

async function linked(own: string, path: string): Promise<boolean> {
  try {
    await link(own, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** Removes the lock of a dead holder; throws when the holder lives. Only one process at a time may judge. */
async function removeStale(path: string, runPath: string): Promise<void> {
  const guard = `${path}.takeover`
  const handle = await open(guard, 'wx').catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
    const age = await stat(guard).then(
      (found) => Date.now() - found.mtimeMs,
      () => 0,
    )
    if (age > STALE_TAKEOVER_MS) await rm(guard, { force: true })
    await new Promise((done) => setTimeout(done, 50))
    return undefined
  })
  if (!handle) return
  try {
    const holder = await readHolder(path)
    if (await isAlive(holder, path)) {
      const who = holder ? `process ${holder.pid} on ${holder.host} since ${holder.since}` : 'another process'
      const message = `${runPath} is in use by ${who}; wait for it to end, or choose another folder`
      throw new StrataError('BAD_ARGUMENT', message, { details: { runPath, holder } })
    }
    await unlink(path).catch(() => {})
  } finally {
    await handle.close()
    await rm(guard, { force: true })
  }
}

async function readHolder(path: string): Promise<Holder | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Holder
  } catch {
    return undefined
  }
}

async function isAlive(holder: Holder | undefined, path: string): Promise<boolean> {
  // The lock appears with its content (it is linked), so an unreadable one was damaged later.
  if (!holder) return false
  if (holder.host !== hostname()) {
    const touched = await stat(path).then(
      (found) => found.mtimeMs,
      () => 0,
    )
    return Date.now() - touched < STALE_ELSEWHERE_MS
  }
  if (!isProcessAlive(holder.pid)) return false
  return holder.processStart === undefined || holder.processStart === processStart(holder.pid)
}

/** Field 22 of /proc/<pid>/stat; undefined where there is no such file. */
function processStart(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The command's name, in brackets, may hold spaces.
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19]
  } catch {
    return undefined
  }
}
