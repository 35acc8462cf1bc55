/**
 * Makes a git checkout ready: libtorch (fetched into the user cache when none is found), addons, dist/. Every step is skipped when it is
 * done already. Called by `npm install` (through prepare) and by `npm test`.
 */
import { findLibtorch } from '../lib/runtime/find-libtorch.js'
import { installLibtorch } from '../lib/runtime/install-libtorch.js'
import { progressPrinter } from '../lib/runtime/progress.js'
import { buildDist } from './build-dist.js'
import { buildNative } from './build-native.js'

async function main(): Promise<void> {
  if (!findLibtorch().tree) {
    const printer = progressPrinter()
    const { tree } = await installLibtorch({ onProgress: printer.report }).finally(() => printer.end())
    console.error(`libtorch ${tree.version} is in ${tree.directory}`)
  }
  await buildNative()
  buildDist()
}

main().catch((error) => {
  console.error(`error[${error.code ?? 'UNKNOWN'}]: ${error.message}`)
  process.exitCode = error.exitCode ?? 1
})
