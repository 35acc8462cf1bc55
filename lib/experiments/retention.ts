/** Checkpoints of finished runs, which are most of what an experiment takes on the disk. */
import { existsSync } from 'node:fs'
import { readdir, readlink, rename, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { newestCheckpoint } from '../training/index.js'
import { readResult } from './job-folder.js'
import { hasStages, type Job } from './plan.js'
import type { Keep } from './schema.js'

/**
 * `newest` leaves the newest and the best, and while a later step is not done all that a run with stages kept: a task's own checkpoint may
 * be that of any stage. `none` leaves nothing of a run whose later steps are all done.
 */
export async function removeCheckpoints(jobs: readonly Job[], keep: Keep): Promise<void> {
  if (keep === 'all') return
  for (const job of jobs) {
    const folder = join(job.folder, 'checkpoints')
    if (job.kind !== 'train' || !readResult(job) || !existsSync(folder)) continue
    const needed = jobs.some((child) => child.parent === job && !readResult(child))
    if (keep === 'none' && !needed) {
      // The links go first: without them nobody takes the run for one with a checkpoint.
      for (const link of ['latest', 'best']) await rm(join(job.folder, link), { force: true })
      await rm(folder, { recursive: true, force: true })
      continue
    }
    if (needed && hasStages(job)) continue
    const names = (await readdir(folder)).filter((name) => name.startsWith('step-'))
    if (names.length < 2) continue
    const { found } = await newestCheckpoint(job.folder)
    const best = await readlink(join(job.folder, 'best')).catch(() => undefined)
    const kept = [found && basename(found.path), best && basename(best)]
    if (!found) continue
    for (const name of names.filter((one) => !kept.includes(one))) {
      const doomed = join(folder, `tmp.removed-${name}.${process.pid}`)
      await rename(join(folder, name), doomed)
      await rm(doomed, { recursive: true, force: true })
    }
  }
}
