/**
 * Brings libtorch and the main addon into the process, in the only order that works: boot addon → libtorch_cpu → libtorch_cuda (when
 * CUDA is wanted; after the first ATen call it is too late) → main addon.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { StrataError } from '../errors.js'
import { loadAddon, loadBoot, resolveAddon } from './boot.js'
import { limitThreads } from './cgroup.js'
import { cudaFacts, cudaProblem } from './cuda-problem.js'
import {
  chooseCudaBuild,
  findLibtorch,
  type LibtorchAttempt,
  type LibtorchTree,
  libtorchNotFound,
  replaceTree,
} from './find-libtorch.js'
import { checkNativeChoices } from './native-choices.js'
import type { NativeCore } from './native-core.js'
import { libraryFile } from './platform.js'
import { programArguments } from './program.js'
import { ASK_DOCTOR, whatToDo } from './what-to-do.js'

export type DeviceChoice = 'cpu' | 'cuda' | 'auto'

/** Which device and libtorch a process wants; the first call decides for all threads. */
export interface LoadOptions {
  /**
   * `cuda` throws when it cannot be had, `auto` falls back to the CPU with one warning. `cuda:1` and the like count as `cuda`. Absent: what is
   * loaded, else `auto`.
   */
  device?: DeviceChoice | string
  /** Folder of libtorch; stands before every other place. */
  libtorch?: string
}

/** What is loaded, and how it came to that. */
export interface LoadedRuntime {
  core: NativeCore
  tree: LibtorchTree
  /** What `auto` means in this process. */
  device: 'cpu' | 'cuda'
  /** Why CUDA is not used; null when it is or was not asked for. */
  cudaProblem: string | null
  /** Every file that was opened, with the loader's words when it failed. */
  trace: { path: string; problem: string | null }[]
  attempts: LibtorchAttempt[]
}

const STARTED_FOR_CPU =
  "the process was started for the CPU: the first that asked for a device asked for 'cpu', and CUDA cannot be added afterwards"

let loaded: LoadedRuntime | undefined
/** The folder that is being opened, or that could not be. Parts of it may be mapped for good: no other one is tried beside them. */
let opening: string | null = null
let warnedOfFallback = false

/** The main addon; loads libtorch at the first call. Later calls return the same one, or throw when they ask for CUDA that was not loaded. */
export function loadCore(options: LoadOptions = {}): NativeCore {
  return loadRuntime(options).core
}

/** Like {@link loadCore}, with everything known about how it was loaded. */
export function loadRuntime(options: LoadOptions = {}): LoadedRuntime {
  const device = deviceChoice(options.device)
  if (loaded) {
    if (options.libtorch)
      refuseSecond(loaded.tree.directory, find({ device, libtorch: options.libtorch }).tree.directory)
    if (device === 'cuda' && loaded.device !== 'cuda') throw cudaUnavailable(loaded)
    if (options.device === 'auto') warnOfFallback(loaded)
    return loaded
  }
  checkNativeChoices()
  // A worker without a wish of its own takes what the process has.
  const { tree, attempts } = find({ device, libtorch: options.libtorch ?? loadBoot().claim() ?? undefined })
  // Before anything of libtorch is mapped: without an addon for this version nothing could be done with it.
  resolveAddon(`torch-${tree.minor}`)

  const first = loadBoot().claim() === null
  refuseSecond(loadBoot().claim(tree.directory), tree.directory)
  opening = tree.directory
  const trace: LoadedRuntime['trace'] = []
  openLibrary(join(tree.directory, 'lib', libraryFile('libtorch_cpu')), tree, trace)
  let problem = device === 'cpu' ? null : openCuda(tree, trace)

  const core = loadAddon(`torch-${tree.minor}`) as NativeCore
  if (core.torchVersion !== tree.minor) {
    throw new StrataError(
      'LIBTORCH_VERSION',
      `the addon was compiled for libtorch ${core.torchVersion}, ${tree.directory} is ${tree.version}; ` +
        'expected the same minor version; run `npm run build:native` or choose another libtorch',
      { details: { addon: core.torchVersion, libtorch: tree.version, directory: tree.directory } },
    )
  }
  core.floatProducts?.() // a value that is not known is told here, not in the middle of the first step
  // Once a process: a worker that comes later does not undo what somebody has chosen.
  if (first) limitThreads(core)
  if (device !== 'cpu' && problem === null && (core.cudaDeviceCount?.() ?? 0) === 0) {
    problem = first
      ? 'libtorch_cuda is loaded but finds no device: check the NVIDIA driver (nvidia-smi) and CUDA_VISIBLE_DEVICES'
      : "libtorch_cuda is loaded but finds no device: when another thread has asked for 'cpu' before, ask for 'auto' or 'cuda' in the first one"
  }
  loaded = {
    core,
    tree,
    device: device !== 'cpu' && problem === null ? 'cuda' : 'cpu',
    cudaProblem: device === 'cpu' ? STARTED_FOR_CPU : problem,
    trace,
    attempts,
  }
  opening = null
  if (device === 'cuda' && loaded.device !== 'cuda') throw cudaUnavailable(loaded)
  if (device === 'auto') warnOfFallback(loaded)
  return loaded
}

/** `auto` → `cpu` or `cuda` by what this process has; other names are checked and returned. Loads the runtime. */
export function resolveDevice(
  device: DeviceChoice | string = 'auto',
  options: Omit<LoadOptions, 'device'> = {},
): string {
  const runtime = loadRuntime({ ...options, device })
  return device === 'auto' ? runtime.device : device
}

/** What is loaded in this thread, or null. Loads nothing. */
export function loadedRuntime(): LoadedRuntime | null {
  return loaded ?? null
}

