/**
 * A lock between processes that is a file: created exclusively, holding the owner's pid and host, touched while it is held. Left
 * over by a process that died it is taken away. It saves double work; what makes the result right is the rename at the end.
 */
import { randomUUID } from 'node:crypto'
import { readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileError } from '../errors.js'
import { isProcessAlive } from '../process-alive.js'

const TOUCH_EVERY_MS = 2000
/** An untouched lock of another machine (shared home folder) is stale after this. */
const STALE_AFTER_MS = 60_000
const POLL_EVERY_MS = 200

/** Runs `work` while holding the lock file `path`; `onWait` is told once when another process holds it. */
export async function withLock<T>(path: string, onWait: (owner: string) => void, work: () => Promise<T>): Promise<T> {
  const content = `${process.pid} ${hostname()} ${randomUUID()}`
  let waiting = false
  while (!tryCreate(path, content)) {
    const owner = readOwner(path)
    if (owner === null) continue
    if (isStale(path, owner)) {
      takeAway(path, owner)
      continue
    }
    if (!waiting) onWait(owner.split(' ').slice(0, 2).join(' on '))
    waiting = true
    await sleep(POLL_EVERY_MS)
  }
  const timer = setInterval(() => touch(path), TOUCH_EVERY_MS)
  timer.unref()
  try {
    return await work()
  } finally {
    clearInterval(timer)
    if (readOwner(path) === content) rmSync(path, { force: true })
  }
}

function tryCreate(path: string, content: string): boolean {
  try {
    writeFileSync(path, content, { flag: 'wx' })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw fileError(error, path, 'lock the libtorch folder')
  }
}

/** Null when the lock is gone. A lock that nobody here can read is not waited for: it would be for ever. */
function readOwner(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return null
    throw fileError(error, path, 'read whose lock it is')
  }
}

function isStale(path: string, owner: string): boolean {
  const [pid, host] = owner.split(' ')
  try {
    const untouchedMs = Date.now() - statSync(path).mtimeMs
    // Created, but its owner's name is not written yet.
    if (owner === '') return untouchedMs > STALE_AFTER_MS
    if (untouchedMs > STALE_AFTER_MS) return true
  } catch {
    return false
  }
  return host === hostname() && !isProcessAlive(Number(pid))
}

// The rename is atomic, so one of several waiters gets the stale file; a fresh lock caught by mistake is put back.
function takeAway(path: string, owner: string): void {
  const aside = `${path}.${randomUUID()}`
  try {
    renameSync(path, aside)
  } catch {
    return
  }
  if (readOwner(aside) === owner) rmSync(aside, { force: true })
  else renameSync(aside, path)
}

function touch(path: string): void {
  const now = new Date()
  try {
    utimesSync(path, now, now)
  } catch {
    // The folder was deleted by its user: the work will find out.
  }
}
