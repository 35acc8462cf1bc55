import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { StrataError } from '../errors.js'
import { packageRoot } from './package-root.js'
import { addonsDirectory } from './platform.js'
import {
  addonLoadProblem,
  addonMissing,
  isPrebuilt,
  type SystemFacts,
  systemFacts,
  systemProblem,
} from './system-problem.js'
import { ASK_DOCTOR, whatToDo } from './what-to-do.js'

/** What the NVIDIA driver says about itself through libcuda.so.1 (nvcuda.dll on Windows). */
export interface CudaDriver {
  /** The library could be opened. */
  library: boolean
  /** The loader's words when it could not. */
  words: string
  /** CUresult of the first call that failed; 0 = none. */
  status: number
  /** Newest CUDA that the driver runs, as 1000 × major + 10 × minor; 0 = unknown. */
  version: number
  devices: { name: string /** Compute capability, e.g. `9.0`. */; capability: string }[]
}

/** The tiny addon that is loaded before libtorch. It works in any number of worker threads. */
export interface BootAddon {
  /** Version of the package that it was compiled from. */
  readonly version: string
  /** The processor advertises AMX tiles that cannot be used here; oneDNN is kept below them (slower bf16). */
  readonly avoidedTiles: boolean
  /** dlopen(path, RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE), on Windows LoadLibraryEx: null when loaded, else the loader's own words. */
  open(path: string): string | null
  /**
   * The file's bytes, memory-mapped. Pages are private: a write never reaches the file. An empty file gives an empty buffer.
   * Throws Node-shaped errors (`code`, `path`). The file must not be cut short while the buffer lives.
   * A file may be larger than one typed array can be (`buffer.constants.MAX_LENGTH`): view it in parts then.
   */
  mapFile(path: string): ArrayBuffer
  /** The libtorch folder of this process: the first one given stays, in all threads; null while none was. */
  claim(directory?: string): string | null
  /** Starts the NVIDIA driver in this process and asks it. */
  cudaDriver(): CudaDriver
  /** fsync of a folder: makes a rename inside it durable (on Windows, which has none, it only checks the folder). */
  syncDirectory(path: string): void
}

let boot: BootAddon | undefined

/** Loads the boot addon (once a thread). */
export function loadBoot(): BootAddon {
  boot ??= loadAddon('boot') as BootAddon
  return boot
}

/** Loads addons/<name>: the local build when there is one, else the prebuilt one. */
export function loadAddon(name: string): unknown {
  const path = resolveAddon(name)
  try {
    return require(path)
  } catch (cause) {
    const facts = systemFacts()
    throw new StrataError(
      'ADDON_NOT_FOUND',
      `the addon ${path} cannot be loaded: ${addonLoadProblem((cause as Error).message, facts)}\n${nextSteps(name, facts)}`,
      { cause, details: { addon: name, path } },
    )
  }
}

/** Path of an addon's .node file; ADDON_NOT_FOUND when it is neither built nor prebuilt. */
export function resolveAddon(name: string): string {
  const directory = join(addonsDirectory(), name)
  try {
    return (require('node-gyp-build') as { resolve(directory: string): string }).resolve(directory)
  } catch (cause) {
    const facts = systemFacts()
    const problem = addonMissing(name, addonMinors(), facts)
    throw new StrataError('ADDON_NOT_FOUND', `${problem} (looked in ${directory})\n${nextSteps(name, facts)}`, {
      cause,
      details: { addon: name, directory },
    })
  }
}

/** Minor versions of libtorch that an addon exists for, newest first. */
export function addonMinors(): string[] {
  const directory = addonsDirectory()
  if (!existsSync(directory)) return []
  const minors = readdirSync(directory).flatMap((name) => /^torch-(\d+\.\d+)$/.exec(name)?.[1] ?? [])
  return minors.sort((a, b) => Number(b.split('.')[1]) - Number(a.split('.')[1]))
}

/**
 * What brings an addon that is missing or does not load, best first; empty where nothing does. `tools`: what has to be installed to compile.
 * While STRATABERT_ADDONS is set, nothing that is built or installed elsewhere is looked at.
 */
export function addonSteps(name: string, facts: SystemFacts = systemFacts(), tools = ''): string[] {
  if (systemProblem(facts) !== null) return []
  const named = process.env.STRATABERT_ADDONS
  const steps = named
    ? [`correct STRATABERT_ADDONS, which is ${named}, or unset it: then the package's own addons are loaded`]
    : []
  const minors = addonMinors()
  const minor = /^torch-(.+)$/.exec(name)?.[1]
  if (existsSync(join(packageRoot, 'CMakeLists.txt'))) {
    const options = [...(minor ? ['--torch-version', minor] : []), ...(named ? ['--addons', named] : [])]
    const command = ['npm run build:native', ...(options.length > 0 ? ['--', ...options] : [])].join(' ')
    steps.push(`${tools ? `install ${tools}, then ` : ''}compile it: ${command}`)
  } else if (minor && minors.length > 0 && !minors.includes(minor)) {
    steps.push(`use a libtorch that an addon is here for: npx stratabert libtorch install --torch-version ${minors[0]}`)
  } else if (isPrebuilt(facts) && !named) {
    steps.push('install the package again; in a bundled program, keep stratabert out of the bundle (docs/install.md)')
  }
  return steps
}

function nextSteps(name: string, facts: SystemFacts): string {
  return whatToDo([...addonSteps(name, facts), ASK_DOCTOR])
}