function deviceChoice(device: string = 'auto'): DeviceChoice {
  if (device === 'cpu' || device === 'cuda' || device === 'auto') return device
  if (/^cuda:\d+$/.test(device)) return 'cuda'
  throw new StrataError('BAD_ARGUMENT', `device '${device}' is unknown; expected cpu, cuda, cuda:<index> or auto`, {
    details: { argument: 'device', value: device },
  })
}

/** Once a thread, for whoever let us choose. A CPU tree on a machine without an NVIDIA device says of itself that no GPU is meant: no warning. */
function warnOfFallback({ tree, cudaProblem }: LoadedRuntime): void {
  if (warnedOfFallback || cudaProblem === null) return
  if (tree.flavour !== 'cuda' && !existsSync('/dev/nvidia0')) return
  warnedOfFallback = true
  process.emitWarning(`computing on the CPU: ${cudaProblem}`, {
    code: 'STRATABERT_CPU_FALLBACK',
    type: 'StratabertWarning',
  })
}

function find(options: { device: DeviceChoice; libtorch?: string }): {
  tree: LibtorchTree
  attempts: LibtorchAttempt[]
} {
  let { tree, attempts } = findLibtorch(options)
  if (!tree && process.env.STRATABERT_LIBTORCH_AUTO_INSTALL === '1' && attempts.at(-1)?.source === 'system') {
    installNow()
    ;({ tree, attempts } = findLibtorch(options))
  }
  if (!tree) throw libtorchNotFound(attempts)
  return { tree, attempts }
}

// loadCore is synchronous, fetching is not: it happens in a process of its own, whose progress goes to stderr.
function installNow(): void {
  spawnSync(process.execPath, programArguments(__dirname, 'install-main'), { stdio: ['ignore', 2, 2] })
}

function refuseSecond(claimed: string | null, directory: string): void {
  if (claimed === directory) return
  const [state, remedy] =
    claimed === opening
      ? ['could not load the libtorch in', 'start another process with the one that works']
      : ['already uses the libtorch in', 'use the same one everywhere, or start another process']
  throw new StrataError(
    'LIBTORCH_VERSION',
    `this process ${state} ${claimed}; ${directory} was asked for; expected one libtorch a process: ${remedy}`,
    { details: { claimed, directory } },
  )
}

function openLibrary(path: string, tree: LibtorchTree, trace: LoadedRuntime['trace']): void {
  const problem = openWithNeighbours(path, tree, trace)
  if (problem === null) return
  throw new StrataError(
    'LIBTORCH_NOT_FOUND',
    `libtorch ${tree.version} in ${tree.directory} cannot be loaded: ${problem}\n${describeTrace(trace)}\n` +
      whatToDo([replaceTree(tree), ASK_DOCTOR]),
    { details: { directory: tree.directory, trace } },
  )
}

function openCuda(tree: LibtorchTree, trace: LoadedRuntime['trace']): string | null {
  const path = join(tree.directory, 'lib', libraryFile('libtorch_cuda'))
  if (!existsSync(path)) {
    return `${tree.directory} is a CPU build of libtorch (no ${libraryFile('libtorch_cuda')}); ${chooseCudaBuild(tree)}`
  }
  // The driver first: without one, libtorch_cuda would only cost 250 MB and half a second.
  const problem = cudaProblem(cudaFacts(loadBoot()), tree.version)
  if (problem === null) return openWithNeighbours(path, tree, trace)
  trace.push({ path, problem: 'not opened' })
  return problem
}

/**
 * dlopen; when a library it needs is missing, that one is looked for in the folders of a Python installation (nvidia/…/lib beside
 * torch/) and opened first. The first error is what is reported: a later one is only its consequence.
 */
function openWithNeighbours(path: string, tree: LibtorchTree, trace: LoadedRuntime['trace']): string | null {
  const boot = loadBoot()
  const folders = neighbourFolders(tree.directory)
  const tried = new Set<string>()
  let first: string | null = null
  for (;;) {
    const problem = boot.open(path)
    trace.push({ path, problem })
    if (problem === null) return null
    first ??= problem
    const missing = /^(?:.*\/)?(lib[\w.+-]+\.so[.\d]*): cannot open shared object file/.exec(problem)?.[1]
    const neighbour = missing && folders.map((folder) => join(folder, missing)).find((file) => existsSync(file))
    if (!neighbour || tried.has(neighbour)) return first
    tried.add(neighbour)
    const neighbourProblem = openWithNeighbours(neighbour, tree, trace)
    if (neighbourProblem !== null) return first
  }
}

function neighbourFolders(directory: string): string[] {
  const nvidia = join(dirname(directory), 'nvidia')
  const folders = [join(directory, 'lib')]
  if (!existsSync(nvidia)) return folders
  return folders.concat(readdirSync(nvidia).map((name) => join(nvidia, name, 'lib')))
}

function describeTrace(trace: LoadedRuntime['trace']): string {
  return trace.map(({ path, problem }) => `  - ${path}: ${problem ?? 'loaded'}`).join('\n')
}

function cudaUnavailable({ cudaProblem, trace, tree }: Omit<LoadedRuntime, 'core'>): StrataError {
  const steps =
    cudaProblem === STARTED_FOR_CPU
      ? ["ask for 'cuda' or 'auto' before anything is loaded for 'cpu'; models on the CPU work beside it"]
      : ['check the driver: nvidia-smi', 'check the flavour: npx stratabert doctor']
  return new StrataError(
    'DEVICE_UNAVAILABLE',
    `device 'cuda' was asked for and cannot be used: ${cudaProblem ?? 'unknown reason'}\n${describeTrace(trace)}\n` +
      whatToDo([...steps, "or compute on the CPU: device 'cpu' (or 'auto')"]),
    { details: { cudaProblem, trace, libtorch: tree.directory } },
  )
}
