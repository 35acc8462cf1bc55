import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { resolveAddon } from '../lib/runtime/boot.js'
import { findLibtorch } from '../lib/runtime/find-libtorch.js'
import { type InstallOptions, installLibtorch, officialZipUrl } from '../lib/runtime/install-libtorch.js'
import { libtorchManifest } from '../lib/runtime/libtorch-manifest.js'
import { isNeeded, type LibtorchManifest, selectBuild } from '../lib/runtime/manifest.js'
import { tagOptions } from '../lib/runtime/pip-download.js'
import { programArguments } from '../lib/runtime/program.js'
import { SUPPORTED_MINORS } from '../lib/runtime/versions.js'
import { fakeWheels, temporaryFolder, zipBytes } from './helpers/fake-libtorch.js'
import { refuses } from './helpers/refuses.js'

describe('fetching libtorch', function () {
  this.timeout(120_000)
  const folder = temporaryFolder()
  const at = (...parts: string[]) => join(folder.path, ...parts)
  let manifest: LibtorchManifest
  let environment: Record<string, string | undefined>
  let options: (directory: string, more?: InstallOptions) => InstallOptions

  before(() => {
    manifest = fakeWheels(at('wheels'))
    // pip takes the wheels from a folder: everything but the network is the real way.
    environment = {
      ...process.env,
      PIP_NO_INDEX: '1',
      PIP_FIND_LINKS: at('wheels'),
      PIP_CONFIG_FILE: '/dev/null',
      XDG_CACHE_HOME: at('cache'),
    }
    options = (directory, more = {}) => ({ manifest, environment, directory: at(directory), ...more })
  })
  after(() => folder.remove())

  /** Puts the wheels where a broken-off download of `name` would have left them: no pip is needed then. */
  function downloadBefore(name: string): void {
    cpSync(at('wheels'), at(`.${name}.downloads`), { recursive: true })
  }

  it('downloads through pip, verifies, unpacks only what is needed and leaves nothing else behind', async () => {
    const steps: string[] = []
    const { tree, installed } = await installLibtorch({
      manifest,
      environment,
      onProgress: ({ step }) => steps.push(step),
    })
    assert.equal(installed, true)
    assert.equal(tree.version, '2.13.0+cu130')
    assert.equal(tree.flavour, 'cpu')
    const cache = at('cache', 'stratabert', 'libtorch')
    const name = `2.13.0-cpu-${process.platform}-${process.arch}`
    assert.deepEqual(readdirSync(cache), [name])
    const files = (readdirSync(join(cache, name), { recursive: true }) as string[]).filter((file) =>
      statSync(join(cache, name, file)).isFile(),
    )
    assert.deepEqual(files.sort(), [
      'nvidia/cu13/lib/libcudart.so.13',
      'stratabert-libtorch.json',
      'torch/include/ATen/ATen.h',
      'torch/lib/libc10.so',
      'torch/lib/libgomp.so.1',
      'torch/lib/libtorch_cpu.so',
      'torch/version.py',
    ])
    assert.deepEqual(readFileSync(join(cache, name, 'torch/lib/libc10.so')), readFileSync(resolveAddon('boot')))
    assert.ok(steps.includes('downloading torch 2.13.0') && steps.includes('unpacking torch'))
    assert.equal(findLibtorch({ environment: { XDG_CACHE_HOME: at('cache') } }).tree?.directory, tree.directory)
  })

  it('does nothing the second time, and replaces a damaged copy or one that is forced', async () => {
    downloadBefore('again')
    const noNetwork = options('again', { environment: { PATH: '' } })
    assert.equal((await installLibtorch(noNetwork)).installed, true)
    assert.equal((await installLibtorch(noNetwork)).installed, false)
    downloadBefore('again')
    assert.equal((await installLibtorch({ ...noNetwork, force: true })).installed, true)
    truncateSync(at('again', 'torch', 'lib', 'libtorch_cpu.so'), 10_000)
    downloadBefore('again')
    const { installed, tree } = await installLibtorch(noNetwork)
    assert.equal(installed, true)
    assert.equal(statSync(join(tree.directory, 'lib', 'libtorch_cpu.so')).size, statSync(resolveAddon('boot')).size)
  })

  it('refuses a wheel with other content than pinned, and keeps no trace of it', async () => {
    const file = Object.keys(manifest.wheels)[0]
    renameSync(at('wheels', file), at('kept'))
    writeFileSync(at('wheels', file), Buffer.concat([readFileSync(at('kept'))]))
    appendFileSync(at('wheels', file), 'x')
    try {
      await assert.rejects(installLibtorch(options('changed')), (error: Error & { code: string }) => {
        assert.equal(error.code, 'HASH_MISMATCH')
        assert.ok(error.message.includes(manifest.wheels[file].sha256))
        return true
      })
      assert.equal(existsSync(at('changed')), false)
    } finally {
      renameSync(at('kept'), at('wheels', file))
    }
  })

  it('does not download again what arrived whole before something failed', async () => {
    const [first, second] = Object.keys(manifest.wheels)
    renameSync(at('wheels', second), at('kept'))
    await assert.rejects(installLibtorch(options('resumed')), { code: 'FETCH_FAILED' })
    assert.ok(existsSync(at('.resumed.downloads', first)))
    renameSync(at('kept'), at('wheels', second))
    const steps = new Set<string>()
    const { installed } = await installLibtorch(options('resumed', { onProgress: ({ step }) => steps.add(step) }))
    assert.equal(installed, true)
    assert.deepEqual(
      [...steps].filter((step) => step.startsWith('downloading')),
      ['downloading nvidia-cuda-runtime 13.0.96'],
    )
    assert.equal(existsSync(at('.resumed.downloads')), false)
  })

  it('explains a missing Python and a package that no index has', async () => {
    const noPython = options('no-python', { environment: { ...environment, STRATABERT_PYTHON: at('no-such-python') } })
    await assert.rejects(installLibtorch(noPython), {
      code: 'FETCH_FAILED',
      message: /no-such-python[\s\S]*1\. Python with pip is needed[\s\S]*2\. [\s\S]*3\. /,
    })
    const emptyIndex = options('empty-index', { environment: { ...environment, PIP_FIND_LINKS: at('cache') } })
    await assert.rejects(installLibtorch(emptyIndex), { code: 'FETCH_FAILED', message: /No matching distribution/ })
  })

  it('asks twice, not more often, for a wheel whose content is another', async () => {
    const calls = at('calls')
    const python = at('pip-of-another-build')
    const words = 'ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.'
    writeFileSync(python, `#!/bin/sh\necho call >> ${calls}\necho '${words}' >&2\nexit 1\n`, { mode: 0o755 })
    const mirror = options('mirror', { environment: { ...environment, STRATABERT_PYTHON: python } })
    await assert.rejects(installLibtorch(mirror), { code: 'HASH_MISMATCH', message: /DO NOT MATCH/ })
    assert.equal(readFileSync(calls, 'utf8'), 'call\ncall\n')
  })

  it('refuses a folder with files of somebody else, and a target that cannot be written', async () => {
    downloadBefore('theirs')
    mkdirSync(at('theirs'))
    writeFileSync(at('theirs', 'thesis.txt'), 'years of work')
    const steps: string[] = []
    await assert.rejects(installLibtorch(options('theirs', { onProgress: ({ step }) => steps.push(step) })), {
      code: 'BAD_ARGUMENT',
      message: /files that are not ours/,
    })
    assert.deepEqual(steps, [], 'refused before anything is downloaded or unpacked')
    assert.equal(readFileSync(at('theirs', 'thesis.txt'), 'utf8'), 'years of work')
    writeFileSync(at('file'), '')
    await assert.rejects(installLibtorch(options('file/below')), { code: 'IO_ERROR', message: /--dir/ })
    await assert.rejects(installLibtorch(options('', { directory: '/proc/stratabert' })), { name: 'StrataError' })
  })

  it('names the builds that exist when another one is asked for', async () => {
    await assert.rejects(installLibtorch(options('x', { version: '2.9.0' })), {
      code: 'UNSUPPORTED',
      message: /expected one of: 2\.13\.0 cpu/,
    })
    await assert.rejects(installLibtorch(options('x', { flavour: 'cu130' })), { code: 'UNSUPPORTED' })
    assert.throws(() => selectBuild(libtorchManifest, '2.13.0', 'cpu', 'sunos-sparc'), {
      message: /none for this platform/,
    })
  })

  it('two processes at once end with one good copy', async () => {
    const list = at('manifest.json')
    writeFileSync(list, JSON.stringify(manifest))
    const target = at('race', 'libtorch')
    const outcomes = await Promise.all(Array.from({ length: 2 }, () => runChild([list, target])))
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      [0, 0],
    )
    const answers = outcomes.map(({ stdout }) => JSON.parse(stdout))
    assert.deepEqual(answers.map(({ installed }) => installed).sort(), [false, true])
    assert.ok(
      answers.find(({ installed }) => !installed).steps.some((step: string) => step.startsWith('waiting for process')),
    )
    assert.deepEqual(readdirSync(at('race')), ['libtorch'])
    assert.equal(readFileSync(join(target, 'torch/lib/libc10.so')).length, statSync(resolveAddon('boot')).size)
  })

  it('takes the lock of a process that died, and clears what it left', async () => {
    const dead = spawn(process.execPath, ['-e', ''])
    await new Promise((resolve) => dead.on('close', resolve))
    downloadBefore('left')
    writeFileSync(at('.left.lock'), `${dead.pid} ${hostname()} 1`)
    mkdirSync(at('.left.staging-1-abc', 'torch'), { recursive: true })
    assert.equal((await installLibtorch(options('left'))).installed, true)
    downloadBefore('left')
    writeFileSync(at('.left.lock'), '1 another-machine 1')
    utimesSync(at('.left.lock'), new Date(0), new Date(0))
    assert.equal((await installLibtorch(options('left', { force: true }))).installed, true)
    assert.deepEqual(
      readdirSync(folder.path).filter((name) => name.startsWith('.left')),
      [],
    )
  })

  it('refuses a lock that cannot be read instead of waiting for ever', async () => {
    mkdirSync(at('.locked.lock'))
    await assert.rejects(installLibtorch(options('locked')), refuses('BAD_FILE', '.locked.lock', 'whose lock'))
  })

  it('is whole after kill -9 in the middle and a second run', async () => {
    const list = at('manifest.json')
    writeFileSync(list, JSON.stringify(manifest))
    const target = at('killed', 'libtorch')
    for (const afterMs of [300, 900, 1500]) {
      await runChild([list, target], afterMs)
      assert.ok(!existsSync(target) || existsSync(join(target, 'torch', 'version.py')), 'never half a folder')
      rmSync(target, { recursive: true, force: true })
    }
    const { status, stdout } = await runChild([list, target])
    assert.equal(status, 0, stdout)
    assert.deepEqual(readdirSync(at('killed')), ['libtorch'])
  })

  describe('from a zip', () => {
    const zip = () => at('libtorch.zip')
    const hash = () => createHash('sha256').update(readFileSync(zip())).digest('hex')
    before(() => {
      const library = readFileSync(resolveAddon('boot'))
      const files = {
        'libtorch/build-version': '2.13.0+cpu\n',
        'libtorch/lib/libtorch_cpu.so': library,
        'libtorch/lib/libc10.so': library,
        'libtorch/lib/libprotobuf.a': 'static',
        'libtorch/share/x': 'x',
      }
      writeFileSync(zip(), zipBytes(files))
    })

    it('is used only with the hash that the user passes', async () => {
      await assert.rejects(installLibtorch(options('zip', { zip: zip() })), {
        code: 'BAD_ARGUMENT',
        message: /--sha256/,
      })
      await assert.rejects(installLibtorch(options('zip', { zip: 'official' })), { code: 'BAD_ARGUMENT' })
      await assert.rejects(installLibtorch(options('zip', { zip: zip(), sha256: 'ab'.repeat(32) })), {
        code: 'HASH_MISMATCH',
      })
      await assert.rejects(
        installLibtorch(options('zip', { zip: zip(), sha256: hash(), version: '2.13' })),
        refuses('BAD_ARGUMENT', "version '2.13'", 'full version'),
      )
      assert.equal(existsSync(at('zip')), false)
      const { tree } = await installLibtorch(options('zip', { zip: zip(), sha256: hash().toUpperCase() }))
      assert.equal(tree.directory, at('zip', 'libtorch'))
      assert.equal(tree.version, '2.13.0+cpu')
      assert.deepEqual(readdirSync(tree.directory).sort(), ['build-version', 'lib'])
      assert.deepEqual(readdirSync(join(tree.directory, 'lib')).sort(), ['libc10.so', 'libtorch_cpu.so'])
    })

    it('of another version, cut short or with a climbing path is refused', async () => {
      await assert.rejects(installLibtorch(options('zip2', { zip: zip(), sha256: hash(), version: '2.12.1' })), {
        code: 'BAD_FILE',
        message: /is libtorch 2\.13\.0/,
      })
      truncateSync(zip(), statSync(zip()).size - 40)
      await assert.rejects(installLibtorch(options('zip2', { zip: zip(), sha256: hash() })), { code: 'BAD_FILE' })
      writeFileSync(zip(), zipBytes({ '../../climbed': 'x', 'libtorch/lib/../../../climbed.so': 'x' }))
      await assert.rejects(installLibtorch(options('zip2', { zip: zip(), sha256: hash() })), { code: 'BAD_FILE' })
      assert.equal(existsSync(at('zip2')), false)
      await assert.rejects(installLibtorch(options('zip2', { zip: at('gone.zip'), sha256: hash() })), {
        code: 'NOT_FOUND',
      })
    })

    it('has the address of PyTorch’s own site', () => {
      assert.match(
        officialZipUrl('2.13.0', 'cpu'),
        /^https:\/\/download\.pytorch\.org\/libtorch\/cpu\/.*2\.13\.0%2Bcpu\.zip$/,
      )
    })
  })

  describe('the pinned manifest', () => {
    it('has both flavours of every supported version, each wheel with bytes and hash', () => {
      for (const minor of SUPPORTED_MINORS) {
        for (const flavour of ['cpu', 'cu130']) {
          const build = selectBuild(libtorchManifest, minor, flavour, 'linux-x64')
          assert.equal(libtorchManifest.wheels[build.wheels[0]].name, 'torch')
          assert.equal(build.wheels.length, flavour === 'cpu' ? 3 : 16)
        }
      }
      for (const [file, { bytes, sha256 }] of Object.entries(libtorchManifest.wheels)) {
        assert.match(sha256, /^[0-9a-f]{64}$/, file)
        assert.ok(bytes > 10_000, file)
      }
    })

    it('asks pip for exactly the tags of the file', () => {
      assert.deepEqual(tagOptions('x-1-cp311-cp311-manylinux_2_28_x86_64.whl'), [
        '--only-binary=:all:',
        '--implementation',
        'cp',
        '--abi',
        'cp311',
        '--python-version',
        '3.11',
        '--platform',
        'manylinux_2_28_x86_64',
      ])
      assert.deepEqual(tagOptions('x-1-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl').slice(-4), [
        '--platform',
        'manylinux2014_x86_64',
        '--platform',
        'manylinux_2_17_x86_64',
      ])
    })

    it('unpacks what the flavour needs', () => {
      const cpu = [
        'torch/lib/libtorch_cpu.so',
        'torch/lib/libgomp.so.1',
        'nvidia/cu13/lib/libcupti.so.13',
        'torch/include/c10/core/Device.h',
        'torch/version.py',
      ]
      const cuda = [
        'torch/lib/libtorch_cuda.so',
        'torch/lib/libtorch_cuda_linalg.so',
        'nvidia/cudnn/lib/libcudnn_ops.so.9',
        'nvidia/cu13/lib/libcublasLt.so.13',
      ]
      const never = [
        'torch/lib/libtorch_python.so',
        'torch/nn/modules.py',
        'nvidia/cu13/lib/libnvrtc.alt.so.13',
        'torch/bin/protoc',
        'nvidia/cu13/include/cuda.h',
      ]
      for (const path of [...cpu, ...cuda]) assert.equal(isNeeded(path, 'cu130'), true, path)
      for (const path of cpu) assert.equal(isNeeded(path, 'cpu'), true, path)
      for (const path of [...cuda, ...never]) assert.equal(isNeeded(path, 'cpu'), false, path)
      for (const path of never) assert.equal(isNeeded(path, 'cu130'), false, path)
    })
  })

  function runChild(args: string[], killAfterMs?: number): Promise<{ status: number | null; stdout: string }> {
    return new Promise((resolve) => {
      const child = spawn(
        process.execPath,
        [...programArguments(join(__dirname, 'helpers'), 'install-child'), ...args],
        {
          env: environment as NodeJS.ProcessEnv,
          stdio: ['ignore', 'pipe', 'inherit'],
        },
      )
      let stdout = ''
      child.stdout.on('data', (chunk: Buffer) => {
        stdout += chunk
      })
      child.on('close', (status) => resolve({ status, stdout }))
      if (killAfterMs !== undefined) setTimeout(() => child.kill('SIGKILL'), killAfterMs)
    })
  }
})
