import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { dirname, join } from 'node:path'
import { askProgram } from '../lib/runtime/ask-program.js'
import { cgroupFreeMemory, cgroupMemory, cgroupThreads, limitThreads, usableThreads } from '../lib/runtime/cgroup.js'
import { type Diagnosis, diagnose, loadCore } from '../lib/runtime/index.js'
import { checkNativeChoices } from '../lib/runtime/native-choices.js'
import { programArguments } from '../lib/runtime/program.js'
import { fakeTree, temporaryFolder } from './helpers/fake-libtorch.js'
import { refuses } from './helpers/refuses.js'

describe('doctor and libtorch commands', function () {
  this.timeout(60_000)
  const folder = temporaryFolder()
  // No libtorch anywhere: neither named nor in a cache.
  const nothing = { XDG_CACHE_HOME: folder.path, STRATABERT_LIBTORCH: '', LIBTORCH: '', LIBTORCH_USE_PYTORCH: '' }
  after(() => folder.remove())

  function run(args: string[], environment: Record<string, string> = {}) {
    const options = { encoding: 'utf8', env: { ...process.env, ...environment }, cwd: folder.path } as const
    return spawnSync(
      process.execPath,
      [...programArguments(join(__dirname, '..', 'lib', 'cli'), 'main'), ...args],
      options,
    )
  }

  it('doctor --json prints one document that says that this machine can compute', () => {
    const { status, stdout } = run(['doctor', '--json'])
    const diagnosis = JSON.parse(stdout) as Diagnosis
    assert.equal(status, 0, stdout)
    assert.equal(diagnosis.usable, true)
    assert.deepEqual(
      diagnosis.problems.filter(({ blocking }) => blocking),
      [],
    )
    assert.equal(diagnosis.devices[0], 'cpu')
    assert.match(diagnosis.floatProducts ?? '', /^(mkl|onednn)$/)
    for (const rate of Object.values(diagnosis.productRates!)) assert.ok(rate > 0.1 && rate < 1e6, `${rate} GFLOP/s`)
    assert.equal(diagnosis.machine.node, process.version)
    assert.ok(diagnosis.machine.threads.available >= 1)
    assert.ok(diagnosis.machine.memory.totalBytes > 1e8)
    assert.match(diagnosis.libtorch.found?.version ?? '', /^2\.1[1-4]\.\d/)
    assert.equal(diagnosis.libtorch.attempts.at(-1)?.problem, null)
    assert.deepEqual(
      diagnosis.addons.map(({ problem }) => problem),
      [null, null],
    )
  })

  it('what computes float32 products is told, can be chosen, and nothing else can', () => {
    const program = [...programArguments(join(__dirname, '..', 'lib', 'runtime'), 'probe-main'), 'cpu']
    const probe = (choice: string, limit = 'unlimited') => {
      const env = { ...process.env, STRATABERT_FLOAT_PRODUCTS: choice }
      const shell = ['-c', `ulimit -d ${limit} && exec "$@"`, 'sh', process.execPath, ...program]
      return JSON.parse(spawnSync('sh', shell, { encoding: 'utf8', env }).stdout)
    }
    const [maker, mkl, other] = ['', 'mkl', 'blas'].map((choice) => probe(choice))
    assert.equal(mkl.floatProducts, 'mkl')
    if (/Intel/.test(cpus()[0].model)) assert.equal(maker.floatProducts, 'mkl')
    else assert.match(maker.floatProducts, /^(mkl|onednn)$/)
    assert.equal(probe('', '16000000').floatProducts, 'mkl', 'under a limit on memory')
    assert.equal(other.code, 'BAD_ARGUMENT')
    assert.match(other.message, /STRATABERT_FLOAT_PRODUCTS is 'blas'; mkl or onednn was expected/)
  })

  it('a variable that knows one value refuses others', () => {
    checkNativeChoices({ STRATABERT_WEIGHTS: 'private', STRATABERT_ALLOCATOR: '' })
    assert.throws(
      () => checkNativeChoices({ STRATABERT_WEIGHTS: 'shared' }),
      refuses('BAD_ARGUMENT', "STRATABERT_WEIGHTS is 'shared'", 'private was expected'),
    )
    assert.throws(
      () => checkNativeChoices({ STRATABERT_ALLOCATOR: 'SYSTEM' }),
      refuses('BAD_ARGUMENT', 'system was expected'),
    )
  })

  it('programs of the machine that do not answer are given up', () => {
    const hanging = askProgram('sleep', ['5'], { timeoutMs: 100 })
    assert.deepEqual(hanging, { output: null, problem: 'sleep does not answer (0.1 s)', hangs: true })
    assert.match(askProgram('no-such-program', []).problem, /^no-such-program cannot be started/)
    assert.equal(askProgram('sh', ['-c', 'echo words >&2; exit 3']).problem, 'sh failed: words')
    assert.equal(askProgram('echo', ['text']).output, 'text\n')
  })

  it('a container’s quota bounds the threads that nobody has chosen', () => {
    const group = (name: string, files: Record<string, string>) => {
      const at = join(folder.path, 'cgroup', name)
      for (const [file, text] of Object.entries(files)) {
        mkdirSync(dirname(join(at, file)), { recursive: true })
        writeFileSync(join(at, file), `${text}\n`)
      }
      return at
    }
    assert.equal(cgroupThreads(group('none', { 'cpu.max': 'max 100000' }), '/'), null)
    assert.equal(cgroupThreads(join(folder.path, 'nowhere'), '/a/b'), null)
    assert.equal(cgroupThreads(group('half', { 'cpu.max': '50000 100000' }), '/'), 1)
    assert.equal(cgroupThreads(group('more', { 'cpu.max': '250000 100000' }), '/'), 3)
    const nested = group('nested', { 'a/cpu.max': '400000 100000', 'a/b/cpu.max': '800000 100000', 'c/cpu.max': '1 1' })
    assert.equal(cgroupThreads(nested, '/a/b'), 4)
    const old = { 'cpu/cpu.cfs_quota_us': '150000', 'cpu/cpu.cfs_period_us': '100000' }
    assert.equal(cgroupThreads(group('old', old), '/'), 2)
    assert.equal(cgroupThreads(group('unbounded', { ...old, 'cpu/cpu.cfs_quota_us': '-1' }), '/'), null)
    assert.equal(cgroupMemory(8e9, group('memory', { 'memory.max': '2000000000' })), 2e9)
    assert.equal(cgroupMemory(8e9, group('memory', { 'memory.max': 'max' })), null)
    // The tightest group counts; what the kernel can drop is free.
    const used = (bytes: number, files = 0) => [`${bytes}`, `anon ${bytes - files}\ninactive_file ${files}`]
    const tree = Object.fromEntries(
      [
        ['', '9000', ...used(1000)],
        ['a/', '5000', ...used(4000, 1500)],
        ['a/b/', 'max', ...used(3000)],
      ].flatMap(([at, most, current, stat]) => [
        [`${at}memory.max`, most],
        [`${at}memory.current`, current],
        [`${at}memory.stat`, stat],
      ]),
    )
    assert.equal(cgroupFreeMemory(group('left', tree), '/a/b'), 2500)
    assert.equal(cgroupFreeMemory(group('nothing', {}), '/'), Number.POSITIVE_INFINITY)
    const v1 = { 'memory/memory.limit_in_bytes': '700', 'memory/memory.usage_in_bytes': '800' }
    assert.equal(cgroupFreeMemory(group('over', v1), '/'), 0)

    const core = loadCore({ device: 'cpu' })
    const before = core.threads()
    try {
      for (const [chosen, limit, variable, expected] of [
        [8, 3, undefined, 3],
        [2, 3, undefined, 2],
        [8, null, undefined, 8],
        [8, 3, '8', 8],
      ] as const) {
        core.threads(chosen)
        limitThreads(core, limit, { OMP_NUM_THREADS: variable })
        assert.equal(core.threads(), expected)
        assert.equal(usableThreads(chosen, limit, { OMP_NUM_THREADS: variable }), expected)
      }
      assert.equal(usableThreads(8, 3, { OMP_NUM_THREADS: '4,2' }), 4)
    } finally {
      core.threads(before)
    }
  })

  it('doctor says what to do where no libtorch is, and exits with 1', () => {
    const { status, stdout } = run(['doctor'], nothing)
    assert.equal(status, 1)
    assert.match(stdout, /libtorch {2,}not found/)
    assert.match(stdout, /STRATABERT_LIBTORCH: not set/)
    assert.match(stdout, /1\. no usable libtorch was found[^\n]*\n {5}→ npx stratabert libtorch install/)
    assert.match(stdout, /Not ready/)
  })

  it('doctor survives a libtorch that kills or fails the process that opens it', () => {
    const { status, stdout } = run(['doctor', '--json'], {
      STRATABERT_LIBTORCH: fakeTree(join(folder.path, 'fake'), '2.13.0+cpu'),
    })
    const { usable, problems } = JSON.parse(stdout) as Diagnosis
    assert.equal(status, 1)
    assert.equal(usable, false)
    assert.equal(problems.length, 1)
    assert.match(problems[0].problem, /addon|cannot be loaded/)
    assert.doesNotMatch(`${problems[0].problem}${problems[0].remedy}`, /\n|doctor/)
  })

  it('doctor names the variable that is wrong, not an installation that it would pass over', () => {
    const addons = join(folder.path, 'no-addons')
    mkdirSync(addons)
    const wrong = { STRATABERT_LIBTORCH: join(folder.path, 'nowhere'), STRATABERT_ADDONS: addons }
    const before = Object.keys(wrong).map((name) => [name, process.env[name]] as const)
    Object.assign(process.env, wrong)
    const { usable, problems, addons: found } = diagnose()
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
    assert.equal(usable, false)
    assert.match(problems[0].remedy, /^correct STRATABERT_LIBTORCH, or unset it/)
    const boot = problems.at(-1)!
    assert.equal(boot.problem, `addon boot: the addon 'boot' is missing (looked in ${join(addons, 'boot')})`)
    assert.equal(`addon boot: ${found[0].problem}`, boot.problem)
    assert.match(
      boot.remedy,
      new RegExp(`^correct STRATABERT_ADDONS, which is ${addons}, or unset it.* -- --addons ${addons}$`),
    )
  })

  it('libtorch path prints the folder alone, or every attempt and exit code 2', () => {
    const found = run(['libtorch', 'path'])
    assert.equal(found.status, 0)
    assert.match(found.stdout, /^\/\S+\n$/)
    const missing = run(['libtorch', 'path'], nothing)
    assert.equal(missing.status, 2)
    assert.equal(missing.stdout, '')
    assert.match(missing.stderr, /^error\[LIBTORCH_NOT_FOUND\]: no usable libtorch was found/)
    assert.equal(JSON.parse(run(['libtorch', 'path', '--json'], nothing).stdout).tree, null)
  })

  it('libtorch list names every pinned build with its size', () => {
    const builds = JSON.parse(run(['libtorch', 'list', '--json'], nothing).stdout) as {
      version: string
      flavour: string
      downloadBytes: number
      directory: string | null
    }[]
    assert.equal(builds.length, 8)
    assert.ok(builds.every(({ downloadBytes, directory }) => downloadBytes > 5e8 && directory === null))
    assert.match(run(['libtorch', 'list'], nothing).stdout, /2\.13\.0 +cpu +linux-x64 +540 MB +not installed/)
  })

  it('libtorch install refuses what it does not have: exit code 2 and a message on stderr', () => {
    const { status, stdout, stderr } = run(['libtorch', 'install', '--torch-version', '1.13'], nothing)
    assert.equal(status, 2)
    assert.equal(stdout, '')
    assert.match(stderr, /^error\[UNSUPPORTED\]: no pinned libtorch 1\.13 cpu/)
    assert.equal(run(['libtorch', 'install', '--flavour', 'rocm'], nothing).status, 2)
  })
})
