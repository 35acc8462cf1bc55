import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { resolveAddon } from '../lib/runtime/boot.js'
import { findLibtorch, type LibtorchTree } from '../lib/runtime/find-libtorch.js'
import { programArguments } from '../lib/runtime/program.js'
import { fakeTree, temporaryFolder } from './helpers/fake-libtorch.js'

interface Outcome {
  code?: string
  message?: string
  device?: string
  resolved?: string
  version?: string
  directory?: string
  cudaProblem?: string | null
  torchVersion?: string
  same?: boolean
  milliseconds?: number
  warnings?: string[]
  trace?: { path: string; problem: string | null }[]
  answers?: { torchVersion: string; directory: string }[]
  details?: { trace?: { path: string; problem: string | null }[] }
}

describe('loading libtorch and the main addon', function () {
  this.timeout(60_000)
  const folder = temporaryFolder()
  let real: LibtorchTree
  before(() => {
    const { tree } = findLibtorch({ device: 'cpu' })
    assert.ok(tree, 'the set-up has put a libtorch in place')
    real = tree
  })
  after(() => folder.remove())

  it('works on the CPU, once a process, with the same answer in four workers', () => {
    const { outcome } = load({ device: 'cpu', workers: 4 })
    assert.equal(outcome.message, undefined)
    assert.equal(outcome.device, 'cpu')
    assert.equal(outcome.resolved, 'cpu')
    assert.equal(outcome.torchVersion, real.minor)
    assert.equal(outcome.same, true)
    assert.equal(outcome.answers?.length, 4)
    for (const answer of outcome.answers!)
      assert.deepEqual(answer, { torchVersion: real.minor, directory: real.directory })
    assert.ok(outcome.milliseconds! < 10_000)
  })

  it('gives workers the libtorch that the process was started with', () => {
    const copy = linkedTree('other', real.version)
    const { outcome } = load({
      device: 'cpu',
      libtorch: copy,
      workers: 2,
      afterwards: { device: 'cpu', libtorch: copy },
    })
    assert.equal(outcome.directory, copy)
    assert.deepEqual(
      outcome.answers?.map(({ directory }) => directory),
      [copy, copy],
    )
  })

  it('refuses device cuda with the whole trace where there is none, and computes on the CPU with auto', function () {
    const auto = load({ device: 'auto' })
    if (auto.outcome.device === 'cuda') this.skip()
    assert.equal(auto.outcome.resolved, 'cpu')
    assert.ok(auto.outcome.cudaProblem)
    const { outcome, status } = load({ device: 'cuda' })
    assert.equal(status, 0)
    assert.equal(outcome.code, 'DEVICE_UNAVAILABLE')
    assert.match(
      outcome.message!,
      /device 'cuda' was asked for[\s\S]*libtorch_cpu\.so: loaded[\s\S]*1\. Check the driver/,
    )
    assert.equal(load({ device: 'cuda:1' }).outcome.code, 'DEVICE_UNAVAILABLE')
  })

  it('warns once, with the reason, when a CUDA build falls back to the CPU', function () {
    if (load({ device: 'auto' }).outcome.device === 'cuda') this.skip()
    const cuda = linkedTree('cuda', real.version)
    // Where a driver is lacking, the CUDA library is not even opened.
    writeFileSync(join(cuda, 'lib', 'libtorch_cuda.so'), '')
    const { outcome } = load({ device: 'auto', libtorch: cuda })
    assert.equal(outcome.device, 'cpu')
    assert.equal(outcome.warnings?.length, 1)
    assert.match(outcome.warnings![0], /^computing on the CPU: .*NVIDIA driver/)
    assert.equal(outcome.trace!.at(-1)!.problem, 'not opened')
    const refused = load({ device: 'cuda', libtorch: cuda }).outcome
    assert.equal(refused.code, 'DEVICE_UNAVAILABLE')
    assert.match(refused.message!, /NVIDIA driver[\s\S]*libtorch_cuda\.so: not opened[\s\S]*1\. Check the driver/)
    // After a first model on the CPU: load-child asks for `auto`, then for `cuda`.
    const later = load({ device: 'cpu', libtorch: cuda, afterwards: { device: 'cuda' } }).outcome
    assert.equal(later.warnings?.length, 1)
    assert.match(later.warnings![0], /^computing on the CPU: the process was started for the CPU/)
    assert.equal(later.code, 'DEVICE_UNAVAILABLE')
    assert.match(later.message!, /the process was started for the CPU[\s\S]*1\. Ask for 'cuda' or 'auto' before/)
    assert.doesNotMatch(later.message!, /nvidia-smi|doctor/)
  })

  it('keeps the loader’s words when a driver is there and the CUDA library is damaged', function () {
    const driver = join(folder.path, 'driver')
    mkdirSync(driver, { recursive: true })
    const source = join(__dirname, 'helpers', 'fake-libcuda.c')
    const { status } = spawnSync('cc', ['-shared', '-fPIC', '-w', '-o', join(driver, 'libcuda.so.1'), source])
    if (status !== 0) this.skip()
    const environment = { LD_LIBRARY_PATH: driver, FAKE_CUDA_VERSION: '13000', FAKE_CUDA_CAPABILITY: '90' }
    const cuda = linkedTree('damaged', real.version)
    writeFileSync(
      join(cuda, 'lib', 'libtorch_cuda.so'),
      'no library at all, but long enough for a header to be read from it ........',
    )
    const { outcome } = load({ device: 'auto', libtorch: cuda }, environment)
    assert.equal(outcome.device, 'cpu')
    assert.equal(outcome.warnings?.length, 1)
    assert.match(outcome.warnings![0], /^computing on the CPU: .*libtorch_cuda\.so/)
    assert.match(outcome.trace!.at(-1)!.problem!, /libtorch_cuda\.so: (invalid ELF header|file too short)/)
    const refused = load({ device: 'cuda', libtorch: cuda }, environment).outcome
    assert.equal(refused.code, 'DEVICE_UNAVAILABLE')
    assert.equal(refused.details?.trace?.length, 2)
  })

  it('refuses a libtorch that no addon was built for', () => {
    const tree = fakeTree(join(folder.path, 'fake'), real.minor === '2.11' ? '2.12.1' : '2.11.0')
    rmSync(join(folder.path, 'addons'), { recursive: true, force: true })
    const { outcome } = load({ device: 'cpu', libtorch: tree }, { STRATABERT_ADDONS: addonsWithBoot() })
    assert.equal(outcome.code, 'ADDON_NOT_FOUND')
    assert.match(outcome.message!, /torch-2\.1\d/)
  })

  it('refuses an addon of another minor version instead of mixing them', () => {
    const other = real.minor === '2.12' ? '2.11' : '2.12'
    const addons = addonsWithBoot()
    mkdirSync(join(addons, `torch-${other}`, 'build', 'Release'), { recursive: true })
    copyFileSync(
      resolveAddon(`torch-${real.minor}`),
      join(addons, `torch-${other}`, 'build', 'Release', 'stratabert.node'),
    )
    const { outcome } = load(
      { device: 'cpu', libtorch: linkedTree('relabelled', `${other}.0`) },
      { STRATABERT_ADDONS: addons },
    )
    assert.equal(outcome.code, 'LIBTORCH_VERSION')
    assert.ok(outcome.message!.includes(`compiled for libtorch ${real.minor}`), outcome.message)
  })

  it('refuses a second libtorch in one process', () => {
    const { outcome } = load({
      device: 'cpu',
      libtorch: linkedTree('first', real.version),
      workerLibtorch: linkedTree('second', real.version),
    })
    assert.equal(outcome.code, 'LIBTORCH_VERSION')
    assert.match(outcome.message!, /this process already uses the libtorch in .*first/)
    // In the thread that loaded the first one, too.
    const [libtorch, second] = ['first', 'second'].map((name) => linkedTree(name, real.version))
    const later = load({ device: 'cpu', libtorch, afterwards: { device: 'cpu', libtorch: second } }).outcome
    assert.equal(later.code, 'LIBTORCH_VERSION')
    assert.match(later.message!, /already uses the libtorch in .*first.*second.* was asked for/)
  })

  it('tries no second libtorch beside one that did not load, and says so', () => {
    const broken = linkedTree('broken', real.version)
    rmSync(join(broken, 'lib', 'libtorch_cpu.so'))
    // An ELF file that the loader refuses.
    symlinkSync(process.execPath, join(broken, 'lib', 'libtorch_cpu.so'))
    const { outcome } = load({ device: 'cpu', failing: broken, libtorch: linkedTree('whole', real.version) })
    assert.match(
      outcome.warnings![0],
      /broken.* cannot be loaded: .*executable[\s\S]*1\. Replace .*broken.*the option 'libtorch' names/,
    )
    assert.equal(outcome.code, 'LIBTORCH_VERSION')
    assert.match(outcome.message!, /could not load the libtorch in .*broken.*start another process/)
  })

  it('never dies of a library that was cut short', () => {
    const cut = linkedTree('cut', real.version)
    rmSync(join(cut, 'lib', 'libc10.so'))
    copyFileSync(join(real.directory, 'lib', 'libc10.so'), join(cut, 'lib', 'libc10.so'))
    truncateSync(join(cut, 'lib', 'libc10.so'), 500_000)
    const { outcome, signal } = load({ device: 'cpu', libtorch: cut })
    assert.equal(signal, null)
    assert.equal(outcome.code, 'LIBTORCH_NOT_FOUND')
    assert.match(outcome.message!, /libc10\.so is cut short: 500000 bytes/)
  })

  it('refuses a device that does not exist by name', () => {
    const { outcome } = load({ device: 'tpu' })
    assert.equal(outcome.code, 'BAD_ARGUMENT')
    assert.match(outcome.message!, /'tpu' is unknown; expected cpu, cuda, cuda:<index> or auto/)
  })

  /** A folder that says `version` and holds links to the real libraries (and to the nvidia folder beside them). */
  function linkedTree(name: string, version: string): string {
    const directory = join(folder.path, name, 'torch')
    rmSync(join(folder.path, name), { recursive: true, force: true })
    mkdirSync(join(directory, 'lib'), { recursive: true })
    for (const file of readdirSync(join(real.directory, 'lib'))) {
      if (/^lib(torch_cpu|c10|gomp)\./.test(file))
        symlinkSync(join(real.directory, 'lib', file), join(directory, 'lib', file))
    }
    const nvidia = join(real.directory, '..', 'nvidia')
    if (existsSync(nvidia)) symlinkSync(nvidia, join(folder.path, name, 'nvidia'))
    writeFileSync(join(directory, 'version.py'), `__version__ = '${version}'\n`)
    return directory
  }

  function addonsWithBoot(): string {
    const addons = join(folder.path, 'addons')
    rmSync(addons, { recursive: true, force: true })
    cpSync(resolveAddon('boot'), join(addons, 'boot', 'build', 'Release', 'stratabert_boot.node'))
    return addons
  }

  function load(
    options: object,
    environment: Record<string, string> = {},
  ): { outcome: Outcome; status: number | null; signal: string | null } {
    const args = [...programArguments(join(__dirname, 'helpers'), 'load-child'), JSON.stringify(options)]
    const result = spawnSync(process.execPath, args, { encoding: 'utf8', env: { ...process.env, ...environment } })
    const line = result.stdout.trim().split('\n').pop() ?? ''
    assert.ok(line.startsWith('{'), `no answer: ${result.stderr}`)
    return { outcome: JSON.parse(line), status: result.status, signal: result.signal }
  }
})
