/** Runs what is missing: one job after the other, or several at a time, so that nothing done is done again. */
import { existsSync, statSync } from 'node:fs'
import { open, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { StrataError } from '../errors.js'
import { METRICS_FILE, makeFolder, RESOLVED_RECIPE_FILE, runHolder } from '../training/index.js'
import { hasCheckpoint, jobArguments } from './job-command.js'
import { clearFailure, readFailure, readResult, removeRun, writeFailure, writeResult } from './job-folder.js'
import { JobMemory } from './job-memory.js'
import { startOwnCommand } from './own-command.js'
import type { Job } from './plan.js'
import { readJobNumbers } from './read-results.js'
import { removeCheckpoints } from './retention.js'
import type { Keep } from './schema.js'

export interface RunJobsOptions {
  /** Jobs at a time, 1. */
  parallel?: number
  /** Bytes of memory that are left for further jobs; default those of machine and container. */
  freeMemory?: () => number
  /** Compute threads of a job that others may run beside; default all. */
  threads?: number
  keep: Keep
  /** Every job of the experiment, those that do not run now too: they say which checkpoints are needed. */
  all: readonly Job[]
  /** An abort lets running jobs write their checkpoints and starts no other. */
  signal?: AbortSignal
  /** An abort ends them at once. */
  kill?: AbortSignal
  onEvent?: (event: JobEvent) => void
  /** After each job that ended. */
  onEnd?: (job: Job) => Promise<void>
}

export type JobEvent =
  | { type: 'start'; job: Job; index: number; of: number }
  | { type: 'progress'; job: Job; line: string }
  | { type: 'wait'; job: Job; line: string }
  | { type: 'end'; job: Job; status: JobStatus; seconds: number; message?: string }

export type JobStatus = 'done' | 'failed' | 'skipped' | 'interrupted' | 'missing'

/** What a job's folder says. */
export function statusOf(job: Job): JobStatus {
  if (readResult(job)) return 'done'
  if (readFailure(job)) return 'failed'
  return job.parent && ['failed', 'skipped'].includes(statusOf(job.parent)) ? 'skipped' : 'missing'
}

/** Runs the jobs that are not done, in their order; a failed one takes those that need its checkpoint with it. */
export async function runJobs(jobs: readonly Job[], options: RunJobsOptions): Promise<void> {
  const broken = new AbortController()
  const signal = options.signal ? AbortSignal.any([options.signal, broken.signal]) : broken.signal
  try {
    await runWaiting(jobs, { ...options, signal })
  } finally {
    // After an error no run shall go on unseen.
    broken.abort()
  }
}

async function runWaiting(jobs: readonly Job[], options: RunJobsOptions): Promise<void> {
  const { parallel = 1, signal, onEvent } = options
  await removeWhatLacksItsCheckpoint(jobs)
  const waiting = jobs.filter((job) => !readResult(job))
  for (const job of waiting) await clearFailure(job.folder)
  const of = waiting.length
  const active = new Map<Job, Promise<void>>()
  const memory = new JobMemory(options.all, options.freeMemory)
  const toldToWait = new Set<Job>()
  let tidying = Promise.resolve()
  let index = 0
  while (!signal?.aborted && (waiting.length > 0 || active.size > 0)) {
    for (const job of waiting.filter(({ parent }) => parent && ['failed', 'skipped'].includes(statusOf(parent)))) {
      waiting.splice(waiting.indexOf(job), 1)
      onEvent?.({ type: 'end', job, status: 'skipped', seconds: 0, message: `step ${job.parent!.step} failed` })
    }
    const ready = waiting.find(({ parent }) => !parent || readResult(parent))
    const started = ready !== undefined && active.size < parallel && memory.claim(ready)
    if (started) {
      waiting.splice(waiting.indexOf(ready), 1)
      index++
      onEvent?.({ type: 'start', job: ready, index, of })
      const threads = runsAlone(ready, options.all) ? undefined : options.threads
      const run = runJob(ready, { ...options, threads }).then(() => {
        memory.learn(ready)
        // One after the other: two jobs may end at the same time.
        tidying = tidying.then(async () => {
          await removeCheckpoints(options.all, options.keep)
          await options.onEnd?.(ready)
        })
        return tidying
      })
      active.set(ready, run)
      // A rejection is met at the race below, or after the loop.
      run.catch(() => {})
      const leave = () => {
        active.delete(ready)
        memory.release(ready)
      }
      void run.finally(leave).catch(() => {})
      continue
    }
    if (ready && active.size > 0 && active.size < parallel && !toldToWait.has(ready)) {
      toldToWait.add(ready)
      onEvent?.({ type: 'wait', job: ready, line: memory.shortage(ready) })
    }
    if (active.size === 0) break
    await Promise.race(active.values())
  }
  await Promise.all(active.values())
}

/** Whether all others start from this one, or it from them: nothing can run beside it. */
export function runsAlone(job: Job, all: readonly Job[]): boolean {
  return all.every((other) => startsFrom(other, job) || startsFrom(job, other))
}

function startsFrom(job: Job | undefined, ancestor: Job): boolean {
  for (let one = job; one; one = one.parent) if (one === ancestor) return true
  return false
}

/** With `keep: none` a parent may have lost the checkpoint that a new or changed step needs: it is run again. */
async function removeWhatLacksItsCheckpoint(jobs: readonly Job[]): Promise<void> {
  for (const job of jobs.toReversed()) {
    const needed = jobs.some((child) => child.parent === job && !readResult(child))
    if (needed && readResult(job) && !hasCheckpoint(job)) await removeRun(job.folder)
  }
}

async function runJob(job: Job, options: RunJobsOptions): Promise<void> {
  const { signal, onEvent } = options
  const started = performance.now()
  const seconds = () => (performance.now() - started) / 1000
  await makeFolder(job.folder)
  const stdout = join(job.folder, `job.${process.pid}.out`)
  try {
    if (!(await runCommand(job, stdout, options))) {
      onEvent?.({ type: 'end', job, status: 'interrupted', seconds: seconds() })
      return
    }
    const found = await readJobNumbers(job, stdout, seconds())
    const { id, kind, variant, step, seed, folder } = job
    const finishedAt = new Date().toISOString()
    const place = { id, kind, variant, step, seed }
    await writeResult(folder, { format: 1, ...place, ...found, commandSeconds: seconds(), finishedAt })
    await rm(stdout, { force: true })
    onEvent?.({ type: 'end', job, status: 'done', seconds: seconds() })
  } catch (error) {
    // A disk that takes no result takes no failure either: that is no matter of this one job.
    if (error instanceof StrataError && ['DISK_FULL', 'READ_ONLY'].includes(error.code)) throw error
    const message = error instanceof Error ? error.message : String(error)
    const ended = error instanceof StrataError ? String(error.details.ended ?? error.code) : 'NATIVE_ERROR'
    if (signal?.aborted) return
    await writeFailure(job.folder, { id: job.id, ended, message })
    onEvent?.({ type: 'end', job, status: 'failed', seconds: seconds(), message })
  }
}

/** False when it was interrupted. Throws what the command says when it fails. */
async function runCommand(job: Job, stdout: string, options: RunJobsOptions): Promise<boolean> {
  const { signal, kill, onEvent, threads } = options
  const stderr = join(job.folder, 'job.log')
  for (;;) {
    await waitForHolder(job, options)
    if (signal?.aborted) return false
    await removeOldOutputs(job.folder)
    const logged = existsSync(stderr) ? statSync(stderr).size : 0
    const command = startOwnCommand(await jobArguments(job), { stdout, stderr, threads })
    const watch = setInterval(
      () => void progressOf(job).then((line) => line && onEvent?.({ type: 'progress', job, line })),
      1000,
    )
    signal?.addEventListener('abort', command.stop)
    kill?.addEventListener('abort', command.kill)
    if (signal?.aborted) command.stop()
    const { code, signal: by } = await command.ended.finally(() => {
      clearInterval(watch)
      signal?.removeEventListener('abort', command.stop)
      kill?.removeEventListener('abort', command.kill)
    })
    if (code === 0) return true
    if (signal?.aborted) return false
    const said = await lastError(stderr, logged)
    // A run that a killed command left behind took its folder in the meantime; it is about to stop.
    if (/ is in use by process \d+ /.test(said) && existsSync(join(job.folder, RESOLVED_RECIPE_FILE))) continue
    const ended = by === null ? `exit code ${code}` : `signal ${by}${by === 'SIGKILL' ? ' (out of memory?)' : ''}`
    throw new StrataError('NATIVE_ERROR', `${said} (${ended})`, { details: { ended } })
  }
}

/** After a kill the run's process may still be writing its last checkpoint. */
async function waitForHolder(job: Job, { signal, onEvent }: RunJobsOptions): Promise<void> {
  let told = false
  for (;;) {
    const holder = await runHolder(job.folder)
    if (!holder || signal?.aborted) return
    if (!told)
      onEvent?.({ type: 'wait', job, line: `process ${holder.pid} on ${holder.host} is at it; waiting for its end` })
    told = true
    await sleep(200)
  }
}

async function removeOldOutputs(folder: string): Promise<void> {
  for (const name of await readdir(folder))
    if (/^job\.\d+\.out$/.test(name)) await rm(join(folder, name), { force: true })
}

const LOG_END_BYTES = 8192

async function endOf(path: string): Promise<string> {
  if (!existsSync(path)) return ''
  const file = await open(path)
  try {
    const { size } = await file.stat()
    const buffer = Buffer.alloc(Math.min(size, LOG_END_BYTES))
    const { bytesRead } = await file.read(buffer, 0, buffer.length, size - buffer.length)
    return buffer.toString('utf8', 0, bytesRead)
  } finally {
    await file.close()
  }
}

/** Where a training run stands, from the last line of its log. */
async function progressOf(job: Job): Promise<string | undefined> {
  const lines = (await endOf(join(job.folder, METRICS_FILE)).catch(() => '')).split('\n')
  for (const line of lines.reverse()) {
    try {
      const event = JSON.parse(line)
      if (event.type !== 'step') continue
      return `step ${event.step}, ${(100 * event.progress).toFixed(0)} % of stage ${event.stage}`
    } catch {}
  }
  return undefined
}

/** The command's own words for its end; the log holds those of earlier tries before `from`. */
async function lastError(log: string, from: number): Promise<string> {
  const text = existsSync(log) ? (await readFile(log)).subarray(from).toString('utf8') : ''
  const at = text.lastIndexOf('error[')
  if (at >= 0) return text.slice(at).trim().slice(0, 2000)
  return text.trim().split('\n').slice(-3).join(' | ').slice(-500) || 'ended without a word'
}
