import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type BootAddon, loadBoot, resolveAddon } from '../lib/runtime/boot.js'
import { findLibtorch, spawnWorker } from '../lib/runtime/index.js'
import { temporaryFolder } from './helpers/fake-libtorch.js'

describe('boot addon', () => {
  const folder = temporaryFolder()
  const file = join(folder.path, 'bytes')
  let boot: BootAddon
  before(() => {
    writeFileSync(file, Buffer.from([1, 2, 3, 4, 5]))
    boot = loadBoot()
  })
  after(() => folder.remove())

  it('bounds what libtorch keeps of prepared products, unless the user has set it', () => {
    const code =
      'require(process.argv[1]); console.log(process.env.LRU_CACHE_CAPACITY, process.env.ONEDNN_PRIMITIVE_CACHE_CAPACITY)'
    const kept = (set: NodeJS.ProcessEnv) => {
      const { LRU_CACHE_CAPACITY: _, ONEDNN_PRIMITIVE_CACHE_CAPACITY: __, ...others } = process.env
      const env = { ...others, ...set }
      return execFileSync(process.execPath, ['-e', code, resolveAddon('boot')], { env, encoding: 'utf8' }).trim()
    }
    assert.equal(kept({}), '256 256')
    assert.equal(kept({ LRU_CACHE_CAPACITY: '17' }), '17 256')
  })

  it('opens a library and returns the words of the loader when it cannot', () => {
    assert.equal(boot.open(resolveAddon('boot')), null)
    assert.match(boot.open('/nowhere/libx.so') ?? '', /libx\.so: cannot open shared object file/)
    writeFileSync(join(folder.path, 'short.so'), 'x')
    assert.match(boot.open(join(folder.path, 'short.so')) ?? '', /file too short/)
  })

  it('maps a file; what is written to the map never reaches the file', () => {
    const bytes = new Uint8Array(boot.mapFile(file))
    assert.deepEqual([...bytes], [1, 2, 3, 4, 5])
    bytes.fill(9)
    assert.deepEqual([...bytes], [9, 9, 9, 9, 9])
    assert.deepEqual([...readFileSync(file)], [1, 2, 3, 4, 5])
    assert.deepEqual([...new Uint8Array(boot.mapFile(file))], [1, 2, 3, 4, 5])
  })

  it('maps without reading: a sparse file of 3 GB costs no memory', () => {
    const sparse = join(folder.path, 'sparse')
    execFileSync('truncate', ['--size', '3G', sparse])
    const before = process.memoryUsage.rss()
    const bytes = new Uint8Array(boot.mapFile(sparse))
    assert.equal(bytes.length, 3 * 2 ** 30)
    assert.equal(bytes[bytes.length - 1], 0)
    assert.ok(process.memoryUsage.rss() - before < 100e6)
  })

  it('gives an empty buffer for an empty file', () => {
    writeFileSync(join(folder.path, 'empty'), '')
    assert.equal(boot.mapFile(join(folder.path, 'empty')).byteLength, 0)
  })

  const refused: [string, () => unknown, { code?: string; message?: RegExp; name?: string }][] = [
    ['a missing file', () => boot.mapFile('/nowhere/x'), { code: 'ENOENT' }],
    ['a folder', () => boot.mapFile(folder.path), { code: 'EISDIR' }],
    ['a device', () => boot.mapFile('/dev/null'), { code: 'EINVAL' }],
    ['a path with a NUL', () => boot.mapFile(`${file}\0x`), { message: /NUL/ }],
    ['no path', () => (boot.mapFile as () => unknown)(), { name: 'TypeError' }],
    ['a missing folder to sync', () => boot.syncDirectory('/nowhere'), { code: 'ENOENT' }],
    ['a file to sync as a folder', () => boot.syncDirectory(file), { code: 'ENOTDIR' }],
  ]
  for (const [name, call, expected] of refused) {
    it(`refuses ${name} as node:fs would`, () => assert.throws(call, expected))
  }

  it('syncs a folder, also one without write permission', () => {
    const readOnly = join(folder.path, 'read-only')
    mkdirSync(readOnly)
    chmodSync(readOnly, 0o555)
    assert.equal(boot.syncDirectory(readOnly), undefined)
  })

  it('frees its maps', async () => {
    const large = join(folder.path, 'large')
    writeFileSync(large, Buffer.alloc(8e6))
    const before = mapsOf(large)
    for (let i = 0; i < 200; i++) boot.mapFile(large)
    for (let i = 0; i < 20 && mapsOf(large) > before + 20; i++) {
      // Garbage makes the collector run; finalizers need the event loop.
      for (let k = 0; k < 50; k++) new ArrayBuffer(4e6)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    assert.ok(mapsOf(large) <= before + 20, `${mapsOf(large)} maps are left`)
  })

  it('works in four worker threads at once and beside the main thread', async () => {
    const library = resolveAddon('boot')
    // The process keeps what is claimed first: it must be a folder that the tests after this one can use.
    const claim = boot.claim(findLibtorch({ device: 'cpu' }).tree!.directory)
    const workers = Array.from({ length: 4 }, (_, i) =>
      spawnWorker(join(__dirname, 'helpers'), 'boot-worker', {
        workerData: { library, file, claim: `/claim/${i}` },
      }),
    )
    const answers = await Promise.all(workers.map(async (worker) => (await once(worker, 'message'))[0]))
    await Promise.all(workers.map((worker) => worker.terminate()))
    for (const answer of answers) {
      assert.equal(answer.opened, null)
      assert.equal(answer.length, 5)
      assert.equal(answer.second, 2)
      assert.equal(answer.claimed, claim, 'one folder a process')
    }
    assert.deepEqual([...readFileSync(file)], [1, 2, 3, 4, 5])
  })

  function mapsOf(path: string): number {
    return readFileSync('/proc/self/maps', 'utf8')
      .split('\n')
      .filter((line) => line.endsWith(path)).length
  }
})
