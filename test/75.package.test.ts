import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { addonMinors, resolveAddon } from '../lib/runtime/boot.js'
import { CUDA_KERNELS } from '../lib/runtime/cuda-kernels.js'
import { type CudaFacts, cudaProblem } from '../lib/runtime/cuda-problem.js'
import { fetchFile } from '../lib/runtime/fetch-file.js'
import { libtorchNotFound } from '../lib/runtime/find-libtorch.js'
import { installLibtorch } from '../lib/runtime/install-libtorch.js'
import { type InstallPlan, planInstall } from '../lib/runtime/install-plan.js'
import type { LibtorchManifest } from '../lib/runtime/manifest.js'
import { libraryFile } from '../lib/runtime/platform.js'
import {
  addonLoadProblem,
  addonMissing,
  nodeProblem,
  type SystemFacts,
  systemProblem,
} from '../lib/runtime/system-problem.js'
import { SUPPORTED_MINORS } from '../lib/runtime/versions.js'
import { needsProblems } from '../scripts/addon-needs.js'
import { nativeSourcesHash, staleAddons, stampAddon } from '../scripts/addon-sources.js'
import { compareVersions, elfNeeds } from '../scripts/elf.js'
import { nativeTestFiles } from '../scripts/test-sanitize.js'
import { fakeWheels, temporaryFolder, zipBytes } from './helpers/fake-libtorch.js'
import { refuses } from './helpers/refuses.js'
import { serveWheels, type WheelServer } from './helpers/wheel-server.js'

const root = join(__dirname, '..')
const LINUX: SystemFacts = { platform: 'linux', arch: 'x64', musl: false, glibc: '2.36', node: '22.1.0' }

