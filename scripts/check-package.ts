/**
 * Packs the package and looks at it as its users will: every file in the tarball accounted for, publint and are-the-types-wrong, a CommonJS, an
 * ESM and two TypeScript consumers in an empty folder, what the addons need of a system. `--release` (before publishing): the addons of every
 * supported libtorch are inside, made of these sources. What happens when it is installed and computes: scripts/test-package.ts.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { SUPPORTED_MINORS } from '../lib/runtime/versions.js'
import { describeNeeds, inspectAddon } from './addon-needs.js'
import { staleAddons } from './addon-sources.js'
import { buildDist } from './build-dist.js'
import { writeBill } from './package-bill.js'

const root = resolve(__dirname, '..')
const MAX_TARBALL_BYTES = 15e6
/** What may be inside, and how it is summed up. */
const CONTENTS: [string, RegExp][] = [
  ['programs and types', /^dist\/.*\.(js|mjs|d\.ts|d\.mts)$/],
  ["report's style sheet", /^dist\/report\/page\/page\.css$/],
  ['bill of materials', /^dist\/(sbom\.cdx\.json|third-party-licences\.md)$/],
  ['addons', /^addons\/(boot|torch-2\.\d+)\/prebuilds\/[\w-]+\/stratabert\.napi(\.glibc)?\.node$/],
  ['about it', /^(README\.md|CHANGELOG\.md|LICENSE|package\.json)$/],
]

const failures: string[] = []

function check(name: string, problem: string | null): void {
  console.log(`${problem ? '✗' : '✓'} ${name}${problem ? `: ${problem}` : ''}`)
  if (problem) failures.push(name)
}

function checkCommand(name: string, command: string, args: string[], cwd: string): void {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8' })
  check(name, status === 0 ? null : `${stdout}${stderr}`.trim())
}

function checkAddon(path: string): void {
  const name = path.slice(root.length + 1)
  const report = inspectAddon(path, name.includes('boot') ? 'boot' : 'core')
  check(`${name}: ${describeNeeds(report)}; ${report.libraries.join(', ')}`, report.problems.join('; ') || null)
}

interface PackedFile {
  path: string
  size: number
}

function checkContents(files: readonly PackedFile[], release: boolean): void {
  for (const [name, pattern] of CONTENTS) {
    const some = files.filter(({ path }) => pattern.test(path))
    const bytes = some.reduce((sum, { size }) => sum + size, 0)
    const absent = some.length === 0 && (name !== 'addons' || release)
    check(`tarball: ${name}: ${some.length} files, ${(bytes / 1e6).toFixed(2)} MB`, absent ? 'missing' : null)
  }
  const stray = files.filter(({ path }) => !CONTENTS.some(([, pattern]) => pattern.test(path)))
  check('tarball: nothing else', stray.map(({ path }) => path).join(', ') || null)
  const stale = staleAddons().map((folder) => folder.slice(root.length + 1))
  const told = release || stale.length === 0 ? '' : `, but for ${stale.join(', ')}, which npm pack would refuse`
  check(`tarball: addons of these sources${told}`, release ? stale.join(', ') || null : null)
  if (!release) return
  const platform = `${process.platform}-${process.arch}`
  for (const folder of ['boot', ...SUPPORTED_MINORS.map((minor) => `torch-${minor}`)]) {
    const there = files.some(({ path }) => path.startsWith(`addons/${folder}/prebuilds/${platform}/`))
    check(`tarball: addon ${folder} for ${platform}`, there ? null : 'missing: npm run prebuild')
  }
}

/** Every target of `exports` is a file of the tarball, and nothing else of it can be imported. */
function checkExports(folder: string, installed: string): void {
  const targets: string[] = []
  const collect = (value: unknown): void => {
    if (typeof value === 'string') targets.push(value)
    else for (const inner of Object.values(value as object)) collect(inner)
  }
  const { exports, main, types, bin } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'))
  collect([exports, main, types, bin])
  const absent = targets.filter((target) => !existsSync(join(installed, target)))
  check(`exports: ${targets.length} targets exist`, absent.join(', ') || null)
  const closed = ['stratabert/dist/index.js', 'stratabert/runtime', 'stratabert/dist/cli/main.js']
  const program = `const open = ${JSON.stringify(closed)}.filter((name) => { try { require.resolve(name); return true } catch (e) { return e.code !== 'ERR_PACKAGE_PATH_NOT_EXPORTED' } })
if (open.length) throw new Error(open.join()); require('stratabert/package.json')`
  checkCommand('exports: nothing behind them can be imported', process.execPath, ['-e', program], folder)
}

