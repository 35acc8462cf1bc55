/** Where results go that a user names a file for: plain files, links, pipes, devices, open files. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { replaceOutput, writeOutput } from '../lib/output-file.js'
import { writePackedOutput } from '../lib/packed-output.js'
import { replaceFile } from '../lib/training/index.js'

describe('Files that are named for results', () => {
  let folder: string
  let path: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-output-'))
    path = join(folder, 'out')
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  const write = (to: string, ...texts: string[]) =>
    writeOutput(to, 'write the words', async (put) => {
      for (const text of texts) await put(text)
      return texts.length
    })

  it('appear when they are whole, written beside their place by this process alone', async () => {
    writeFileSync(path, 'before')
    chmodSync(path, 0o600)
    await writeOutput(path, 'write the words', async (put) => {
      await put('after '.repeat(50_000))
      assert.equal(readFileSync(path, 'utf8'), 'before')
      assert.deepEqual(readdirSync(folder).sort(), ['out', `out.${process.pid}.part`])
    })
    assert.equal(readFileSync(path, 'utf8'), 'after '.repeat(50_000))
    if (process.platform !== 'win32') assert.equal(statSync(path).mode & 0o777, 0o600)
    assert.deepEqual(readdirSync(folder), ['out'])
    assert.equal(await write(join(folder, 'new'), 'a', 'b'), 2)
    assert.equal(readFileSync(join(folder, 'new'), 'utf8'), 'ab')
  })

  it('stay as they were when the work fails', async () => {
    writeFileSync(path, 'before')
    const work = writeOutput(path, 'write the words', async (put) => {
      await put('half')
      throw new Error('no more words')
    })
    await assert.rejects(work, { message: 'no more words' })
    assert.equal(readFileSync(path, 'utf8'), 'before')
    assert.deepEqual(readdirSync(folder), ['out'])
  })

  it('are gzipped if their name ends in .gz, and as whole as others', async () => {
    const packed = join(folder, 'out.txt.GZ')
    const texts = Array.from({ length: 300 }, (_, line) => `${line} ${Math.sin(line)} `.repeat(200))
    const count = await writePackedOutput(packed, 'write the words', async (put) => {
      for (const text of texts) await put(text)
      return texts.length
    })
    assert.equal(count, 300)
    assert.equal(gunzipSync(readFileSync(packed)).toString(), texts.join(''))
    const failing = writePackedOutput(packed, 'write the words', async (put) => {
      await put('half')
      throw new Error('no more words')
    })
    await assert.rejects(failing, { message: 'no more words' })
    assert.equal(gunzipSync(readFileSync(packed)).toString(), texts.join(''))
    await writePackedOutput(path, 'write the words', (put) => put('plain'))
    assert.equal(readFileSync(path, 'utf8'), 'plain')
    assert.deepEqual(readdirSync(folder), ['out', 'out.txt.GZ'])
  })

  it('that cannot be opened are refused by code', async () => {
    await assert.rejects(write(join(folder, 'no', 'out'), 'a'), { code: 'NOT_FOUND', message: /write the words: .*no/ })
    await assert.rejects(write(folder, 'a'), { code: 'BAD_FILE', message: /is a folder/ })
    const ring = join(folder, 'ring')
    symlinkSync('ring', ring)
    await assert.rejects(write(ring, 'a'), { code: 'IO_ERROR' })
  })

  it('links stay links: what they lead to is replaced, or made', async () => {
    mkdirSync(join(folder, 'far'))
    const target = join(folder, 'far', 'target')
    writeFileSync(target, 'before')
    symlinkSync(join('far', 'target'), join(folder, 'first'))
    symlinkSync('first', path)
    await writeOutput(path, 'write the words', async (put) => {
      await put('after')
      assert.deepEqual(readdirSync(join(folder, 'far')).sort(), ['target', `target.${process.pid}.part`])
    })
    assert.equal(readFileSync(target, 'utf8'), 'after')
    for (const replace of [replaceOutput, replaceFile]) {
      await replace(path, replace.name)
      assert.equal(readFileSync(target, 'utf8'), replace.name)
    }
    rmSync(target)
    await write(path, 'made')
    assert.equal(readFileSync(target, 'utf8'), 'made')
    assert.ok(lstatSync(path).isSymbolicLink() && lstatSync(join(folder, 'first')).isSymbolicLink())
    assert.deepEqual(readdirSync(join(folder, 'far')), ['target'])
  })

  describe('pipes, devices and open files', () => {
    before(function () {
      if (process.platform === 'win32') this.skip()
    })

    it('a pipe is written straight', async () => {
      execFileSync('mkfifo', [path])
      const text = 'word '.repeat(100_000)
      const [read] = await Promise.all([readFile(path, 'utf8'), write(path, text, 'end')])
      assert.equal(read, `${text}end`)
      const [again] = await Promise.all([readFile(path, 'utf8'), replaceOutput(path, 'whole')])
      assert.equal(again, 'whole')
      assert.ok(lstatSync(path).isFIFO())
      assert.deepEqual(readdirSync(folder), ['out'])
    })

    it('a device is written straight', async function () {
      try {
        execFileSync('mknod', [path, 'c', '1', '3'], { stdio: 'ignore' })
        closeSync(openSync(path, 'r+'))
      } catch {
        return this.skip() // making a device needs root
      }
      await write(path, 'nothing')
      await replaceOutput(path, 'nothing')
      assert.ok(lstatSync(path).isCharacterDevice())
      assert.deepEqual(readdirSync(folder), ['out'])
    })

    it('a name of an open file goes on where that stands, and leaves it open', async function () {
      if (process.platform !== 'linux') this.skip()
      writeFileSync(path, 'before ')
      const descriptor = openSync(path, 'a')
      try {
        symlinkSync(`/dev/fd/${descriptor}`, join(folder, 'link'))
        await write(join(folder, 'link'), 'and ')
        await replaceOutput(`/proc/self/fd/${descriptor}`, 'after')
      } finally {
        closeSync(descriptor)
      }
      assert.equal(readFileSync(path, 'utf8'), 'before and after')
    })

    it('a device that is full gives DISK_FULL for what is gzipped, too', async function () {
      if (process.platform !== 'linux') this.skip()
      symlinkSync('/dev/full', join(folder, 'full.gz'))
      const endless = writePackedOutput(join(folder, 'full.gz'), 'write the words', async (put) => {
        for (let line = 0; ; line++) await put(`${Math.sin(line)} `.repeat(500))
      })
      await assert.rejects(endless, { code: 'DISK_FULL' })
    })

    it('a device that is full gives DISK_FULL, whoever waits for it, and aborts the work', async function () {
      if (process.platform !== 'linux') this.skip()
      let signal: AbortSignal | undefined
      const work = writeOutput('/dev/full', 'write the words', async (put, aborted) => {
        signal = aborted
        const later = put('word '.repeat(100_000))
        await new Promise((done) => aborted.addEventListener('abort', done))
        await later
      })
      await assert.rejects(work, {
        code: 'DISK_FULL',
        message: /^cannot write the words: no space left for \/dev\/full/,
      })
      assert.equal(signal?.aborted, true)
      await assert.rejects(replaceOutput('/dev/full', 'word'), { code: 'ENOSPC' })
    })
  })
})
