// `npm test [-- files or mocha options]`: sets up what is missing, runs mocha, ends with `N passed, N failed, N skipped`.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

function run(command, args, environment = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...environment } })
  if (result.error) console.error(result.error.message)
  return result.status ?? 1
}

/** Dependencies, libtorch, addons, dist/; a fresh clone has none of them. */
function setUp() {
  const installed = ['mocha', 'tsx', 'cmake-js', 'typescript', '@observablehq/plot'].every((name) =>
    existsSync(join(root, 'node_modules', name)),
  )
  if (!installed) return run('npm', ['install'])
  return run(process.execPath, ['--import', 'tsx', join('scripts', 'setup.ts')])
}

function runTests(args) {
  const folder = mkdtempSync(join(tmpdir(), 'stratabert-test-'))
  const countsFile = join(folder, 'counts.json')
  const files = readdirSync(join(root, 'test'))
    .filter((name) => name.endsWith('.test.ts'))
    .sort()
    .map((name) => join('test', name))
  const named = args.some((argument) => argument.endsWith('.ts'))
  const mocha = join('node_modules', 'mocha', 'bin', 'mocha.js')
  const options = ['--import=tsx', '--reporter', join('scripts', 'mocha-reporter.cjs')]
  const status = run(process.execPath, [mocha, ...options, ...args, ...(named ? [] : files)], {
    STRATABERT_TEST_COUNTS: countsFile,
    STRATABERT_TEST_CLI: join(root, 'dist', 'cli', 'main.js'),
  })
  const counts = existsSync(countsFile) ? JSON.parse(readFileSync(countsFile, 'utf8')) : null
  rmSync(folder, { recursive: true, force: true })
  if (counts) return { ...counts, status: status || (counts.failed > 0 ? 1 : 0) }
  console.error(
    `mocha ended with code ${status} before its summary: a test file does not load, or the process was killed`,
  )
  return { passed: 0, failed: 1, skipped: 0, status: status || 1 }
}

const setUpStatus = setUp()
if (setUpStatus !== 0) console.error('set-up failed: see the messages above')
const result =
  setUpStatus === 0 ? runTests(process.argv.slice(2)) : { passed: 0, failed: 1, skipped: 0, status: setUpStatus }
console.log(`${result.passed} passed, ${result.failed} failed, ${result.skipped} skipped`)
process.exitCode = result.status
