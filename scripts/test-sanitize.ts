/**
 * The addons' own code under the address and leak sanitizers, with --undefined also that for undefined behaviour:
 *   npm run test:sanitize [-- --jobs N] [--undefined] [--build-only] [--slow-stacks] [test files…]
 * Builds both addons into build/sanitize with STRATABERT_SANITIZE, preloads the sanitizers' libraries into Node (which is not compiled with
 * them) and runs the native tests, a process a file. An error of address or undefined behaviour ends its process at once. Leaks are
 * looked for when a process ends: one whose stack passes through our addons fails the run unless scripts/sanitize-leaks.txt names
 * it with a reason; those of Node, V8, libtorch and other addons are counted only. Linux and GCC or Clang.
 */
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { buildNative } from './build-native.js'

const root = resolve(__dirname, '..')
const out = join(root, 'build', 'sanitize')

/** What runs native code in the mocha process itself; tests of child processes say the same more slowly. */
const NATIVE_TESTS = [
  '02.boot',
  '10.model',
  '11.dropout',
  '12.safetensors',
  '13.refused-arguments',
  '14.updates',
  '15.optimizers',
  '16.task-heads',
  '17.adapters',
  '18.scalar-mix',
  '19.crammed-encoder',
  '19.parser-head',
  '73.serving',
  '74.quantized',
  '76.text-fuzz',
  '77.hostile-folders',
  '86.pruning',
  '98.agreements',
]

/** The sanitizers compile with less optimisation: a gradient that is 0 in exact arithmetic comes out with other roundings. */
const NOT_HERE = 'fp32 fast: every head on a mix'

/** LeakSanitizer's own failure, not ours. */
const TRACER_FELL = /Tracer caught signal/

interface Leak {
  bytes: number
  frames: string[]
}

