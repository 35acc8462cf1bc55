/**
 * Compiles the two addons with cmake-js: `npm run build:native -- [--libtorch DIR] [--addons DIR] [--out DIR] [--jobs N] [--verbose]`.
 * They land in addons/boot/build/Release and addons/torch-<minor>/build/Release, where node-gyp-build finds them.
 */
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { readTreeVersion } from '../lib/runtime/versions.js'

const root = resolve(__dirname, '..')

function main(): number {
  const { values } = parseArgs({
    options: {
      libtorch: { type: 'string' },
      addons: { type: 'string', default: join(root, 'addons') },
      out: { type: 'string' },
      jobs: { type: 'string', default: String(Math.min(2, availableParallelism())) },
      verbose: { type: 'boolean', default: false },
    },
  })
  const libtorch = values.libtorch ?? process.env.STRATABERT_LIBTORCH
  if (!libtorch) {
    console.error('error[LIBTORCH_NOT_FOUND]: no libtorch given; pass --libtorch DIR or set STRATABERT_LIBTORCH')
    return 2
  }
  const version = readTreeVersion(resolve(libtorch))
  if (!version) {
    console.error(`error[LIBTORCH_NOT_FOUND]: ${libtorch} holds no readable version.py or build-version`)
    return 2
  }
  const cmakeJs = join(dirname(createRequire(__filename).resolve('cmake-js/package.json')), 'bin', 'cmake-js')
  const args = [
    cmakeJs,
    'build',
    '--directory',
    root,
    '--out',
    resolve(values.out ?? join(root, 'build', `torch-${version.minor}`)),
    '--parallel',
    values.jobs,
    '--log-level',
    values.verbose ? 'verbose' : 'warn',
    `--CDSTRATABERT_LIBTORCH=${resolve(libtorch)}`,
    `--CDSTRATABERT_ADDONS=${resolve(values.addons)}`,
  ]
  console.log(`building the addons against libtorch ${version.full} in ${resolve(libtorch)}`)
  const started = Date.now()
  const result = spawnSync(process.execPath, args, { stdio: 'inherit', cwd: root })
  if (result.status !== 0) return result.status ?? 1
  console.log(`addons built in ${((Date.now() - started) / 1000).toFixed(1)} s`)
  return 0
}

process.exitCode = main()
