import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { openRunFolder, readResolvedRecipe } from '../lib/training/run-folder.js'

describe('run folder', () => {
  let parent: string
  let path: string
  beforeEach(() => {
    parent = mkdtempSync(join(tmpdir(), 'stratabert-run-'))
    path = join(parent, 'deep', 'run')
  })
  afterEach(() => rmSync(parent, { recursive: true, force: true }))

  it('holds the recipe and what the run was made with', async () => {
    const recipe = { name: 'bert-pretrain', budget: { steps: 10 } }
    const run = await openRunFolder(path, { recipe, environment: { device: 'cpu' } })
    assert.equal(run.resumed, false)
    assert.deepEqual(await readResolvedRecipe(path), recipe)
    const [entry] = JSON.parse(readFileSync(join(path, 'environment.json'), 'utf8'))
    assert.equal(entry.device, 'cpu')
    assert.equal(entry.versions.node, process.versions.node)
    assert.ok(entry.machine.memoryBytes > 1e8)
    assert.ok(entry.command.length >= 1)
    await run.close()
    assert.deepEqual(readdirSync(path).sort(), ['checkpoints', 'environment.json', 'recipe.resolved.json'])
  })

  it('with a run in it is refused without resume, and taken with it', async () => {
    await (await openRunFolder(path, { recipe: {} })).close()
    await assert.rejects(openRunFolder(path), { code: 'BAD_ARGUMENT', message: /already holds a run.*--resume/ })
    mkdirSync(join(path, 'checkpoints', 'tmp.step-3.12345'))
    const run = await openRunFolder(path, { resume: true })
    assert.equal(run.resumed, true)
    assert.deepEqual(run.removedLeftovers, ['tmp.step-3.12345'])
    await run.close()
    assert.equal(JSON.parse(readFileSync(join(path, 'environment.json'), 'utf8')).length, 2)
  })

  it('is locked against a second process, here and in another one', async () => {
    const run = await openRunFolder(path)
    await assert.rejects(openRunFolder(path, { resume: true }), {
      code: 'BAD_ARGUMENT',
      message: /in use by process \d+/,
    })
    const script = `require(${JSON.stringify(resolve(__dirname, '../lib/training/run-folder.ts'))})
      .openRunFolder(${JSON.stringify(path)}, { resume: true }).catch((error) => { console.log(error.message); process.exitCode = 7 })`
    const child = spawn(process.execPath, ['--import=tsx', '-e', script], { cwd: resolve(__dirname, '..') })
    let said = ''
    child.stdout.on('data', (data) => {
      said += data
    })
    const [code] = await once(child, 'close')
    assert.equal(code, 7)
    assert.match(said, new RegExp(`in use by process ${process.pid} on`))
    await run.close()
    await (await openRunFolder(path, { resume: true })).close()
  })

  it('of a process that died is taken over; only one of many gets it', async () => {
    await (await openRunFolder(path)).close()
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'])
    const holder = { id: 'gone', pid: child.pid, host: hostname(), since: 'before' }
    writeFileSync(join(path, '.lock'), JSON.stringify(holder))
    await assert.rejects(openRunFolder(path, { resume: true }), { message: /in use/ })
    child.kill('SIGKILL')
    await once(child, 'close')
    const tries = await Promise.allSettled(Array.from({ length: 8 }, () => openRunFolder(path, { resume: true })))
    const won = tries.filter((result) => result.status === 'fulfilled')
    assert.equal(won.length, 1)
    for (const result of won) await result.value.close()
    assert.ok(!existsSync(join(path, '.lock')))
  })

  it('a reused pid or an untouched lock from elsewhere does not block', async () => {
    await (await openRunFolder(path)).close()
    const lock = join(path, '.lock')
    writeFileSync(lock, JSON.stringify({ id: 'a', pid: process.pid, host: hostname(), processStart: '1', since: '' }))
    await (await openRunFolder(path, { resume: true })).close()
    const elsewhere = JSON.stringify({ id: 'b', pid: 1, host: 'another.example', since: '' })
    writeFileSync(lock, elsewhere)
    await assert.rejects(openRunFolder(path, { resume: true }), { message: /on another.example/ })
    writeFileSync(lock, elsewhere)
    utimesSync(lock, new Date(), new Date(Date.now() - 3600_000))
    await (await openRunFolder(path, { resume: true })).close()
  })

  it('below a file cannot be made: a typed error names it', async () => {
    writeFileSync(join(parent, 'file'), '')
    await assert.rejects(openRunFolder(join(parent, 'file', 'run')), { name: 'StrataError', message: /file/ })
  })
})