describe('the package', function () {
  this.timeout(60_000)
  const folder = temporaryFolder()
  const at = (...parts: string[]) => join(folder.path, ...parts)
  after(() => folder.remove())

  describe('on a system that cannot run it', () => {
    it('has one sentence for each, and none for those that can', () => {
      assert.match(
        systemProblem({ ...LINUX, musl: true, glibc: null })!,
        /musl.*node:22-slim instead of node:22-alpine$/,
      )
      assert.match(systemProblem({ ...LINUX, platform: 'win32', arch: 'arm64' })!, /^Windows on arm64 is not supported/)
      assert.match(systemProblem({ ...LINUX, platform: 'darwin' })!, /Intel processor/)
      assert.match(systemProblem({ ...LINUX, arch: 'ia32' })!, /^linux-ia32 is not supported/)
      assert.equal(systemProblem(LINUX), null)
      assert.equal(systemProblem({ ...LINUX, arch: 'arm64' }), null)
      assert.equal(systemProblem({ ...LINUX, platform: 'darwin', arch: 'arm64' }), null)
      assert.equal(systemProblem({ ...LINUX, platform: 'win32', glibc: null }), null)
    })

    it('knows the oldest Node, which package.json names too', () => {
      const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
      assert.equal(engines.node, '>=20.17')
      assert.match(nodeProblem('18.19.0')!, /^Node 18\.19\.0 is running, stratabert needs Node 20\.17 or newer/)
      assert.match(nodeProblem('20.16.9')!, /20\.16\.9/)
      for (const version of ['20.17.0', '20.20.2', '22.0.0', '100.0.0']) assert.equal(nodeProblem(version), null)
    })

    it('says which addon is missing and why', () => {
      assert.match(
        addonMissing('boot', [], { ...LINUX, arch: 'arm64' }),
        /no addon for linux-arm64: clone the repository/,
      )
      assert.match(
        addonMissing('boot', [], { ...LINUX, platform: 'win32', glibc: null }),
        /no addon for win32-x64: clone the repository.*nobody has tried it/,
      )
      assert.match(addonMissing('boot', [], { ...LINUX, musl: true }), /musl/)
      assert.equal(
        addonMissing('torch-2.11', ['2.14', '2.13'], LINUX),
        'there is no addon for libtorch 2.11, only for 2.14, 2.13',
      )
      assert.equal(addonMissing('boot', [], LINUX), "the addon 'boot' is missing")
    })

    it('turns the loader’s words into a sentence', () => {
      const old = "/lib/libc.so.6: version `GLIBC_2.34' not found (required by /app/stratabert.node)"
      const sentence = addonLoadProblem(old, { ...LINUX, glibc: '2.31' })
      assert.match(
        sentence,
        /^this system \(glibc 2\.31\) is older than the addon, which needs GLIBC_2\.34: use Debian 12, Ubuntu 22\.04/,
      )
      assert.match(
        addonLoadProblem('x.node: invalid ELF header', LINUX),
        /not made for linux-x64.*install again on this machine/,
      )
      assert.equal(addonLoadProblem('something else', LINUX), 'something else')
    })

    it('knows what a library is called on each system', () => {
      const names = ['linux', 'darwin', 'win32'].map((platform) => libraryFile('libtorch_cpu', platform))
      assert.deepEqual(names, ['libtorch_cpu.so', 'libtorch_cpu.dylib', 'torch_cpu.dll'])
    })

    it('offers no download where none is pinned', () => {
      const steps = (facts: SystemFacts) => libtorchNotFound([], facts).message
      assert.match(steps(LINUX), /1\. Install it: npx stratabert libtorch install/)
      assert.match(
        steps({ ...LINUX, arch: 'arm64' }),
        /1\. No download is pinned for linux-arm64[\s\S]*3\. Or use Python's/,
      )
      assert.match(steps({ ...LINUX, platform: 'win32' }), /1\. No download is pinned for win32-x64/)
      assert.match(
        steps({ ...LINUX, musl: true }),
        /1\. This system uses musl[^\n]*\n {2}2\. See what was found: npx stratabert doctor$/,
      )
    })
  })

  describe('with a CUDA build that cannot be used', () => {
    const H100: CudaFacts = {
      library: true,
      words: '',
      status: 0,
      version: 13000,
      devices: [{ name: 'NVIDIA H100 80GB HBM3', capability: '9.0' }],
      kernelModule: '580.65.06',
      deviceFiles: true,
      visibleDevices: null,
    }
    const V100 = { name: 'Tesla V100', capability: '7.0' }
    const problem = (facts: Partial<CudaFacts>, version = '2.14.1+cu130') => cudaProblem({ ...H100, ...facts }, version)

    it('says nothing when all is well', () => {
      assert.equal(problem({}), null)
      for (const capability of ['7.5', '8.0', '8.6', '8.9', '10.3', '12.0', '12.1'])
        assert.equal(problem({ devices: [{ name: 'card', capability }] }), null, capability)
      // A newer driver, and one of the same CUDA major version.
      assert.equal(problem({ version: 14010 }), null)
      // Under WSL no kernel module shows.
      assert.equal(problem({ kernelModule: null, deviceFiles: true }), null)
    })

    it('no driver, or none in this container', () => {
      const absent = { library: false, devices: [], version: 0, kernelModule: null }
      assert.equal(problem(absent), 'no NVIDIA driver is installed: install driver 580 or newer, or compute on the CPU')
      assert.match(
        problem({ ...absent, kernelModule: '580.65.06' })!,
        /^NVIDIA driver 580\.65\.06 runs on this machine, but its library .*docker run --gpus all/,
      )
      assert.match(
        problem({ devices: [], status: 100, deviceFiles: false })!,
        /finds no card: this machine has none, or the container/,
      )
    })

    it('a driver that is too old', () => {
      assert.equal(
        problem({ version: 12040, kernelModule: '550.54.14' }),
        'NVIDIA driver 550.54.14 is too old: it runs CUDA up to 12.4, libtorch 2.14.1+cu130 needs CUDA 13.0; install driver 580 or newer, or compute on the CPU',
      )
      assert.equal(problem({ version: 12040 }, '2.13.0+cu128'), null)
    })

    it('an unsupported card, alone or beside one that works', () => {
      assert.equal(
        problem({ devices: [V100] }),
        'Tesla V100 (compute capability 7.0) is not supported by libtorch 2.14.1+cu130, which has kernels for 7.5, 8.0, 8.6, 9.0, 10.0, 12.0; compute on the CPU',
      )
      assert.match(problem({ devices: [V100, H100.devices[0]] })!, /hide it with CUDA_VISIBLE_DEVICES=1$/)
      assert.equal(problem({ devices: [H100.devices[0], V100] }), null)
      // Newer than all kernels: none of them is compiled by the driver.
      assert.match(problem({ devices: [{ name: 'card', capability: '13.0' }] })!, /not supported/)
      assert.equal(problem({ devices: [V100] }, '2.14.1'), null, 'a build that is not known is not judged')
    })

    it('cards that are hidden, and other errors', () => {
      assert.match(problem({ devices: [], status: 100, visibleDevices: '' })!, /CUDA_VISIBLE_DEVICES is ''/)
      assert.match(problem({ devices: [], status: 803 })!, /restart the machine$/)
      assert.match(problem({ devices: [], status: 999 })!, /\(CUDA error 999\): check it with nvidia-smi/)
    })

    it('knows the kernels of every supported build', () => {
      assert.deepEqual(
        Object.keys(CUDA_KERNELS).sort(),
        SUPPORTED_MINORS.map((minor) => `${minor}+cu130`),
      )
    })

    it('asks the driver’s own library', function () {
      mkdirSync(at('cuda'))
      const source = join(__dirname, 'helpers', 'fake-libcuda.c')
      const { status } = spawnSync('cc', ['-shared', '-fPIC', '-w', '-o', at('cuda', 'libcuda.so.1'), source])
      if (status !== 0) this.skip()
      const ask = (environment: NodeJS.ProcessEnv) => {
        const program = `console.log(JSON.stringify(require(${JSON.stringify(resolveAddon('boot'))}).cudaDriver()))`
        const env = { ...process.env, LD_LIBRARY_PATH: at('cuda'), ...environment }
        return JSON.parse(spawnSync(process.execPath, ['-e', program], { encoding: 'utf8', env }).stdout)
      }
      assert.deepEqual(ask({ FAKE_CUDA_VERSION: '13010', FAKE_CUDA_CAPABILITY: '89' }), {
        library: true,
        words: '',
        status: 0,
        version: 13010,
        devices: [{ name: 'Fake GPU', capability: '8.9' }],
      })
      const failed = ask({ FAKE_CUDA_VERSION: '12040', FAKE_CUDA_STATUS: '803', FAKE_CUDA_CAPABILITY: '70' })
      assert.deepEqual([failed.status, failed.version, failed.devices], [803, 12040, []])
    })
  })

  describe('its addons', () => {
    const addons = () => ['boot', ...addonMinors().map((minor) => `torch-${minor}`)].map((name) => resolveAddon(name))

    it('need what older systems have, and no RUNPATH', () => {
      for (const path of addons()) {
        assert.deepEqual(needsProblems(elfNeeds(path), path.includes('boot') ? 'boot' : 'core'), [], path)
      }
      const good = {
        libraries: ['libc.so.6', 'libtorch_cpu.so'],
        runPaths: [],
        versions: { GLIBC: '2.34', GLIBCXX: '3.4.29' },
        unnumbered: ['CXXABI_TM_1'],
      }
      assert.deepEqual(needsProblems(good, 'core'), [])
      assert.deepEqual(needsProblems(good, 'boot'), ['needs libtorch_cpu.so'])
      const bad = {
        libraries: ['libcudart.so.13'],
        runPaths: ['$ORIGIN'],
        versions: { GLIBC: '2.9', GLIBCXX: '3.4.30' },
        unnumbered: ['GLIBC_ABI_DT_RELR'],
      }
      assert.deepEqual(
        needsProblems(bad, 'core').map((line) => line.split(';')[0]),
        [
          "has RUNPATH or RPATH '$ORIGIN'",
          'needs libcudart.so.13',
          'needs GLIBCXX_3.4.30, at most 3.4.29 is allowed',
          'needs GLIBC_ABI_DT_RELR, which glibc 2.34 lacks',
        ],
      )
    })

    it('may not have packed relocations, which older systems do not read', function () {
      const [source, library] = [at('packed.c'), at('packed.so')]
      writeFileSync(source, 'int value; int *place = &value; int puts(const char *); void say(void) { puts("x"); }')
      const options = ['-shared', '-fPIC', '-Wl,-z,pack-relative-relocs', '-Wl,-Bsymbolic', '-o', library, source]
      if (spawnSync('cc', options).status !== 0) this.skip()
      const needs = elfNeeds(library)
      if (!needs.unnumbered.includes('GLIBC_ABI_DT_RELR')) this.skip() // a linker or a glibc that knows no such version
      assert.match(needsProblems(needs, 'core').join(), /needs GLIBC_ABI_DT_RELR/)
    })

    it('are packed only when they were made of these sources', () => {
      const [whole, older, unknown] = ['boot', 'torch-2.11', 'torch-2.12'].map((name) => {
        const prebuilt = at('packed', name, 'prebuilds', 'linux-x64')
        mkdirSync(prebuilt, { recursive: true })
        return prebuilt
      })
      mkdirSync(at('packed', 'torch-2.13', 'build'), { recursive: true })
      stampAddon(whole, nativeSourcesHash())
      stampAddon(older, createHash('sha256').update('older').digest('hex'))
      assert.deepEqual(staleAddons(at('packed')).sort(), [older, unknown])
      assert.deepEqual(staleAddons(at('nowhere')), [])
    })

    it('are read as readelf reads them', function () {
      for (const path of addons()) {
        const { status, stdout } = spawnSync('readelf', ['--wide', '-d', '--version-info', path], { encoding: 'utf8' })
        if (status !== 0) this.skip()
        const { libraries, versions } = elfNeeds(path)
        assert.deepEqual(
          libraries,
          [...stdout.matchAll(/\(NEEDED\).*\[(.+)\]/g)].map((match) => match[1]),
        )
        for (const [family, highest] of Object.entries(versions)) {
          const all = [...stdout.matchAll(new RegExp(`Name: ${family}_([\\d.]+) `, 'g'))].map((match) => match[1])
          assert.equal(all.sort(compareVersions).at(-1), highest, `${path}: ${family}`)
        }
      }
    })
  })

  describe('fetching libtorch', () => {
    let manifest: LibtorchManifest
    let server: WheelServer | undefined
    before(() => {
      manifest = fakeWheels(at('wheels'))
    })
    afterEach(async () => {
      await server?.close()
      server = undefined
    })

    it('tells every file with size and hash before it begins, and what is kept', async () => {
      const directory = at('planned')
      const [first] = Object.keys(manifest.wheels)
      mkdirSync(at('.planned.downloads'))
      copyFileSync(at('wheels', first), at('.planned.downloads', first))
      const plan = planInstall({ manifest, directory })
      const [torch, cudart] = plan.files
      assert.deepEqual([torch.file, torch.kept, cudart.kept], [first, true, false])
      assert.equal(plan.downloadBytes, cudart.bytes)
      assert.equal(
        torch.sha256,
        createHash('sha256')
          .update(readFileSync(at('wheels', first)))
          .digest('hex'),
      )
      assert.ok(plan.freeBytes! > 0)
      assert.equal(existsSync(directory), false, 'a plan writes nothing')
      // Room for the downloads alone: what is unpacked lies beside them.
      const tight = structuredClone(manifest)
      for (const wheel of Object.values(tight.wheels)) wheel.bytes = Math.floor(plan.freeBytes! * 0.35)
      const refusedTight = installLibtorch({ manifest: tight, directory: at('tight') })
      await assert.rejects(refusedTight, refuses('DISK_FULL', 'downloaded and unpacked', '--dir'))
      const huge = structuredClone(manifest)
      for (const wheel of Object.values(huge.wheels)) wheel.bytes = 1e18
      let told: InstallPlan | undefined
      const refused = installLibtorch({ manifest: huge, directory: at('huge'), onPlan: (value) => (told = value) })
      await assert.rejects(refused, refuses('DISK_FULL', 'have to be downloaded', '--dir'))
      assert.equal(told?.files.length, 2)
      assert.deepEqual(
        readdirSync(folder.path).filter((name) => name.includes('huge')),
        [],
      )
    })

    it('takes a wheel up again whose download breaks off, and verifies it', async () => {
      const [file] = Object.keys(manifest.wheels)
      server = await serveWheels(at('wheels'), [file], 1)
      const [build] = manifest.builds
      const one = { wheels: manifest.wheels, builds: [{ ...build, wheels: [file] }] }
      const environment = {
        ...process.env,
        PIP_INDEX_URL: `${server.address}/simple/`,
        PIP_FIND_LINKS: '',
        PIP_CONFIG_FILE: '/dev/null',
        NO_PROXY: '127.0.0.1',
      }
      const { tree } = await installLibtorch({ manifest: one, environment, directory: at('broken') })
      assert.equal(tree.version, '2.13.0+cu130')
      // The second time from the byte where it broke off when pip can do that, else from the beginning.
      assert.deepEqual(
        server.requests.map((line) => line.split(' ')[0]),
        [file, file],
      )
    })

    it('goes on with a zip from the byte where it broke off', async () => {
      const library = readFileSync(resolveAddon('boot'))
      const zip = {
        'libtorch/build-version': '2.13.0+cpu\n',
        'libtorch/lib/libtorch_cpu.so': library,
        'libtorch/lib/libc10.so': library,
      }
      writeFileSync(at('wheels', 'libtorch.zip'), zipBytes(zip))
      const bytes = readFileSync(at('wheels', 'libtorch.zip'))
      server = await serveWheels(at('wheels'), [], 2)
      const options = {
        zip: `${server.address}/files/libtorch.zip`,
        sha256: createHash('sha256').update(bytes).digest('hex'),
        directory: at('from-zip'),
      }
      const { tree } = await installLibtorch(options)
      assert.equal(statSync(join(tree.directory, 'lib', 'libc10.so')).size, library.length)
      const starts = server.requests.map((line) => Number(line.split(' ')[1]))
      assert.equal(starts.length, 3)
      assert.ok(starts[0] === 0 && starts[1] > 0 && starts[2] > starts[1] && starts[2] < bytes.length, starts.join())
      // Stopped after the last byte: nothing is left to fetch.
      mkdirSync(at('.whole.downloads'))
      writeFileSync(at('.whole.downloads', 'libtorch.zip'), bytes)
      assert.equal((await installLibtorch({ ...options, directory: at('whole') })).installed, true)
      assert.equal(server.requests.at(-1), `libtorch.zip ${bytes.length}`)
    })
  })

  it('begins a download again where the server cannot go on in the middle', async () => {
    const body = Buffer.alloc(1000, 1)
    const server = createServer((_, response) => response.end(body)).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const path = at('part.zip')
    writeFileSync(path, 'another beginning')
    try {
      const { port } = server.address() as AddressInfo
      await fetchFile(`http://127.0.0.1:${port}/x.zip`, path, () => {})
      assert.deepEqual(readFileSync(path), body)
    } finally {
      server.close()
    }
  })

  it('runs only test files that exist under the sanitizers', () => {
    const there = readdirSync(__dirname)
    for (const file of nativeTestFiles(there)) assert.ok(existsSync(join(root, file)), file)
    assert.throws(
      () => nativeTestFiles(there.filter((file) => file !== '10.model.test.ts')),
      /test\/ holds no 10\.model/,
    )
  })

  it('names every variable that it reads in docs/environment.md, and no other', () => {
    const page = readFileSync(join(root, 'docs', 'environment.md'), 'utf8')
    const listed = new Set([...page.matchAll(/`(STRATABERT_[A-Z_]+)/g)].map((match) => match[1]))
    const named = new Set([...page.matchAll(/`([A-Z][A-Z_]+)/g)].map((match) => match[1]))
    const read = new Set<string>()
    for (const room of ['lib', 'native']) {
      for (const file of readdirSync(join(root, room), { recursive: true }) as string[]) {
        if (!/\.(ts|cc|h)$/.test(file)) continue
        const text = readFileSync(join(root, room, file), 'utf8')
        const uses = /(?:env(?:ironment)?\??\.|env(?:ironment)?\[['"`]|getenv\("|setenv\(")([A-Z][A-Z_]+)/g
        for (const match of text.matchAll(uses)) read.add(match[1])
      }
    }
    assert.ok(read.size >= 15, [...read].join())
    assert.deepEqual(
      [...read].filter((name) => !named.has(name)),
      [],
    )
    const others = ['scripts', 'test', 'benchmarks', '.ci', 'lib', 'native', 'examples']
      .map((room) => allText(join(root, room)))
      .join('\n')
    assert.deepEqual(
      [...listed].filter((name) => !others.includes(name)),
      [],
    )
  })
})

function allText(directory: string): string {
  const files = (readdirSync(directory, { recursive: true }) as string[]).filter(
    (file) => (/\.(ts|mjs|cjs|cc|sh)$/.test(file) || file === 'run') && !file.includes('node_modules'),
  )
  return files.map((file) => readFileSync(join(directory, file), 'utf8')).join('\n')
}
