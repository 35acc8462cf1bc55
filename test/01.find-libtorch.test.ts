import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { StrataError } from '../lib/errors.js'
import {
  chooseCudaBuild,
  describeTree,
  type FindOptions,
  findLibtorch,
  inspectTree,
  libtorchNotFound,
  replaceTree,
} from '../lib/runtime/find-libtorch.js'
import { cacheDirectory, libraryProblem } from '../lib/runtime/platform.js'
import { parseTorchVersion, readTreeVersion } from '../lib/runtime/versions.js'
import { fakeTree, temporaryFolder } from './helpers/fake-libtorch.js'

const LINUX = { platform: 'linux', arch: 'x64', musl: false, glibc: '2.36', node: '22.1.0' }
const HERE = `${process.platform}-${process.arch}`

describe('finding libtorch', () => {
  const folder = temporaryFolder()
  const at = (...parts: string[]) => join(folder.path, ...parts)
  const good: Record<string, string> = {}
  const python = at('python3')

  before(() => {
    good.option = fakeTree(at('option'), '2.13.0+cpu')
    good.own = fakeTree(at('own'), '2.12.1+cu130')
    good.shared = fakeTree(at('shared'), '2.11.0', { buildVersion: true })
    good.cache = fakeTree(at('xdg', 'stratabert', 'libtorch', `2.13.0-cpu-${HERE}`, 'torch'), '2.13.0+cu130')
    good.system = fakeTree(at('system'), '2.14.1')
    good.python = fakeTree(at('site', 'torch'), '2.13.0+cu130', { cuda: true })
    writeFileSync(python, `#!/bin/sh\necho ${good.python}\n`, { mode: 0o755 })
  })
  after(() => folder.remove())

  const everything = (): FindOptions => ({
    libtorch: good.option,
    environment: {
      PATH: process.env.PATH,
      STRATABERT_LIBTORCH: good.own,
      LIBTORCH: good.shared,
      LIBTORCH_USE_PYTORCH: '1',
      STRATABERT_PYTHON: python,
      XDG_CACHE_HOME: at('xdg'),
    },
    systemDirectories: [good.system],
  })

  // Each row takes one more place away: what is next in line must be found.
  const order: [string, (options: FindOptions) => void][] = [
    ['option', () => {}],
    ['STRATABERT_LIBTORCH', (o) => delete o.libtorch],
    ['LIBTORCH', (o) => delete o.environment!.STRATABERT_LIBTORCH],
    ['python', (o) => delete o.environment!.LIBTORCH],
    ['cache', (o) => delete o.environment!.LIBTORCH_USE_PYTORCH],
    ['system', (o) => (o.environment!.XDG_CACHE_HOME = at('empty'))],
  ]
  it('asks the places in order and remembers every answer', () => {
    const options = everything()
    for (const [i, [source, takeAway]] of order.entries()) {
      takeAway(options)
      const { tree, attempts } = findLibtorch(options)
      assert.equal(tree?.source, source)
      assert.deepEqual(
        attempts.map((attempt) => attempt.source),
        order.slice(0, i + 1).map(([name]) => name),
      )
      assert.equal(attempts.at(-1)?.problem, null)
      assert.ok(attempts.slice(0, -1).every(({ problem }) => problem))
    }
    options.systemDirectories = []
    assert.equal(findLibtorch(options).tree, null)
  })

  it('stops at an explicit choice that is wrong and goes on after a shared variable that is', () => {
    const wrong = everything()
    delete wrong.libtorch
    wrong.environment!.STRATABERT_LIBTORCH = at('nowhere')
    const stopped = findLibtorch(wrong)
    assert.equal(stopped.tree, null)
    assert.match(
      libtorchNotFound(stopped.attempts).message,
      /nowhere : the folder does not exist[\s\S]*stops at STRATABERT_LIBTORCH/,
    )
    // What is installed elsewhere is not looked at while the wrong choice stands.
    assert.match(
      libtorchNotFound(stopped.attempts, LINUX).message,
      /1\. Correct STRATABERT_LIBTORCH, or unset it: [^\n]*\n {2}2\. Where none is found then, install it[^\n]*\n {2}3\. Or then use Python's/,
    )
    const { attempts } = findLibtorch({ ...wrong, libtorch: at('nowhere') })
    assert.match(
      libtorchNotFound(attempts, LINUX).message,
      /1\. Correct the option 'libtorch', or leave it away: then STRATABERT_LIBTORCH/,
    )
    delete wrong.environment!.STRATABERT_LIBTORCH
    wrong.environment!.LIBTORCH = at('nowhere')
    assert.equal(findLibtorch(wrong).tree?.source, 'python')
  })

  it('reads version and flavour of wheels and zips', () => {
    assert.deepEqual(inspectTree(good.python, 'option'), {
      source: 'option',
      directory: good.python,
      version: '2.13.0+cu130',
      minor: '2.13',
      flavour: 'cuda',
    })
    assert.equal(describeTree({ version: '2.13.0+cu130', flavour: 'cuda' }), '2.13.0+cu130 (cuda)')
    // The CPU part of a CUDA wheel.
    assert.equal(describeTree({ version: '2.13.0+cu130', flavour: 'cpu' }), '2.13.0 (cpu)')
    assert.equal(readTreeVersion(good.shared)?.full, '2.11.0')
    assert.equal(parseTorchVersion('2.14.0a0+git123')?.minor, '2.14')
    assert.equal(parseTorchVersion('nightly'), null)
  })

  const damaged: [string, RegExp, (path: string) => void][] = [
    ['a missing folder', /does not exist/, () => {}],
    ['a file', /is a file/, (path) => writeFileSync(path, '')],
    ['an empty folder', /holds no lib\/libtorch_cpu/, (path) => mkdirSync(path)],
    [
      'a version before the supported ones',
      /is libtorch 2\.10\.1; supported are 2\.11/,
      (path) => fakeTree(path, '2.10.1'),
    ],
    [
      'a version after the supported ones',
      /is libtorch 2\.15\.0\+cu130; supported/,
      (path) => fakeTree(path, '2.15.0+cu130'),
    ],
    ['another major version', /is libtorch 3\.13\.0; supported/, (path) => fakeTree(path, '3.13.0')],
    ['an unreadable version', /version cannot be read/, (path) => fakeTree(path, 'unknown')],
    [
      'a missing libc10',
      /libc10\S* is missing/,
      (path) => {
        mkdirSync(join(path, 'lib'), { recursive: true })
        writeFileSync(join(path, 'lib', 'libtorch_cpu.so'), readBoot())
        writeFileSync(join(path, 'version.py'), `__version__ = '2.13.0'`)
      },
    ],
    [
      'a library cut short',
      /libtorch_cpu\S* is cut short: 20000 bytes/,
      (path) => truncateSync(join(fakeTree(path, '2.13.0'), 'lib', 'libtorch_cpu.so'), 20000),
    ],
    [
      'a library that is a web page',
      /is not a shared library/,
      (path) => writeFileSync(join(fakeTree(path, '2.13.0'), 'lib', 'libc10.so'), '<html>'.repeat(50)),
    ],
  ]
  const readBoot = () => readFileSync(join(good.option, 'lib', 'libc10.so'))
  for (const [i, [name, expected, damage]] of damaged.entries()) {
    it(`refuses ${name} with a reason`, () => {
      const path = at(`damaged-${i}`)
      damage(path)
      const outcome = inspectTree(path, 'option')
      assert.ok(typeof outcome === 'string', 'expected a refusal')
      assert.match(outcome, expected)
    })
  }

  it('goes on behind what cannot be read, and says so', () => {
    const environment = { XDG_CACHE_HOME: at('odd') }
    mkdirSync(at('odd', 'stratabert'), { recursive: true })
    writeFileSync(at('odd', 'stratabert', 'libtorch'), 'no folder')
    const options = { environment, systemDirectories: [good.system] }
    const found = findLibtorch(options)
    assert.equal(found.tree?.source, 'system')
    assert.match(found.attempts.find(({ source }) => source === 'cache')!.problem!, /cannot be read \(ENOTDIR/)
    const tree = fakeTree(at('odd', 'shared'), 'unknown')
    rmSync(join(tree, 'version.py'))
    mkdirSync(join(tree, 'version.py'))
    const behind = findLibtorch({ ...options, environment: { ...environment, LIBTORCH: tree } })
    assert.equal(behind.tree?.source, 'system')
    assert.match(behind.attempts.find(({ source }) => source === 'LIBTORCH')!.problem!, /cannot be read \(EISDIR/)
  })

  it('sees that a library is made for another processor', () => {
    assert.match(
      libraryProblem(join(good.option, 'lib', 'libc10.so'), process.arch === 'x64' ? 'arm64' : 'x64') ?? '',
      /another processor/,
    )
  })

  it('takes the flavour of the device, the default version and versions with an addon first', () => {
    const cache = at('many', 'stratabert', 'libtorch')
    const addons = at('addons')
    mkdirSync(join(addons, 'torch-2.13'), { recursive: true })
    for (const [version, flavour] of [
      ['2.13.0', 'cpu'],
      ['2.13.0', 'cu130'],
      ['2.14.1', 'cpu'],
    ]) {
      fakeTree(join(cache, `${version}-${flavour}-${HERE}`, 'torch'), version, { cuda: flavour === 'cu130' })
    }
    mkdirSync(join(cache, `.2.12.1-cpu-${HERE}.staging-1-x`))
    const environment = { XDG_CACHE_HOME: at('many'), STRATABERT_ADDONS: addons }
    const found = (device: 'cpu' | 'cuda' | 'auto', minor?: string) => {
      const { tree } = findLibtorch({ environment, device, minor, systemDirectories: [] })
      return `${tree?.version} ${tree?.flavour}`
    }
    assert.equal(found('cpu'), '2.13.0 cpu')
    assert.equal(found('cuda'), '2.13.0 cuda')
    assert.equal(found('auto'), '2.13.0 cuda')
    assert.equal(found('cpu', '2.14'), '2.14.1 cpu')
  })

  it('honours XDG_CACHE_HOME, ignores a relative one', () => {
    assert.equal(cacheDirectory({ XDG_CACHE_HOME: '/x' }), '/x/stratabert')
    assert.equal(cacheDirectory({ XDG_CACHE_HOME: 'x', HOME: '/h' }), '/h/.cache/stratabert')
    assert.equal(cacheDirectory({ HOME: '/h' }), '/h/.cache/stratabert')
  })

  it('says what to do, step by step', () => {
    const { attempts } = findLibtorch({
      environment: { XDG_CACHE_HOME: '/nowhere', LIBTORCH: '/gone' },
      systemDirectories: [],
    })
    const error = libtorchNotFound(attempts)
    assert.ok(error instanceof StrataError)
    assert.equal(error.code, 'LIBTORCH_NOT_FOUND')
    assert.equal(error.exitCode, 2)
    assert.equal(
      error.message,
      `no usable libtorch was found; supported are versions 2.11, 2.12, 2.13, 2.14. Looked at:
  - option: not set
  - STRATABERT_LIBTORCH: not set
  - LIBTORCH: /gone : the folder does not exist
  - python: not asked for (LIBTORCH_USE_PYTORCH=1 would)
  - cache: /nowhere/stratabert/libtorch : holds no libtorch
  - system: none of the usual folders exists
What to do:
  1. Install it: npx stratabert libtorch install   (about 540 MB; --flavour cu130 for an NVIDIA GPU)
  2. Or name a libtorch you have: STRATABERT_LIBTORCH=/path/to/libtorch (the folder with lib/ and version.py or build-version)
  3. Or use Python's: LIBTORCH_USE_PYTORCH=1 with torch 2.11 … 2.14 (STRATABERT_PYTHON names the interpreter)
  4. See what was found: npx stratabert doctor`,
    )
  })

  it('says how a tree of each place is made whole', () => {
    const tree = { directory: '/t', version: '2.13.0+cu130', minor: '2.13', flavour: 'cpu' } as const
    assert.match(replaceTree({ ...tree, source: 'cache' }), /libtorch install --force$/)
    assert.match(
      replaceTree({ ...tree, version: '2.12.1', flavour: 'cuda', source: 'cache' }),
      /--force --torch-version 2\.12\.1 --flavour cu130$/,
    )
    for (const source of ['option', 'STRATABERT_LIBTORCH', 'LIBTORCH'] as const)
      assert.match(
        replaceTree({ ...tree, source }),
        new RegExp(`^replace /t, which .*${source === 'option' ? 'libtorch' : source}`),
      )
    assert.match(replaceTree({ ...tree, source: 'python' }), /torch==2\.13\.0; or unset LIBTORCH_USE_PYTORCH/)
    assert.equal(
      chooseCudaBuild({ source: 'cache' }),
      'install the CUDA one: npx stratabert libtorch install --flavour cu130',
    )
    assert.match(chooseCudaBuild({ source: 'LIBTORCH' }), /^name a CUDA build with LIBTORCH, or unset it and npx/)
    assert.match(replaceTree({ ...tree, source: 'system' }), /^replace \/t, or install one that is found before it/)
  })

  it('calls a wrong version of an explicit choice by its code', () => {
    const { attempts } = findLibtorch({ libtorch: at('damaged-3'), environment: {} })
    assert.equal(libtorchNotFound(attempts).code, 'LIBTORCH_VERSION')
  })
})
