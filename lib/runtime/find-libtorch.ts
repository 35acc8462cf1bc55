/**
 * Which libtorch is used. The places are asked in a fixed order and every answer is kept for the error text and for `doctor`:
 * explicit option → STRATABERT_LIBTORCH → LIBTORCH → Python's torch (LIBTORCH_USE_PYTORCH=1) → our cache → system folders.
 * The first two are the user's plain wish: when one is wrong, the search stops there instead of taking another tree silently.
 */
import { existsSync, readdirSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { StrataError } from '../errors.js'
import { askProgram } from './ask-program.js'
import { libtorchManifest } from './libtorch-manifest.js'
import {
  addonsDirectory,
  cacheDirectory,
  type Environment,
  libraryFile,
  libraryProblem,
  pythonProgram,
} from './platform.js'
import { type SystemFacts, systemFacts, systemProblem } from './system-problem.js'
import {
  DEFAULT_TORCH_VERSION,
  isSupportedMinor,
  parseTorchVersion,
  readTreeVersion,
  SUPPORTED_MINORS,
} from './versions.js'
import { ASK_DOCTOR, whatToDo } from './what-to-do.js'

export type LibtorchSource = 'option' | 'STRATABERT_LIBTORCH' | 'LIBTORCH' | 'python' | 'cache' | 'system'

/** A folder of libtorch that can be used. */
export interface LibtorchTree {
  source: LibtorchSource
  /** Holds lib/ (and include/, needed to compile only). */
  directory: string
  /** e.g. `2.13.0+cu130`. */
  version: string
  /** e.g. `2.13`. */
  minor: string
  /** `cuda` when libtorch_cuda lies in it. */
  flavour: 'cpu' | 'cuda'
}

/** For people: `2.13.0 (cpu)`, `2.13.0+cu130 (cuda)`. A CUDA wheel whose CUDA libraries were left out still calls itself `+cu130`. */
export function describeTree({ version, flavour }: Pick<LibtorchTree, 'version' | 'flavour'>): string {
  return `${flavour === 'cpu' ? version.replace(/\+.*/, '') : version} (${flavour})`
}

/** One place that was asked, and the answer. */
export interface LibtorchAttempt {
  source: LibtorchSource
  /** What was looked at; null when the place is not set. */
  path: string | null
  /** Why it was not taken; null for the one that was. */
  problem: string | null
}

export interface FindOptions {
  /** Folder named by the caller. */
  libtorch?: string
  /** `cpu` takes a CPU tree of the cache first, anything else a CUDA tree first. */
  device?: 'cpu' | 'cuda' | 'auto'
  environment?: Environment
  /** Folders for the last place; the usual ones when absent. */
  systemDirectories?: string[]
  /** Only this minor version will do. */
  minor?: string
}

export interface FindResult {
  tree: LibtorchTree | null
  attempts: LibtorchAttempt[]
}

const SYSTEM_DIRECTORIES = ['/usr/local/libtorch', '/opt/libtorch', '/usr/lib/libtorch', '/opt/homebrew/opt/pytorch']

/**
 * Checks one folder; a string says why it cannot be used, also when it cannot be read. Accepts the folder itself or one that holds
 * `libtorch/` or `torch/`.
 */
export function inspectTree(path: string, source: LibtorchSource, minor?: string): LibtorchTree | string {
  try {
    return inspectReadable(path, source, minor)
  } catch (error) {
    return cannotBeRead(error)
  }
}

function cannotBeRead(error: unknown): string {
  return `cannot be read (${(error as Error).message})`
}

function inspectReadable(path: string, source: LibtorchSource, minor?: string): LibtorchTree | string {
  if (!existsSync(path)) return 'the folder does not exist'
  if (!statSync(path).isDirectory()) return 'is a file; a folder with lib/ and version.py was expected'
  const cpuLibrary = join('lib', libraryFile('libtorch_cpu'))
  const candidates = [path, join(path, 'torch'), join(path, 'libtorch')]
  if (basename(path) === 'lib') candidates.push(dirname(path))
  const directory = candidates.find((candidate) => existsSync(join(candidate, cpuLibrary)))
  if (!directory) return `holds no ${cpuLibrary}`
  const version = readTreeVersion(directory)
  if (!version) return 'its version cannot be read: neither version.py nor build-version says one'
  if (!isSupportedMinor(version.minor))
    return `is libtorch ${version.full}; supported are ${SUPPORTED_MINORS.join(', ')}`
  if (minor !== undefined && version.minor !== minor) return `is libtorch ${version.full}; ${minor} was asked for`
  for (const name of ['libtorch_cpu', 'libc10']) {
    const problem = libraryProblem(join(directory, 'lib', libraryFile(name)))
    if (problem) return `lib/${libraryFile(name)} ${problem}`
  }
  const flavour = existsSync(join(directory, 'lib', libraryFile('libtorch_cuda'))) ? 'cuda' : 'cpu'
  return { source, directory, version: version.full, minor: version.minor, flavour }
}

/** Asks all places in order. Never throws because of what it finds. */
export function findLibtorch(options: FindOptions = {}): FindResult {
  const environment = options.environment ?? process.env
  const attempts: LibtorchAttempt[] = []
  const attempt = (source: LibtorchSource, path: string | null, missing: string): LibtorchTree | null => {
    const outcome = path === null ? missing : inspectTree(resolve(path), source, options.minor)
    const failed = typeof outcome === 'string'
    attempts.push({ source, path: path === null ? null : resolve(path), problem: failed ? outcome : null })
    return failed ? null : outcome
  }

  for (const [source, path] of [
    ['option', options.libtorch],
    ['STRATABERT_LIBTORCH', environment.STRATABERT_LIBTORCH],
  ] as const) {
    const tree = attempt(source, path || null, 'not set')
    if (path) return { tree, attempts }
  }

  const fromLibtorch = attempt('LIBTORCH', environment.LIBTORCH || null, 'not set')
  if (fromLibtorch) return { tree: fromLibtorch, attempts }

  if (environment.LIBTORCH_USE_PYTORCH === '1') {
    const python = pythonTorch(environment)
    const tree = attempt('python', python.path, python.problem)
    if (tree) return { tree, attempts }
  } else attempts.push({ source: 'python', path: null, problem: 'not asked for (LIBTORCH_USE_PYTORCH=1 would)' })

  const cached = cachedTrees(environment, options.device)
  if (cached.problem !== null) {
    attempts.push({ source: 'cache', path: libtorchCacheDirectory(environment), problem: cached.problem })
  }
  for (const path of cached.paths) {
    const tree = attempt('cache', path, '')
    if (tree) return { tree, attempts }
  }

  const system = (options.systemDirectories ?? SYSTEM_DIRECTORIES).filter((path) => existsSync(path))
  if (system.length === 0) attempts.push({ source: 'system', path: null, problem: 'none of the usual folders exists' })
  for (const path of system) {
    const tree = attempt('system', path, '')
    if (tree) return { tree, attempts }
  }
  return { tree: null, attempts }
}

/** `<cache>/libtorch`, one folder a version, flavour and platform; null without a home folder. */
export function libtorchCacheDirectory(environment: Environment = process.env): string | null {
  const cache = cacheDirectory(environment)
  return cache === null ? null : join(cache, 'libtorch')
}

/**
 * Installed trees, best first: an addon for them exists, then the default version, then newer ones; the flavour by the device asked for.
 * `problem` says why there are none.
 */
function cachedTrees(
  environment: Environment,
  device: FindOptions['device'],
): { paths: string[]; problem: string | null } {
  const none = { paths: [], problem: 'holds no libtorch' }
  const directory = libtorchCacheDirectory(environment)
  if (directory === null || !existsSync(directory)) return none
  let names: string[]
  try {
    names = readdirSync(directory)
  } catch (error) {
    return { paths: [], problem: cannotBeRead(error) }
  }
  const pattern = new RegExp(`^(\\d+\\.\\d+\\.\\d+)-(cpu|cu\\d+)-${process.platform}-${process.arch}$`)
  const addons = addonsDirectory(environment)
  const score = (name: string): number[] => {
    const [, version, flavour] = pattern.exec(name)!
    const minor = parseTorchVersion(version)!.minor
    return [
      existsSync(join(addons, `torch-${minor}`)) ? 0 : 1,
      version === DEFAULT_TORCH_VERSION ? 0 : 1,
      (flavour === 'cpu') === (device === 'cpu') ? 0 : 1,
      -Number(minor.split('.')[1]),
    ]
  }
  const compare = (a: string, b: string): number => {
    const [left, right] = [score(a), score(b)]
    for (let i = 0; i < left.length; i++) if (left[i] !== right[i]) return left[i] - right[i]
    return a < b ? -1 : 1
  }
  const paths = names
    .filter((name) => pattern.test(name))
    .sort(compare)
    .map((name) => join(directory, name))
  return paths.length > 0 ? { paths, problem: null } : none
}

/** Folder of the torch package of {@link pythonProgram}, found without importing it. */
function pythonTorch(environment: Environment): { path: string | null; problem: string } {
  const python = pythonProgram(environment)
  const code =
    'import importlib.util as u; s = u.find_spec("torch"); print(s.submodule_search_locations[0] if s else "")'
  const { output, problem } = askProgram(python, ['-c', code], { environment: environment as NodeJS.ProcessEnv })
  if (output === null) return { path: null, problem }
  const path = output.trim()
  return path ? { path, problem: '' } : { path: null, problem: `${python} has no package torch` }
}

/** The attempts as lines: `  - cache: ~/.cache/… : holds no libtorch`. */
export function describeAttempts(attempts: LibtorchAttempt[]): string {
  return attempts
    .map(({ source, path, problem }) => `  - ${source}: ${path === null ? '' : `${path} : `}${problem ?? 'used'}`)
    .join('\n')
}

/** The user's plain wish that was wrong and ended the search; null when the search went on to the last place. */
export function wrongChoice(attempts: LibtorchAttempt[]): 'option' | 'STRATABERT_LIBTORCH' | null {
  const last = attempts.at(-1)
  return last?.problem && (last.source === 'option' || last.source === 'STRATABERT_LIBTORCH') ? last.source : null
}

/** What to do about a wrong choice. Nothing else helps: the places behind it are not asked while it stands. */
export function correctChoice(choice: 'option' | 'STRATABERT_LIBTORCH'): string {
  return choice === 'option'
    ? "correct the option 'libtorch', or leave it away: then STRATABERT_LIBTORCH, LIBTORCH and the cache are searched"
    : 'correct STRATABERT_LIBTORCH, or unset it: then LIBTORCH and the cache are searched'
}

/** How a tree that was found and cannot be loaded is made whole; a copy that the search does not reach would change nothing. */
export function replaceTree({ source, directory, version, flavour }: LibtorchTree): string {
  const release = version.split('+')[0]
  const options = `${release === DEFAULT_TORCH_VERSION ? '' : ` --torch-version ${release}`}${flavour === 'cuda' ? ' --flavour cu130' : ''}`
  switch (source) {
    case 'cache':
      return `fetch a fresh copy: npx stratabert libtorch install --force${options}`
    case 'python':
      return `install Python's torch again: pip install --force-reinstall torch==${release}; or unset LIBTORCH_USE_PYTORCH`
    case 'system':
      return `replace ${directory}, or install one that is found before it: npx stratabert libtorch install${options}`
    case 'option':
      return `replace ${directory}, which the option 'libtorch' names, or leave the option away`
    default:
      return `replace ${directory}, which ${source} names, or unset ${source}`
  }
}

/** How a CUDA build takes the place of a CPU tree: one in the cache is not looked at while another is named. */
export function chooseCudaBuild({ source }: Pick<LibtorchTree, 'source'>): string {
  const fetch = 'npx stratabert libtorch install --flavour cu130'
  switch (source) {
    case 'cache':
    case 'system':
      return `install the CUDA one: ${fetch}`
    case 'python':
      return `install a CUDA build of Python's torch, or unset LIBTORCH_USE_PYTORCH and ${fetch}`
    case 'option':
      return `name a CUDA build with the option 'libtorch', or leave it away and ${fetch}`
    default:
      return `name a CUDA build with ${source}, or unset it and ${fetch}`
  }
}

/** LIBTORCH_NOT_FOUND with every attempt and what to do next. */
export function libtorchNotFound(attempts: LibtorchAttempt[], facts: SystemFacts = systemFacts()): StrataError {
  const choice = wrongChoice(attempts)
  const stopped = choice ? `\nThe search stops at ${choice}: it is an explicit choice.` : ''
  const wrongVersion = attempts.some(({ problem }) => problem?.includes('supported are'))
  const platform = `${facts.platform}-${facts.arch}`
  const pinned = libtorchManifest.builds.some((build) => build.platform === platform)
  const install = pinned
    ? 'install it: npx stratabert libtorch install   (about 540 MB; --flavour cu130 for an NVIDIA GPU)'
    : `no download is pinned for ${platform}: install Python's torch (pip install torch==${DEFAULT_TORCH_VERSION}) and use step 3`
  const python = `use Python's: LIBTORCH_USE_PYTORCH=1 with torch ${SUPPORTED_MINORS[0]} … ${SUPPORTED_MINORS.at(-1)} (STRATABERT_PYTHON names the interpreter)`
  const steps = [
    ...(choice
      ? [correctChoice(choice), `where none is found then, ${install}`, `or then ${python}`]
      : [
          install,
          'or name a libtorch you have: STRATABERT_LIBTORCH=/path/to/libtorch (the folder with lib/ and version.py or build-version)',
          `or ${python}`,
        ]),
    ASK_DOCTOR,
  ]
  const problem = systemProblem(facts)
  if (problem) steps.splice(0, steps.length - 1, problem)
  return new StrataError(
    wrongVersion && stopped ? 'LIBTORCH_VERSION' : 'LIBTORCH_NOT_FOUND',
    `no usable libtorch was found; supported are versions ${SUPPORTED_MINORS.join(', ')}. Looked at:\n${describeAttempts(attempts)}${stopped}\n${whatToDo(steps)}`,
    { details: { attempts } },
  )
}
