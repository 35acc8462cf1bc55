/**
 * Packs this checkout and installs the tarball as a user would, into an empty project: no network, no compiler, no CMake. The addons of the
 * checkout take the place of those that `prebuild` makes, in a copy: the checkout's own prebuilt ones stay as they are.
 */
import { execFileSync, type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs'
import { basename, delimiter, dirname, join, resolve } from 'node:path'
import { resolveAddon } from '../lib/runtime/boot.js'
import { findLibtorch, type LibtorchTree, libtorchNotFound } from '../lib/runtime/find-libtorch.js'
import { buildDist } from './build-dist.js'
import { writeBill } from './package-bill.js'
import { publishAddon } from './prebuild.js'

const root = resolve(__dirname, '..')

export interface InstalledPackage {
  /** The project's folder. */
  folder: string
  tarball: string
  tarballBytes: number
  /** How the network was taken away: `unshare` (a network namespace without interfaces) or, where that is not allowed, `npm` (--offline alone). */
  network: 'unshare' | 'npm'
  /** Duration of `npm install` without network. */
  installMs: number
  /** The libtorch that the addon inside is made for. */
  tree: LibtorchTree
  /** Environment with nothing but Node on its PATH. */
  environment: NodeJS.ProcessEnv
}

/** `folder` must exist; the project is made in `folder`/project. */
export function installPackage(folder: string): InstalledPackage {
  const { tree, attempts } = findLibtorch({ device: 'cpu' })
  if (!tree) throw libtorchNotFound(attempts)
  buildDist()
  writeBill()
  const copy = join(folder, 'package')
  for (const name of ['package.json', 'README.md', 'CHANGELOG.md', 'LICENSE', 'dist'])
    cpSync(join(root, name), join(copy, name), { recursive: true })
  for (const name of ['boot', `torch-${tree.minor}`]) publishAddon(resolveAddon(name), name, copy)
  const packed = execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], {
    cwd: copy,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const [{ filename, size }] = Object.values(JSON.parse(packed)) as { filename: string; size: number }[]
  const tarball = join(folder, basename(filename))
  const project = join(folder, 'project')
  mkdirSync(project)
  writeFileSync(join(project, 'package.json'), '{ "name": "project", "private": true }\n')
  const environment = bareEnvironment(join(folder, 'bin'))
  const isolation = [['-n'], ['-rn']].find((options) => spawnSync('unshare', [...options, 'true']).status === 0)
  const started = Date.now()
  const install = (where: string, offline: boolean): SpawnSyncReturns<string> => {
    // Its errors are read below; `npm run --silent` around this program would silence them.
    const quiet = ['--no-audit', '--no-fund', '--loglevel=error']
    const npm = [npmProgram(), 'install', ...quiet, ...(offline ? ['--offline'] : []), tarball]
    const [command, ...args] = [
      ...(offline && isolation ? [which('unshare'), ...isolation] : []),
      process.execPath,
      ...npm,
    ]
    return spawnSync(command, args, { cwd: where, encoding: 'utf8', env: environment })
  }
  let result = install(project, true)
  let installMs = Date.now() - started
  if (result.status !== 0 && /ENOTCACHED|cache/i.test(result.stderr)) {
    // npm's cache does not hold the dependencies yet: it is filled from a project of its own, over the network.
    const other = join(folder, 'filling-the-cache')
    mkdirSync(other)
    writeFileSync(join(other, 'package.json'), '{ "name": "other", "private": true }\n')
    const filled = install(other, false)
    if (filled.status !== 0) throw new Error(`npm install failed: ${filled.stderr}`)
    const again = Date.now()
    result = install(project, true)
    installMs = Date.now() - again
  }
  if (result.status !== 0) throw new Error(`npm install without network failed: ${result.stdout}${result.stderr}`)
  return {
    folder: project,
    tarball,
    tarballBytes: size,
    network: isolation ? 'unshare' : 'npm',
    installMs,
    tree,
    environment,
  }
}

/** Files that an install script would have left. */
export function compiledFiles(project: string): string[] {
  const installed = join(project, 'node_modules', 'stratabert')
  const files = readdirSync(installed, { recursive: true }) as string[]
  return files.filter((file) => /(^|\/)(build|binding\.gyp|CMakeCache\.txt|.*\.o)$/.test(file))
}

/** PATH holds links to Node and a shell, nothing else: neither compiler nor CMake nor Python is found. */
function bareEnvironment(bin: string): NodeJS.ProcessEnv {
  mkdirSync(bin)
  symlinkSync(process.execPath, join(bin, 'node'))
  symlinkSync(which('sh'), join(bin, 'sh'))
  const environment: NodeJS.ProcessEnv = { ...process.env, PATH: bin, XDG_CACHE_HOME: join(dirname(bin), 'no-cache') }
  for (const name of Object.keys(environment)) {
    if (/^(STRATABERT_|LIBTORCH|npm_(?!config_)|NODE_OPTIONS|CXX$|CC$)/.test(name)) delete environment[name]
  }
  return environment
}

function npmProgram(): string {
  const path = process.env.npm_execpath
  return path && /npm-cli\.js$/.test(path) && existsSync(path) ? path : realpathSync(which('npm'))
}

function which(name: string): string {
  const found = (process.env.PATH ?? '')
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find(existsSync)
  if (!found) throw new Error(`${name} was not found on PATH`)
  return found
}
