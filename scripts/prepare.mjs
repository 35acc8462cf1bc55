// npm's `prepare`: sets a git checkout up. Does nothing in an installed package, without the development dependencies, or with
// STRATABERT_SKIP_SETUP=1 (for machines that only lint or publish). In sources without .git it only says how: they may be part of another build.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const sources = existsSync(join(root, 'CMakeLists.txt'))
const checkout = existsSync(join(root, '.git'))
const hasTools = existsSync(join(root, 'node_modules', 'tsx')) && existsSync(join(root, 'node_modules', 'cmake-js'))
// npx in a checkout calls it before the command: who wants an answer does not want a build.
if (sources && hasTools && process.env.STRATABERT_SKIP_SETUP !== '1' && process.env.npm_command !== 'exec') {
  if (checkout) setUp()
  else console.error('no git checkout: libtorch is not fetched and nothing is compiled; npm run setup does both')
}

function setUp() {
  const result = spawnSync(process.execPath, ['--import', 'tsx', join('scripts', 'setup.ts')], {
    cwd: root,
    stdio: 'inherit',
  })
  process.exitCode = result.status ?? 1
}
