import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findLibtorch } from '../lib/runtime/index.js'
import { COMMAND_LINE, runCli } from './helpers/cli-process.js'
import { tinyValues, writeSmallCorpus } from './helpers/tiny-recipe.js'

describe('stratabert train and evaluate', function () {
  this.timeout(180_000)
  let folder: string
  let env: NodeJS.ProcessEnv
  const cli = (...args: string[]) => runCli(args, { cwd: folder, env })

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-train-'))
    env = { XDG_CACHE_HOME: join(folder, 'cache'), STRATABERT_LIBTORCH: findLibtorch().tree?.directory }
    writeSmallCorpus(join(folder, 'text.txt'))
    // JSON is YAML; paths are relative to the working folder.
    writeFileSync(
      join(folder, 'tiny.json'),
      JSON.stringify({ extends: 'hierarchical-pretrain', name: 'tiny', ...tinyValues('text.txt') }),
    )
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  it('train --json prints one document on stdout, progress on stderr', async () => {
    const { code, stdout, stderr } = await cli('train', 'tiny.json', '--output', 'run', '--json')
    assert.equal(code, 0, stderr)
    const result = JSON.parse(stdout)
    assert.deepEqual([result.status, result.state.step, result.heldOut.length], ['completed', 6, 4])
    assert.match(stderr, /step 6 /)
    assert.equal(
      JSON.parse(readFileSync(join(folder, 'run/recipe.resolved.json'), 'utf8')).data.corpus,
      join(folder, 'text.txt'),
    )
  })

  it('evaluate gives the same figures, as JSON and with predictions', async () => {
    const { code, stdout, stderr } = await cli(
      'evaluate',
      'run',
      '--json',
      '--device',
      'cpu',
      '--predictions',
      'said.jsonl',
      '--task',
      'nsp',
    )
    assert.equal(code, 0, stderr)
    const [row] = JSON.parse(stdout).rows
    assert.equal(row.head, 'nsp')
    const said = readFileSync(join(folder, 'said.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    assert.equal(said.filter(({ head }) => head === 'nsp').length, row.count)
  })

  it('SIGINT writes a checkpoint and exits with 130; --resume goes on from it', async () => {
    const args = [
      'train',
      'tiny.json',
      '--output',
      'stopped',
      '--set',
      'budget.steps=100000',
      '--set',
      'log.everySteps=1',
    ]
    const child = spawn(process.execPath, [...COMMAND_LINE, ...args], {
      cwd: folder,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    const ended = new Promise<number | null>((done) => child.on('close', done))
    let told = ''
    let sent = false
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      told += text
      if (!sent && /step 3 /.test(told)) sent = child.kill('SIGINT')
    })
    assert.equal(await ended, 130, told)
    const stopped = JSON.parse(readFileSync(join(folder, 'stopped/latest/training-state.json'), 'utf8')).step
    assert.ok(stopped >= 3)
    const goesOn = await cli(
      'train',
      'tiny.json',
      '--output',
      'stopped',
      '--resume',
      '--set',
      `budget.steps=${stopped + 2}`,
      '--json',
    )
    assert.equal(goesOn.code, 0, goesOn.stderr)
    assert.match(goesOn.stderr, new RegExp(`resumed at step ${stopped} `))
    assert.equal(JSON.parse(goesOn.stdout).state.step, stopped + 2)
  })

  it('refuses a folder that holds a run, without touching it', async () => {
    const before = readFileSync(join(folder, 'run/metrics.jsonl'), 'utf8')
    const { code, stderr } = await cli('train', 'tiny.json', '--output', 'run')
    assert.equal(code, 2)
    assert.match(stderr, /^error\[BAD_ARGUMENT\]: .*already holds a run; go on with it \(--resume\)/m)
    assert.equal(readFileSync(join(folder, 'run/metrics.jsonl'), 'utf8'), before)
  })

  const hostile: [string, string | Buffer, RegExp][] = [
    ['an empty file', '', /error\[BAD_FILE\]: .*bad\.txt is empty/],
    ['a binary file', Buffer.from([0, 1, 2, 255, 10, 0]), /error\[BAD_DATA\]: .*bad\.txt/],
    ['invalid UTF-8', Buffer.from('= A =\nFine.\nb\xe9d\n', 'latin1'), /error\[BAD_DATA\]: .*bad\.txt:3/],
    ['nothing but titles', '= A =\n\n= B =\n', /error\[BAD_DATA\]/],
  ]
  for (const [title, content, pattern] of hostile) {
    it(`refuses ${title} and leaves no run folder`, async () => {
      writeFileSync(join(folder, 'bad.txt'), content)
      const { code, stdout, stderr } = await cli('train', 'tiny.json', '--output', 'never', '--data', 'corpus=bad.txt')
      assert.match(stderr, pattern)
      assert.deepEqual([code, stdout, existsSync(join(folder, 'never'))], [2, '', false])
    })
  }
})
