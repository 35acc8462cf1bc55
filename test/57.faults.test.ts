import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { interruptedExitCode } from '../lib/training/index.js'
import { fingerprintOfRun, killAndResume, trainInChild } from './helpers/fault-run.js'

/** Three of the twenty of `npm run test:faults`. */
describe('a run that is killed', function () {
  this.timeout(120_000)
  let folder: string
  let whole: ReturnType<typeof fingerprintOfRun>
  let trainingMs: number

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-faults-'))
    const end = await trainInChild(join(folder, 'whole'))
    assert.equal(end.code, 0, end.stderr)
    whole = fingerprintOfRun(join(folder, 'whole'))
    trainingMs = end.trainingMs
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  it('inside a tensor’s write: the torn one is never taken, the resumed end is the same bit for bit', async () => {
    const runPath = join(folder, 'torn')
    const outcome = await killAndResume(runPath, { fault: 'inside-tensor:3' })
    assert.deepEqual(outcome, { killed: true, left: 4, warnings: [] })
    assert.deepEqual(fingerprintOfRun(runPath), whole)
    assert.ok(!readdirSync(join(runPath, 'checkpoints')).some((name) => name.startsWith('tmp.')))
  })

  it('between the rename and latest: the new one counts', async () => {
    const runPath = join(folder, 'renamed')
    const outcome = await killAndResume(runPath, { fault: 'after-rename:2' })
    assert.deepEqual(outcome, { killed: true, left: 4, warnings: [] })
    assert.deepEqual(fingerprintOfRun(runPath), whole)
  })

  it('at a random moment', async () => {
    const runPath = join(folder, 'random')
    const outcome = await killAndResume(runPath, { signal: 'SIGKILL', afterMs: trainingMs * Math.random() * 0.8 })
    assert.deepEqual(outcome.warnings, [])
    assert.deepEqual(fingerprintOfRun(runPath), whole)
  })

  it('by SIGTERM writes a checkpoint, exits with 143 and goes on from there', async () => {
    const runPath = join(folder, 'terminated')
    const end = await trainInChild(runPath, { signal: 'SIGTERM', afterMs: trainingMs * 0.3 })
    assert.equal(end.signal, null)
    assert.equal(end.code, interruptedExitCode('SIGTERM'))
    assert.equal(end.code, 143)
    const resumed = await trainInChild(runPath)
    assert.equal(resumed.code, 0, resumed.stderr)
    assert.deepEqual(fingerprintOfRun(runPath), whole)
  })
})
