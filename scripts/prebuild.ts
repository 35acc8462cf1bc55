/**
 * Fills addons/<name>/prebuilds/<platform>-<arch>/ for publishing: `npm run prebuild -- [--torch-version 2.13]… [--all]`. Each version is
 * compiled into a folder of its own against a libtorch that is found or fetched. Build on the oldest system that is to be supported.
 */
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { findLibtorch } from '../lib/runtime/find-libtorch.js'
import { installLibtorch } from '../lib/runtime/install-libtorch.js'
import { progressPrinter } from '../lib/runtime/progress.js'
import { SUPPORTED_MINORS } from '../lib/runtime/versions.js'
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

function publish(built: string, folder: string): void {
  const target = join(root, 'addons', folder, 'prebuilds', platform)
  rmSync(target, { recursive: true, force: true })
  mkdirSync(target, { recursive: true })
  const file = join(target, 'stratabert.napi.glibc.node')
  copyFileSync(built, file)
  if (process.platform === 'linux') execFileSync('strip', ['--strip-unneeded', file])
  console.log(file)
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { 'torch-version': { type: 'string', multiple: true }, all: { type: 'boolean' } },
  })
  const minors = values.all ? [...SUPPORTED_MINORS] : (values['torch-version'] ?? ['2.13'])
  for (const minor of minors) {
    const addons = join(root, 'build', 'prebuild', minor)
    await buildNative({ libtorch: await libtorchFor(minor), addons, out: join(root, 'build', `prebuild-${minor}`) })
    publish(join(addons, `torch-${minor}`, 'build', 'Release', 'stratabert.node'), `torch-${minor}`)
    publish(join(addons, 'boot', 'build', 'Release', 'stratabert_boot.node'), 'boot')
  }
}

main().catch((error) => {
  console.error(`error[${error.code ?? 'UNKNOWN'}]: ${error.message}`)
  process.exitCode = error.exitCode ?? 1
})