/** Leaks of a process's report, innermost frame first. */
function parseLeaks(report: string): Leak[] {
  const leaks: Leak[] = []
  for (const part of report.split(/\n(?=(?:Direct|Indirect) leak of )/)) {
    const head = /^(?:Direct|Indirect) leak of (\d+) byte/.exec(part)
    if (!head) continue
    leaks.push({
      bytes: Number(head[1]),
      frames: [...part.matchAll(/^\s+#\d+ 0x[0-9a-f]+ (.*)$/gm)].map(([, frame]) => frame),
    })
  }
  return leaks
}

/** Ours: the stack passes through an addon of this package and no known leak's name. */
function ownLeaks(leaks: readonly Leak[], known: readonly string[]): Leak[] {
  return leaks.filter(
    ({ frames }) =>
      frames.some((frame) => /stratabert(_boot)?\.node/.test(frame)) &&
      !known.some((name) => frames.some((frame) => frame.includes(name))),
  )
}

/** Files of NATIVE_TESTS among those of the folder of tests; a name without one, as after a renaming, is an error. */
export function nativeTestFiles(there: readonly string[]): string[] {
  const absent = NATIVE_TESTS.filter((name) => !there.includes(`${name}.test.ts`))
  if (absent.length > 0)
    throw new Error(
      `test/ holds no ${absent.join(', ')}; a file of each name of NATIVE_TESTS was expected: correct the list`,
    )
  return NATIVE_TESTS.map((name) => join('test', `${name}.test.ts`))
}

function knownLeaks(): string[] {
  const lines = readFileSync(join(__dirname, 'sanitize-leaks.txt'), 'utf8').split('\n')
  return lines.map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#'))
}

/** The compiler's own copies; libstdc++ comes along because the sanitizer looks for its exceptions before anything has loaded it. */
function preloaded(): string {
  const compiler = process.env.CXX ?? 'c++'
  return ['libasan.so', 'libubsan.so', 'libstdc++.so']
    .map((name) => execFileSync(compiler, [`-print-file-name=${name}`], { encoding: 'utf8' }).trim())
    .map((path) => {
      if (!existsSync(path))
        throw new Error(
          `${compiler} has no ${path}; install the sanitizers' libraries of the compiler (GCC: libasan, libubsan)`,
        )
      return path
    })
    .join(' ')
}

function environment(logs: string, slowStacks: boolean): NodeJS.ProcessEnv {
  const address = {
    // A model larger than any machine is refused by the allocator, as without the sanitizer.
    allocator_may_return_null: 1,
    // Node handles SIGSEGV of WebAssembly itself.
    allow_user_segv_handler: 1,
    // std::vector crosses the border between code with and without the checks.
    detect_container_overflow: 0,
    detect_leaks: 1,
    // libtorch and Node bring symbols of the same name.
    detect_odr_violation: 0,
    // What Node and libtorch free in their own ways.
    alloc_dealloc_mismatch: 0,
    malloc_context_size: 40,
    fast_unwind_on_malloc: slowStacks ? 0 : 1,
    exitcode: 99,
    log_path: join(logs, 'report'),
  }
  const join_ = (options: Record<string, string | number>) =>
    Object.entries(options)
      .map(([key, value]) => `${key}=${value}`)
      .join(':')
  return {
    ...process.env,
    LD_PRELOAD: preloaded(),
    ASAN_OPTIONS: join_(address),
    // Leaks are judged here, not by the exit code.
    LSAN_OPTIONS: 'exitcode=0:report_objects=0',
    UBSAN_OPTIONS: join_({ print_stacktrace: 1, halt_on_error: 1, log_path: join(logs, 'undefined') }),
    STRATABERT_ADDONS: join(out, 'addons'),
    // Large blocks of our allocator have no guarded borders; the system's have.
    STRATABERT_ALLOCATOR: 'system',
    NODE_OPTIONS: '',
  }
}

interface Outcome {
  /** Exit code; null when a signal ended it. */
  code: number | null
  /** Tests that failed; null when the process ended before it could count them. */
  failed: number | null
}

/** One test file in a process of its own, and the sanitizers' reports. What they do at its end may hide mocha's exit code: the tests are counted. */
async function runFile(file: string, slowStacks: boolean): Promise<{ outcome: Outcome; reports: string[] }> {
  const logs = mkdtempSync(join(tmpdir(), 'stratabert-sanitize-'))
  const counts = join(logs, 'counts.json')
  const mocha = join(root, 'node_modules', 'mocha', 'bin', 'mocha.js')
  const reporter = ['--reporter', join(root, 'scripts', 'mocha-reporter.cjs')]
  // Flags of Node stand before mocha, which then needs no process of its own for them.
  const args = ['--import', 'tsx', mocha, ...reporter, '--timeout', '0', '--fgrep', NOT_HERE, '--invert']
  const code = await new Promise<number | null>((settle, fail) => {
    const child = spawn(process.execPath, [...args, relative(root, resolve(root, file))], {
      cwd: root,
      env: { ...environment(logs, slowStacks), STRATABERT_TEST_COUNTS: counts },
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    child.on('error', fail).on('close', settle)
  })
  const failed = existsSync(counts) ? JSON.parse(readFileSync(counts, 'utf8')).failed : null
  const reports = readdirSync(logs).map((name) => readFileSync(join(logs, name), 'utf8'))
  rmSync(logs, { recursive: true, force: true })
  return { outcome: { code, failed }, reports }
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      jobs: { type: 'string' },
      undefined: { type: 'boolean' },
      'build-only': { type: 'boolean' },
      'slow-stacks': { type: 'boolean' },
    },
  })
  if (process.platform !== 'linux') throw new Error(`the sanitizer run is for Linux, this is ${process.platform}`)
  // Before the build, which takes minutes.
  const files = positionals.length ? positionals : nativeTestFiles(readdirSync(join(root, 'test')))
  const addons = join(out, 'addons')
  mkdirSync(addons, { recursive: true })
  await buildNative({
    sanitize: values.undefined ? 'address,undefined' : 'address',
    out: join(out, 'cmake'),
    addons,
    jobs: values.jobs ? Number(values.jobs) : undefined,
  })
  if (values['build-only']) return

  const known = knownLeaks()
  const failed: string[] = []
  for (const file of files) {
    const started = Date.now()
    let { outcome, reports } = await runFile(file, values['slow-stacks'] ?? false)
    // The process that looks for leaks walks the threads' memory while they end, and now and then falls itself; the tests have passed by then.
    if (outcome.failed === 0 && reports.some((report) => TRACER_FELL.test(report))) {
      console.log(`${file}: LeakSanitizer's own tracer fell; once more`)
      ;({ outcome, reports } = await runFile(file, values['slow-stacks'] ?? false))
    }
    const errors = reports.filter((report) =>
      /ERROR: AddressSanitizer|runtime error:|LeakSanitizer has encountered a fatal error/.test(report),
    )
    const leaks = reports.flatMap(parseLeaks)
    const ours = ownLeaks(leaks, known)
    for (const report of errors) console.error(report.slice(0, 8000))
    for (const { bytes, frames } of ours.slice(0, 10))
      console.error(`leak of ${bytes} bytes\n  ${frames.slice(0, 20).join('\n  ')}`)
    if (outcome.code !== 0 || outcome.failed !== 0 || errors.length > 0 || ours.length > 0) failed.push(file)
    console.log(
      `${file}: exit ${outcome.code}, ${outcome.failed ?? '?'} tests failed, ${errors.length} errors, ${ours.length} leaks of ours, ${leaks.length - ours.length} of others (${((Date.now() - started) / 1000).toFixed(0)} s)`,
    )
  }
  console.log(failed.length === 0 ? `${files.length} files, nothing found` : `failed: ${failed.join(', ')}`)
  if (failed.length > 0) process.exitCode = 1
}

if (require.main === module) {
  main().catch((error) => {
    console.error(`error: ${error.message}`)
    process.exitCode = 1
  })
}
