/**
 * Compiles the two addons with cmake-js:
 *   npm run build:native -- [--libtorch DIR | --torch-version 2.13] [--addons DIR] [--out DIR] [--jobs N] [--verbose]
 * They land in addons/boot/build/Release and addons/torch-<minor>/build/Release, where node-gyp-build finds them. Without options
 * the libtorch is taken that the package would load (STRATABERT_LIBTORCH first).
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { dirname, join, resolve, sep } from 'node:path'
import { parseArgs } from 'node:util'
import { StrataError } from '../lib/errors.js'
import { findLibtorch, libtorchNotFound } from '../lib/runtime/find-libtorch.js'
import { withLock } from '../lib/runtime/folder-lock.js'

const root = resolve(__dirname, '..')
const WINDOWS = process.platform === 'win32'

export interface BuildNativeOptions {
  /** Folder of libtorch. */
  libtorch?: string
  /** Only this minor version will do. */
  minor?: string
  /** Receives the addons. */
  addons?: string
  /** CMake's own files. */
  out?: string
  jobs?: number
  /** Sanitizers such as `address,undefined`; give such a build folders of its own. */
  sanitize?: string
  verbose?: boolean
}

/** Compiles what changed. Two builds of one tree wait for each other. Throws when CMake fails. */
export async function buildNative(options: BuildNativeOptions = {}): Promise<void> {
  const { tree, attempts } = findLibtorch({ libtorch: options.libtorch, minor: options.minor, device: 'cpu' })
  if (!tree) throw libtorchNotFound(attempts)
  if (!existsSync(join(tree.directory, 'include', 'ATen', 'ATen.h'))) {
    throw new StrataError(
      'NOT_FOUND',
      `${tree.directory} (from ${tree.source}) has no include/ATen/ATen.h; expected a libtorch with headers to build the addons; ` +
        'run `npx stratabert libtorch install`, or name another one with STRATABERT_LIBTORCH',
    )
  }
  checkTools()
  const out = resolve(options.out ?? join(root, 'build', `torch-${tree.minor}`))
  const cmakeJs = join(dirname(createRequire(__filename).resolve('cmake-js/package.json')), 'bin', 'cmake-js')
  const args = [
    ...['--directory', root, '--out', out],
    ...['--parallel', String(options.jobs ?? Math.min(2, availableParallelism()))],
    ...['--log-level', options.verbose ? 'verbose' : 'warn'],
    ...(WINDOWS ? ['--toolset', 'ClangCL'] : []),
    `--CDSTRATABERT_LIBTORCH=${forCMake(tree.directory)}`,
    `--CDSTRATABERT_ADDONS=${forCMake(resolve(options.addons ?? join(root, 'addons')))}`,
    ...(options.sanitize ? [`--CDSTRATABERT_SANITIZE=${options.sanitize}`] : []),
  ]
  mkdirSync(out, { recursive: true })
  await withLock(
    join(out, '.lock'),
    (owner) => console.error(`waiting for process ${owner}, which builds the same addons`),
    async () => {
      console.error(`building the addons against libtorch ${tree.version} in ${tree.directory}`)
      const started = Date.now()
      // `build` alone keeps the settings that the folder was first configured with: another place for the addons would be passed over.
      for (const command of ['configure', 'build'])
        if ((await exitCode([cmakeJs, command, ...args])) !== 0)
          throw new StrataError('NATIVE_ERROR', 'the addons do not compile: see the messages above')
      console.error(`addons are up to date (${((Date.now() - started) / 1000).toFixed(1)} s)`)
    },
  )
}

/** On Windows CMake finds Visual Studio and its clang-cl itself: neither need be on the PATH. */
function checkTools(): void {
  for (const tool of WINDOWS ? ['cmake'] : ['cmake', process.env.CXX ?? 'c++']) {
    if (spawnSync(tool, ['--version']).status === 0) continue
    throw new StrataError(
      'NOT_FOUND',
      WINDOWS
        ? "'cmake' was not found; expected CMake ≥ 3.21 and Visual Studio 2022 to build the addons; install both, with its components " +
            "'Desktop development with C++' and 'C++ Clang tools for Windows'"
        : `'${tool}' was not found; expected CMake ≥ 3.21 and a C++20 compiler (g++ ≥ 12 or clang ≥ 15) to build the addons; ` +
            'install them (Debian: apt install cmake ninja-build g++)',
    )
  }
}

/** CMake reads a backslash as an escape. */
const forCMake = (path: string): string => path.split(sep).join('/')

/** Not spawnSync: the lock is touched meanwhile, or another build would take it for one that was left over. */
function exitCode(args: readonly string[]): Promise<number | null> {
  return new Promise((settle, fail) => {
    // stdout belongs to the caller's results.
    const child = spawn(process.execPath, args, { stdio: ['ignore', 2, 2], cwd: root })
    child.on('error', fail).on('close', settle)
  })
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      libtorch: { type: 'string' },
      'torch-version': { type: 'string' },
      addons: { type: 'string' },
      out: { type: 'string' },
      jobs: { type: 'string' },
      verbose: { type: 'boolean' },
    },
  })
  await buildNative({ ...values, minor: values['torch-version'], jobs: values.jobs ? Number(values.jobs) : undefined })
}

if (require.main === module) {
  main().catch((error) => {
    console.error(`error[${error.code ?? 'UNKNOWN'}]: ${error.message}`)
    process.exitCode = error.exitCode ?? 1
  })
}
