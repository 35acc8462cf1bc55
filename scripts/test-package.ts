/**
 * The published package from end to end: `npm run test:package [-- --managers npm,pnpm,yarn]`. Packs, installs the tarball in an empty project without network, compiler and
 * CMake, and embeds a sentence from ESM, CommonJS and TypeScript programs; without a libtorch the error must list every attempt and what to do. Other managers than npm come out of npm's
 * registry, install over the network and run the same ESM and CommonJS programs.
 */
import { type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { findLibtorch } from '../lib/runtime/find-libtorch.js'
import { buildNative } from './build-native.js'
import { compiledFiles, type InstalledPackage, installPackage } from './installed-package.js'
import { writeTinyCheckpoint } from './tiny-checkpoint.js'

const root = resolve(__dirname, '..')
const failures: string[] = []

const ESM = `import { Encoder } from 'stratabert'

const encoder = await Encoder.load(process.argv[2], { threads: 1 })
const { vectors } = await encoder.embed(['A sentence to turn into a vector.'], { normalize: true })
console.log(vectors[0].length, [...vectors[0]].map((value) => value.toFixed(5)).join(' '))
await encoder.dispose()
`

const COMMON_JS = `const { Encoder } = require('stratabert')

async function main() {
  const encoder = await Encoder.load(process.argv[2], { threads: 1 })
  const { vectors } = await encoder.embed(['A sentence to turn into a vector.'], { normalize: true })
  console.log(vectors[0].length, [...vectors[0]].map((value) => value.toFixed(5)).join(' '))
  await encoder.dispose()
}

main()
`

const TYPESCRIPT = `import { type Embeddings, Encoder } from 'stratabert'

async function main(folder: string): Promise<void> {
  await using encoder = await Encoder.load(folder, { threads: 1 })
  const { vectors }: Embeddings = await encoder.embed(['A sentence to turn into a vector.'], { normalize: true })
  const numbers: Float32Array = vectors[0]
  console.log(numbers.length, [...numbers].map((value) => value.toFixed(5)).join(' '))
}

main(process.argv[2])
`

/** How others than npm install a tarball: the npm package of the manager, and what it is asked. Their stores lie in the project. */
const MANAGERS: Record<string, [program: string, ...args: string[]]> = {
  pnpm: ['pnpm@10', 'pnpm', 'add', '--store-dir', 'store'],
  yarn: ['yarn@1', 'yarn', 'add', '--non-interactive', '--cache-folder', 'store'],
}

function check(name: string, problem: string | null): void {
  console.log(`${problem ? '✗' : '✓'} ${name}${problem ? `: ${problem}` : ''}`)
  if (problem) failures.push(name)
}

function run(
  { folder, environment }: InstalledPackage,
  args: string[],
  more: NodeJS.ProcessEnv = {},
): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8', env: { ...environment, ...more } })
}

/** Compiles with the checkout's TypeScript, which is no part of the machine state that is tested. */
function compile(project: InstalledPackage, file: string, module: string, resolution: string): void {
  const options = ['--strict', '--target', 'es2022', '--lib', 'es2023,esnext.disposable', '--types', 'node']
  const args = [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), ...options]
  const { status, stdout } = run(project, [...args, '--module', module, '--moduleResolution', resolution, file])
  check(`${file}: type check with ${resolution} resolution`, status === 0 ? null : stdout)
}

/** `prebuild` links what `build:native` has compiled once more, into a folder of its own. */
async function checkAddonsElsewhere(addons: string): Promise<void> {
  const { tree } = findLibtorch({ device: 'cpu' })
  await buildNative({ addons })
  const files = [
    ['boot', 'stratabert_boot.node'],
    [`torch-${tree?.minor}`, 'stratabert.node'],
  ].map(([name, file]) => join(addons, name, 'build', 'Release', file))
  const absent = files.filter((file) => !existsSync(file))
  check('addons that are compiled are linked into another folder', absent.length === 0 ? null : `no ${absent.join()}`)
}

/** Returns what each of them printed: the vector. */
function checkPrograms(project: InstalledPackage, checkpoint: string): string {
  const write = (file: string, text: string): void => writeFileSync(join(project.folder, file), text)
  write('esm.mjs', ESM)
  write('common.cjs', COMMON_JS)
  write('node-next.mts', TYPESCRIPT)
  write('bundler.mts', TYPESCRIPT)
  mkdirSync(join(project.folder, 'node_modules', '@types'), { recursive: true })
  symlinkSync(join(root, 'node_modules', '@types', 'node'), join(project.folder, 'node_modules', '@types', 'node'))
  symlinkSync(join(root, 'node_modules', 'undici-types'), join(project.folder, 'node_modules', 'undici-types'))
  compile(project, 'node-next.mts', 'nodenext', 'nodenext')
  compile(project, 'bundler.mts', 'esnext', 'bundler')
  const libtorch = { STRATABERT_LIBTORCH: project.tree.directory }
  const answers = ['esm.mjs', 'common.cjs', 'node-next.mjs', 'bundler.mjs'].map((file) => {
    const started = Date.now()
    const { status, stdout, stderr } = run(project, [file, checkpoint], libtorch)
    const good = status === 0 && /^16( -?\d\.\d{5}){16}\n$/.test(stdout)
    check(
      `${file} embeds a sentence (${Date.now() - started} ms)`,
      good ? null : `exit code ${status}: ${stdout}${stderr}`,
    )
    return stdout
  })
  check('all four print the same vector', new Set(answers).size === 1 ? null : answers.join(''))
  return answers[0]
}

