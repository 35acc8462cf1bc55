import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  checkpointProblem,
  newestCheckpoint,
  removeLeftovers,
  resolveCheckpoint,
  saveCheckpoint,
} from '../lib/training/checkpoints.js'

const content = (step: number) => `weights of step ${step} ${'x'.repeat(1000)}`

const save = (runPath: string, step: number, more: { keep?: number; bestStep?: number } = {}) =>
  saveCheckpoint({
    runPath,
    step,
    keep: more.keep ?? 0,
    bestStep: more.bestStep,
    write: async (folder) => {
      writeFileSync(join(folder, 'model.safetensors'), content(step))
      writeFileSync(join(folder, 'config.json'), '{}')
      writeFileSync(join(folder, 'README.md'), '# card')
    },
  })

describe('checkpoints', () => {
  let runPath: string
  const inside = (...parts: string[]) => join(runPath, 'checkpoints', ...parts)
  beforeEach(() => {
    runPath = realpathSync(mkdtempSync(join(tmpdir(), 'stratabert-checkpoints-')))
  })
  afterEach(() => rmSync(runPath, { recursive: true, force: true }))

  it('are committed with sizes and hashes, and latest points at the newest', async () => {
    await save(runPath, 1)
    const { path } = await save(runPath, 2)
    assert.equal(path, inside('step-2'))
    const manifest = JSON.parse(readFileSync(join(path, 'manifest.json'), 'utf8'))
    assert.deepEqual(
      manifest.files.map(({ name, bytes }: { name: string; bytes: number }) => [name, bytes]),
      [
        ['README.md', 6],
        ['config.json', 2],
        ['model.safetensors', content(2).length],
      ],
    )
    const sum = execFileSync('sha256sum', [join(path, 'model.safetensors')], { encoding: 'utf8' }).split(' ')[0]
    assert.equal(manifest.files[2].sha256, sum)
    assert.match(manifest.versions.stratabert, /^\d+\.\d+\.\d+/)
    assert.equal(readlinkSync(join(runPath, 'latest')), 'checkpoints/step-2')
    assert.deepEqual(readdirSync(inside()).sort(), ['step-1', 'step-2'])
    assert.equal(await checkpointProblem(path), undefined)
  })

  it('keep the newest K and the best', async () => {
    for (const step of [1, 2, 3, 10, 20]) {
      await save(runPath, step, { keep: 2, bestStep: step >= 2 ? 2 : 1 })
    }
    assert.deepEqual(readdirSync(inside()).sort(), ['step-10', 'step-2', 'step-20'])
    assert.equal(readlinkSync(join(runPath, 'best')), 'checkpoints/step-2')
  })

  const damages: [string, (folder: string) => void, RegExp][] = [
    [
      'a torn file',
      (folder) => writeFileSync(join(folder, 'model.safetensors'), content(2).slice(0, 500)),
      /has 500 bytes/,
    ],
    [
      'a changed byte',
      (folder) => writeFileSync(join(folder, 'model.safetensors'), content(2).replace('weights', 'Weights')),
      /differs from its hash/,
    ],
    ['a missing file', (folder) => rmSync(join(folder, 'config.json')), /config.json is missing/],
    [
      'a torn manifest',
      (folder) => writeFileSync(join(folder, 'manifest.json'), '{"formatVersion": 1, "st'),
      /is damaged/,
    ],
    ['no manifest', (folder) => rmSync(join(folder, 'manifest.json')), /manifest.json is missing/],
  ]
  for (const [what, damage, reason] of damages) {
    it(`${what} in the newest makes the one before it be taken, with a warning`, async () => {
      await save(runPath, 1)
      const { path } = await save(runPath, 2)
      damage(path)
      const { found, warnings } = await newestCheckpoint(runPath)
      assert.equal(found?.path, inside('step-1'))
      assert.equal(warnings.length, 1)
      assert.match(warnings[0], reason)
      assert.match(warnings[0], /step-2/)
      // The step is reached again: its damaged folder is replaced.
      await save(runPath, 2)
      assert.equal((await newestCheckpoint(runPath)).found?.step, 2)
      assert.deepEqual(readdirSync(inside()).sort(), ['step-1', 'step-2'])
    })
  }

  it('an edited model card does not spoil one', async () => {
    const { path } = await save(runPath, 1)
    writeFileSync(join(path, 'README.md'), '# my model')
    assert.equal(await checkpointProblem(path), undefined)
  })

  it('a write that fails leaves the earlier ones and names the last good one', async () => {
    await save(runPath, 1)
    const failing = saveCheckpoint({
      runPath,
      step: 2,
      keep: 1,
      write: async (folder) => {
        writeFileSync(join(folder, 'model.safetensors'), 'half')
        throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' })
      },
    })
    await assert.rejects(failing, { code: 'DISK_FULL', message: /last good checkpoint is .*step-1/ })
    assert.deepEqual(readdirSync(inside()), ['step-1'])
    assert.equal(readlinkSync(join(runPath, 'latest')), 'checkpoints/step-1')
  })

  it('leftovers of a killed process are removed', async () => {
    await save(runPath, 1)
    mkdirSync(inside('tmp.step-2.999'))
    writeFileSync(inside('tmp.step-2.999', 'model.safetensors'), 'half')
    assert.deepEqual(await removeLeftovers(runPath), ['tmp.step-2.999'])
    assert.deepEqual(readdirSync(inside()), ['step-1'])
  })

  describe('resolveCheckpoint', () => {
    it('takes a checkpoint, a run, its checkpoints folder, latest and a Hugging Face folder', async () => {
      await save(runPath, 5)
      const { path } = await save(runPath, 7)
      assert.deepEqual(await resolveCheckpoint(path), { folder: path, kind: 'checkpoint', step: 7, warnings: [] })
      for (const run of [runPath, inside()]) {
        assert.deepEqual(await resolveCheckpoint(run), { folder: path, kind: 'run', step: 7, warnings: [] })
      }
      // Not the link's name: it may be moved while the folder is read.
      const latest = await resolveCheckpoint(join(runPath, 'latest'))
      assert.deepEqual([latest.folder, latest.step], [realpathSync(path), 7])
      const plain = join(runPath, 'plain')
      mkdirSync(plain)
      writeFileSync(join(plain, 'config.json'), '{}')
      assert.deepEqual(await resolveCheckpoint(plain), { folder: plain, kind: 'hugging-face', warnings: [] })
    })

    it('refuses what is not there, not whole or no model, and says what was expected', async () => {
      await assert.rejects(resolveCheckpoint(join(runPath, 'nowhere')), {
        code: 'NOT_FOUND',
        message: /nowhere.*a local folder was expected/,
      })
      await assert.rejects(resolveCheckpoint(runPath), { code: 'BAD_CHECKPOINT', message: /Hugging Face folder/ })
      await assert.rejects(resolveCheckpoint(__filename), { code: 'BAD_CHECKPOINT', message: /is a file/ })
      const { path } = await save(runPath, 5)
      writeFileSync(join(path, 'model.safetensors'), 'torn')
      await assert.rejects(resolveCheckpoint(path), { code: 'BAD_CHECKPOINT', message: /has 4 bytes/ })
      await assert.rejects(resolveCheckpoint(runPath), { code: 'BAD_CHECKPOINT', message: /no whole checkpoint/ })
      assert.ok(existsSync(path))
    })
  })
})
