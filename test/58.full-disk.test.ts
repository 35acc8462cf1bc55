import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { writeOutput } from '../lib/output-file.js'
import { huggingFaceModelFiles, newestCheckpoint, openRunFolder, TrainingEvents, train } from '../lib/training/index.js'
import { tinyModel, tinySettings, tinyStage } from './helpers/tiny-training.js'

/** A small file system of its own; undefined where this user may not mount one. */
function mountTmpfs(path: string, bytes: number): (() => void) | undefined {
  mkdirSync(path, { recursive: true })
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', path], { stdio: 'ignore' })
  } catch {
    return undefined
  }
  return () => execFileSync('umount', ['-l', path])
}

describe('a run whose folder cannot be written', function () {
  this.timeout(60_000)
  let folder: string
  let unmount: (() => void) | undefined

  beforeEach(function () {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-disk-'))
    unmount = mountTmpfs(join(folder, 'disk'), 4 << 20)
    if (!unmount) this.skip() // mounting a small file system needs root
  })
  afterEach(() => {
    unmount?.()
    rmSync(folder, { recursive: true, force: true })
  })

  /** Trains; `disturb` is called right after the checkpoint of step 3. */
  async function runInto(runPath: string, disturb: () => void) {
    const model = await tinyModel()
    const events = new TrainingEvents().on('checkpoint', ({ step }) => {
      if (step === 3) disturb()
    })
    try {
      await using run = await openRunFolder(runPath, { resume: true })
      return await train({
        model,
        stages: [tinyStage()],
        settings: tinySettings({ logEverySteps: 100 }),
        run,
        events,
        modelFiles: huggingFaceModelFiles(model),
      })
    } finally {
      await model.dispose()
    }
  }

  it('full disk: DISK_FULL names the last good checkpoint, which stays whole; with room again the run goes on', async () => {
    const runPath = join(folder, 'disk', 'run')
    const filler = join(folder, 'disk', 'filler')
    const fill = () => {
      const free = Number(
        execFileSync('df', ['--output=avail', '-B1', join(folder, 'disk')], { encoding: 'utf8' }).split('\n')[1],
      )
      const checkpoint = statSync(join(runPath, 'checkpoints', 'step-3', 'model.safetensors')).size
      // Room for half a file of weights: the disk is full in the middle of a tensor.
      writeFileSync(filler, Buffer.alloc(free - Math.floor(checkpoint / 2)))
    }
    await assert.rejects(runInto(runPath, fill), { code: 'DISK_FULL', message: /last good checkpoint is .*step-3/ })
    assert.deepEqual(readdirSync(join(runPath, 'checkpoints')), ['step-3'])
    assert.deepEqual(await newestCheckpoint(runPath), {
      found: { path: join(runPath, 'checkpoints', 'step-3'), step: 3 },
      warnings: [],
    })
    rmSync(filler)
    const result = await runInto(runPath, () => {})
    assert.equal(result.status, 'completed')
    assert.equal(result.state.step, 12)
  })

  it('a file of results that finds no room: DISK_FULL, its part is removed and the file before it stays', async () => {
    const disk = join(folder, 'disk')
    const output = join(disk, 'vectors.jsonl')
    writeFileSync(output, 'before')
    const work = writeOutput(output, 'write the vectors', async (write) => {
      // As a command that computes on while this is written.
      const written = write('1'.repeat(8 << 20))
      await setTimeout(50)
      await written
    })
    await assert.rejects(work, { code: 'DISK_FULL', exitCode: 1, message: /write the vectors.*vectors\.jsonl/ })
    assert.deepEqual(readdirSync(disk), ['vectors.jsonl'])
    assert.equal(readFileSync(output, 'utf8'), 'before')
  })

  it('read-only: READ_ONLY, and the last good checkpoint stays whole', async () => {
    const disk = join(folder, 'disk')
    const runPath = join(disk, 'run')
    // The log's open file would keep the file system busy for a plain remount: a read-only bind mount of the checkpoints does not.
    const checkpoints = join(runPath, 'checkpoints')
    const lock = () => {
      execFileSync('mount', ['--bind', checkpoints, checkpoints])
      execFileSync('mount', ['-o', 'remount,ro,bind', checkpoints])
    }
    try {
      await assert.rejects(runInto(runPath, lock), { code: 'READ_ONLY', message: /last good checkpoint is .*step-3/ })
      assert.equal((await newestCheckpoint(runPath)).found?.step, 3)
      await assert.rejects(openRunFolder(join(checkpoints, 'other')), { code: 'READ_ONLY', message: /other/ })
    } finally {
      execFileSync('umount', ['-l', checkpoints])
    }
  })
})
