/**
 * Fills addons/<name>/prebuilds/<platform>-<arch>/ for publishing: `npm run prebuild [-- --torch-version 2.13 …] [--jobs N]`. Without versions all
 * that are supported, each compiled against the CPU libtorch of the cache, which is fetched when it is absent; the same addon serves the
 * CUDA build. What an addon may need of the system is asserted, and it is loaded once. Build on the oldest system that is to be supported.
 */
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, rmSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { StrataError } from '../lib/errors.js'
import { findLibtorch } from '../lib/runtime/find-libtorch.js'
import { installLibtorch } from '../lib/runtime/install-libtorch.js'
import { programArguments } from '../lib/runtime/program.js'
import { progressPrinter } from '../lib/runtime/progress.js'
import { SUPPORTED_MINORS } from '../lib/runtime/versions.js'
import { describeNeeds, inspectAddon } from './addon-needs.js'
import { nativeSourcesHash, stampAddon } from './addon-sources.js'
import { buildNative } from './build-native.js'

const root = resolve(__dirname, '..')
const platform = `${process.platform}-${process.arch}`

async function libtorchFor(minor: string): Promise<string> {
  const { tree } = findLibtorch({ minor, device: 'cpu' })
  if (tree) return tree.directory
  const printer = progressPrinter()
  const installed = await installLibtorch({ version: minor, onProgress: printer.report }).finally(() => printer.end())
  return installed.tree.directory
}

/** Copies an addon to where the package in `packageFolder` takes it from, strips and inspects it; returns the published file. */
export function publishAddon(built: string, folder: string, packageFolder: string): string {
  const target = join(packageFolder, 'addons', folder, 'prebuilds', platform)
  const file = join(target, process.platform === 'linux' ? 'stratabert.napi.glibc.node' : 'stratabert.napi.node')
  rmSync(target, { recursive: true, force: true })
  mkdirSync(target, { recursive: true })
  copyFileSync(built, file)
  if (process.platform === 'linux') execFileSync('strip', ['--strip-unneeded', file])
  if (process.platform !== 'linux') return file
  const report = inspectAddon(file, folder === 'boot' ? 'boot' : 'core')
  console.log(`${folder}: ${describeNeeds(report)}`)
  if (report.problems.length === 0) return file
  rmSync(target, { recursive: true, force: true })
  throw new StrataError(
    'UNSUPPORTED',
    `${folder}: ${report.problems.join('; ')}; expected an addon that older systems can load`,
  )
}

/** Loads the prebuilt pair in a process of its own; a build in the checkout is passed over. */
function checkLoads(minor: string, libtorch: string): void {
  const args = [...programArguments(join(root, 'lib', 'runtime'), 'probe-main'), 'cpu', libtorch]
  const environment = { ...process.env, PREBUILDS_ONLY: '1', STRATABERT_ADDONS: join(root, 'addons') }
  const answer = execFileSync(process.execPath, args, { encoding: 'utf8', env: environment })
  const { ok, torchVersion, message } = JSON.parse(answer.trim().split('\n').at(-1)!)
  if (!ok || torchVersion !== minor)
    throw new StrataError('NATIVE_ERROR', `torch-${minor} does not load: ${message ?? torchVersion}`)
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { 'torch-version': { type: 'string', multiple: true }, jobs: { type: 'string' } },
  })
  for (const minor of values['torch-version'] ?? SUPPORTED_MINORS) {
    const started = Date.now()
    const libtorch = await libtorchFor(minor)
    const sources = nativeSourcesHash()
    // The objects are those of `build:native`: what was compiled there is only linked again.
    const addons = join(root, 'build', 'prebuild', minor)
    await buildNative({ libtorch, addons, jobs: values.jobs ? Number(values.jobs) : undefined })
    for (const [name, file] of [
      ['boot', 'stratabert_boot.node'],
      [`torch-${minor}`, 'stratabert.node'],
    ])
      stampAddon(dirname(publishAddon(join(addons, name, 'build', 'Release', file), name, root)), sources)
    checkLoads(minor, libtorch)
    console.log(`torch-${minor}: ready after ${((Date.now() - started) / 1000).toFixed(0)} s`)
  }
}

if (require.main === module) {
  main().catch((error) => {
    console.error(`error[${error.code ?? 'UNKNOWN'}]: ${error.message}`)
    process.exitCode = error.exitCode ?? 1
  })
}
