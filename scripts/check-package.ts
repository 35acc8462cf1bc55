/**
 * Packs the package and looks at it as its users will: publint and are-the-types-wrong on the tarball, a CommonJS, an ESM and two
 * TypeScript consumers in an empty folder, and the addons' needs by readelf. Ends with one line of figures.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { buildDist } from './build-dist.js'

const root = resolve(__dirname, '..')
/** Ubuntu 22.04 and Debian 12 can load what stays below these. */
const MAX_SYMBOLS = { GLIBC: '2.35', GLIBCXX: '3.4.30', CXXABI: '1.3.13' }
const ALLOWED_LIBRARIES =
  /^(libtorch_cpu|libc10|libstdc\+\+|libgcc_s|libc|libm|libdl|libpthread|ld-linux-x86-64|ld-linux-aarch64)\.so(\.\d+)?$/
const MAX_ADDON_BYTES = 20e6
const MAX_TARBALL_BYTES = 10e6

const failures: string[] = []

function check(name: string, problem: string | null): void {
  console.log(`${problem ? '✗' : '✓'} ${name}${problem ? `: ${problem}` : ''}`)
  if (problem) failures.push(name)
}

function checkCommand(name: string, command: string, args: string[], cwd: string): void {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8' })
  check(name, status === 0 ? null : `${stdout}${stderr}`.trim())
}

function moreThan(version: string, limit: string): boolean {
  const [a, b] = [version, limit].map((text) => text.split('.').map(Number))
  for (let i = 0; i < Math.max(a.length, b.length); i++)
    if ((a[i] ?? 0) !== (b[i] ?? 0)) return (a[i] ?? 0) > (b[i] ?? 0)
  return false
}

function checkAddon(path: string): void {
  const name = path.slice(root.length + 1)
  const dynamic = execFileSync('readelf', ['-d', path], { encoding: 'utf8' })
  check(`${name}: no RUNPATH or RPATH`, /\((RUNPATH|RPATH)\)/.test(dynamic) ? 'has one' : null)
  const needed = [...dynamic.matchAll(/\(NEEDED\).*\[(.+)\]/g)].map((match) => match[1])
  const strange = needed.filter(
    (library) => !ALLOWED_LIBRARIES.test(library) || (name.includes('boot') && /torch|c10/.test(library)),
  )
  check(`${name}: needs ${needed.join(', ')}`, strange.length > 0 ? `not allowed: ${strange.join(', ')}` : null)
  const symbols = execFileSync('readelf', ['--version-info', '--wide', path], { encoding: 'utf8' })
  for (const [family, limit] of Object.entries(MAX_SYMBOLS)) {
    const versions = [...symbols.matchAll(new RegExp(`Name: ${family}_([\\d.]+)`, 'g'))].map((match) => match[1])
    const highest = versions.reduce((max, version) => (moreThan(version, max) ? version : max), '0')
    check(`${name}: ${family} ${highest} ≤ ${limit}`, moreThan(highest, limit) ? 'too new' : null)
  }
  const bytes = statSync(path).size
  check(
    `${name}: ${(bytes / 1e6).toFixed(2)} MB`,
    bytes > MAX_ADDON_BYTES ? `more than ${MAX_ADDON_BYTES / 1e6} MB` : null,
  )
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
  buildDist()
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
      files: { path: string }[]
    }[]
    const tarball = join(folder, basename(entry.filename))
    check(
      `tarball: ${(entry.size / 1e6).toFixed(2)} MB, ${entry.entryCount} files`,
      entry.size > MAX_TARBALL_BYTES ? `more than ${MAX_TARBALL_BYTES / 1e6} MB` : null,
    )
    const stray = entry.files
      .map(({ path }) => path)
      .filter(
        (path) => !/^(dist\/|addons\/[^/]+\/prebuilds\/|README\.md$|CHANGELOG\.md$|LICENSE$|package\.json$)/.test(path),
      )
    check('tarball: only published files', stray.length > 0 ? stray.join(', ') : null)
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