/** `vector`: what the programs printed where npm had installed the package. */
function checkManager(manager: string, npm: InstalledPackage, checkpoint: string, vector: string): void {
  const folder = join(npm.folder, '..', manager)
  mkdirSync(folder)
  writeFileSync(join(folder, 'package.json'), '{ "name": "project", "private": true }\n')
  const project = { ...npm, folder }
  const [program, ...args] = MANAGERS[manager]
  const started = Date.now()
  const { status, stdout, stderr } = spawnSync(
    'npm',
    ['exec', '--yes', `--package=${program}`, '--', ...args, npm.tarball],
    { cwd: folder, encoding: 'utf8' },
  )
  check(`${program} installs it: ${Date.now() - started} ms`, status === 0 ? null : `${stdout}${stderr}`)
  if (status !== 0) return
  const libtorch = { STRATABERT_LIBTORCH: project.tree.directory }
  for (const [file, text] of [
    ['esm.mjs', ESM],
    ['common.cjs', COMMON_JS],
  ]) {
    writeFileSync(join(folder, file), text)
    const ran = run(project, [file, checkpoint], libtorch)
    check(`${program}: ${file} prints the same vector`, ran.stdout === vector ? null : `${ran.stdout}${ran.stderr}`)
  }
  const doctor = spawnSync(join(folder, 'node_modules', '.bin', 'stratabert'), ['doctor'], {
    cwd: folder,
    encoding: 'utf8',
    env: { ...project.environment, ...libtorch, PATH: process.env.PATH },
  })
  check(`${program}: doctor is ready`, doctor.status === 0 ? null : `${doctor.stdout}${doctor.stderr}`)
}

/** What a user reads who has installed the package and nothing else. */
function checkWithoutLibtorch(project: InstalledPackage, checkpoint: string): void {
  const { status, stderr } = run(project, ['esm.mjs', checkpoint])
  const wanted = [
    "code: 'LIBTORCH_NOT_FOUND'",
    'no usable libtorch was found; supported are versions 2.11, 2.12, 2.13, 2.14. Looked at:',
    '- option: not set',
    '- STRATABERT_LIBTORCH: not set',
    '- LIBTORCH: not set',
    '- python: not asked for (LIBTORCH_USE_PYTORCH=1 would)',
    'no-cache/stratabert/libtorch : holds no libtorch',
    '- system: ',
    'What to do:',
    '1. Install it: npx stratabert libtorch install',
    '2. Or name a libtorch you have: STRATABERT_LIBTORCH=/path/to/libtorch',
    "3. Or use Python's: LIBTORCH_USE_PYTORCH=1",
    '4. See what was found: npx stratabert doctor',
  ]
  const absent = wanted.filter((text) => !stderr.includes(text))
  check(
    'without a libtorch: every attempt and four numbered steps',
    status === 1 && absent.length === 0 ? null : `exit code ${status}, missing: ${absent.join(' | ')}\n${stderr}`,
  )
  const program = join('node_modules', '.bin', 'stratabert')
  const doctor = run(project, [program, 'doctor'])
  check(
    'without a libtorch: doctor says so and exits with 1',
    doctor.status === 1 && /Not ready/.test(doctor.stdout) ? null : doctor.stdout,
  )
  const plan = JSON.parse(
    run(project, [program, 'libtorch', 'install', '--flavour', 'cu130', '--dry-run', '--json']).stdout,
  )
  check(
    `libtorch install --flavour cu130 --dry-run: ${plan.files.length} wheels, ${(plan.downloadBytes / 1e9).toFixed(2)} GB`,
    plan.files.every(({ bytes, sha256 }: { bytes: number; sha256: string }) => bytes > 0 && sha256.length === 64)
      ? null
      : 'no sizes or hashes',
  )
}

async function main(): Promise<void> {
  const started = Date.now()
  const { values } = parseArgs({ options: { managers: { type: 'string', default: 'npm' } } })
  const others = values.managers.split(',').filter((name) => name !== 'npm')
  const unknown = others.find((name) => !(name in MANAGERS))
  if (unknown !== undefined)
    throw new Error(`--managers came with "${unknown}", expected npm, ${Object.keys(MANAGERS).join(', ')}`)
  const folder = mkdtempSync(join(tmpdir(), 'stratabert-installed-'))
  try {
    await checkAddonsElsewhere(join(folder, 'addons'))
    const checkpoint = join(folder, 'checkpoint')
    await writeTinyCheckpoint(checkpoint)
    const project = installPackage(folder)
    const without = project.network === 'unshare' ? 'without a network interface' : 'with npm --offline'
    check(
      `npm install ./stratabert-*.tgz (${(project.tarballBytes / 1e6).toFixed(2)} MB) ${without}: ${project.installMs} ms`,
      null,
    )
    check('nothing was compiled or downloaded into it', compiledFiles(project.folder).join(', ') || null)
    const tools = ['cc', 'c++', 'cmake', 'python3'].filter(
      (tool) => !spawnSync(tool, ['--version'], { env: project.environment }).error,
    )
    check('neither compiler nor CMake nor Python on PATH', tools.join(', ') || null)
    const vector = checkPrograms(project, checkpoint)
    checkWithoutLibtorch(project, checkpoint)
    for (const manager of others) checkManager(manager, project, checkpoint, vector)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  const seconds = ((Date.now() - started) / 1000).toFixed(0)
  console.log(
    failures.length === 0
      ? `installed package: all checks passed (${seconds} s)`
      : `installed package: failed: ${failures.join('; ')}`,
  )
  process.exitCode = failures.length === 0 ? 0 : 1
}

main().catch((error) => {
  console.error(error)
  process.exitCode = 1
})