function addonFiles(): string[] {
  const addons = join(root, 'addons')
  if (!existsSync(addons)) return []
  return (readdirSync(addons, { recursive: true }) as string[])
    .filter((name) => name.endsWith('.node'))
    .map((name) => join(addons, name))
}

// The dependencies are those of this checkout, linked: no network is needed.
function checkConsumers(folder: string, tarball: string): void {
  const modules = join(folder, 'node_modules')
  const installed = join(modules, 'stratabert')
  mkdirSync(installed, { recursive: true })
  execFileSync('tar', ['-xzf', tarball, '-C', installed, '--strip-components=1'])
  const manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'))
  for (const name of [...Object.keys(manifest.dependencies), '@types/node']) {
    mkdirSync(dirname(join(modules, name)), { recursive: true })
    symlinkSync(join(root, 'node_modules', name), join(modules, name))
  }
  writeFileSync(join(folder, 'package.json'), '{ "name": "consumer", "private": true }')
  writeFileSync(
    join(folder, 'use.cjs'),
    `const s = require('stratabert'); if (!s.StrataError) throw new Error('no StrataError')`,
  )
  writeFileSync(
    join(folder, 'use.mjs'),
    `import * as s from 'stratabert'; import { createRequire } from 'node:module'\n` +
      `const c = createRequire(import.meta.url)('stratabert')\n` +
      `const missing = Object.keys(c).filter((name) => s[name] !== c[name])\nif (missing.length) throw new Error('differs: ' + missing)`,
  )
  writeFileSync(
    join(folder, 'use.ts'),
    `import { StrataError } from 'stratabert'\nexport const code: string = new StrataError('ABORTED', 'x').code\n`,
  )
  writeFileSync(
    join(folder, 'use-esm.mts'),
    `import { StrataError } from 'stratabert'\nexport const code: string = new StrataError('ABORTED', 'x').code\n`,
  )
  checkCommand('consumer: CommonJS', process.execPath, ['use.cjs'], folder)
  checkCommand('consumer: ESM has the same names and one copy', process.execPath, ['use.mjs'], folder)
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  for (const [module, resolution] of [
    ['node16', 'node16'],
    ['esnext', 'bundler'],
  ]) {
    const options = [
      '--noEmit',
      '--strict',
      '--target',
      'es2022',
      '--lib',
      'es2023,esnext.disposable',
      '--types',
      'node',
    ]
    const args = [tsc, ...options, '--module', module, '--moduleResolution', resolution, 'use.ts', 'use-esm.mts']
    checkCommand(`consumer: TypeScript, ${resolution} resolution`, process.execPath, args, folder)
  }
  checkExports(folder, installed)
  checkCommand(
    'consumer: stratabert --version',
    process.execPath,
    [join(installed, 'dist', 'cli', 'main.js'), '--version'],
    folder,
  )
  check(
    'consumer: no install script',
    manifest.scripts?.install || manifest.scripts?.postinstall || existsSync(join(installed, 'binding.gyp'))
      ? 'npm would compile on every install'
      : null,
  )
}

function main(): void {
  const release = process.argv.includes('--release')
  buildDist()
  writeBill()
  const folder = mkdtempSync(join(tmpdir(), 'stratabert-package-'))
  try {
    const packed = execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const [entry] = Object.values(JSON.parse(packed)) as {
      filename: string
      size: number
      entryCount: number
      files: PackedFile[]
    }[]
    const tarball = join(folder, basename(entry.filename))
    checkContents(entry.files, release)
    check(
      `tarball: ${(entry.size / 1e6).toFixed(2)} MB, ${entry.entryCount} files`,
      entry.size > MAX_TARBALL_BYTES ? `more than ${MAX_TARBALL_BYTES / 1e6} MB` : null,
    )
    checkCommand(
      'publint',
      process.execPath,
      [join(root, 'node_modules', 'publint', 'src', 'cli.js'), 'run', tarball, '--strict'],
      root,
    )
    checkCommand('are-the-types-wrong', join(root, 'node_modules', '.bin', 'attw'), [tarball], root)
    checkConsumers(join(folder, 'consumer'), tarball)
    const addons = addonFiles()
    check('addons are built', addons.length > 0 ? null : 'run npm run build:native')
    addons.forEach(checkAddon)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  console.log(
    failures.length === 0
      ? 'package: all checks passed'
      : `package: ${failures.length} checks failed: ${failures.join('; ')}`,
  )
  process.exitCode = failures.length === 0 ? 0 : 1
}

main()
