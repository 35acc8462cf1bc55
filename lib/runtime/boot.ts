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

function nextSteps(name: string, facts: SystemFacts): string {
  const [newest] = addonMinors()
  const minor = /^torch-(.+)$/.exec(name)?.[1]
  const steps: string[] = []
  if (systemProblem(facts) === null) {
    if (existsSync(join(packageRoot, 'CMakeLists.txt'))) {
      steps.push(`Compile it: npm run build:native${minor ? ` -- --torch-version ${minor}` : ''}`)
    } else if (newest)
      steps.push(`Use a libtorch that an addon is here for: npx stratabert libtorch install --torch-version ${newest}`)
    else if (isPrebuilt(facts)) steps.push('Install the package again: npm install stratabert')
  }
  steps.push('See what was found: npx stratabert doctor')
  return `What to do:\n${steps.map((step, i) => `  ${i + 1}. ${step}`).join('\n')}`
}
