/**
 * What an addon may ask of the system that loads it, asserted by `prebuild` and `check:package`. libstdc++ is not linked in: libtorch brings
 * exceptions, exception_ptr and streams of the system's libstdc++.so.6 into the process, and an exception that crosses into a second copy
 * of the C++ run time is counted, rethrown and freed by the wrong one. libtorch needs that library anyway (GLIBCXX_3.4.22), so nothing would
 * be won below it.
 */
import { statSync } from 'node:fs'
import { ADDON_NEEDS } from '../lib/runtime/system-problem.js'
import { compareVersions, type ElfNeeds, elfNeeds } from './elf.js'

const SYSTEM_LIBRARIES =
  /^(libstdc\+\+|libgcc_s|libc|libm|libdl|libpthread|ld-linux-x86-64|ld-linux-aarch64)\.so(\.\d+)?$/
const TORCH_LIBRARIES = /^(libtorch_cpu|libc10)\.so$/
const MAX_BYTES = 8e6

export interface AddonReport extends ElfNeeds {
  bytes: number
  /** Empty when the addon may be published. */
  problems: string[]
}

/** `boot` is loaded before libtorch and may not need it. */
export function inspectAddon(path: string, kind: 'boot' | 'core'): AddonReport {
  const needs = elfNeeds(path)
  const { size: bytes } = statSync(path)
  return { ...needs, bytes, problems: [...needsProblems(needs, kind), ...sizeProblem(bytes)] }
}

/** What must not be published, in words. */
export function needsProblems(
  { libraries, runPaths, versions, unnumbered }: ElfNeeds,
  kind: 'boot' | 'core',
): string[] {
  const allowed = (library: string): boolean =>
    SYSTEM_LIBRARIES.test(library) || (kind === 'core' && TORCH_LIBRARIES.test(library))
  const problems = runPaths.map(
    (path) => `has RUNPATH or RPATH '${path}'; libtorch is opened by the boot addon, none may be there`,
  )
  for (const library of libraries.filter((name) => !allowed(name))) problems.push(`needs ${library}`)
  for (const [family, limit] of Object.entries(ADDON_NEEDS)) {
    const highest = versions[family]
    if (highest && compareVersions(highest, limit) > 0)
      problems.push(`needs ${family}_${highest}, at most ${limit} is allowed`)
  }
  // glibc names so what older ones lack; none of them belongs to the glibc that is allowed.
  for (const name of unnumbered.filter((name) => name.startsWith('GLIBC_')))
    problems.push(`needs ${name}, which glibc ${ADDON_NEEDS.GLIBC} lacks`)
  return problems
}

function sizeProblem(bytes: number): string[] {
  return bytes > MAX_BYTES ? [`is ${bytes} bytes large, at most ${MAX_BYTES} are allowed`] : []
}

/** One line: `GLIBC 2.34, GLIBCXX 3.4.22, CXXABI 1.3.9, 2.41 MB`. */
export function describeNeeds({ versions, bytes }: AddonReport): string {
  const highest = Object.keys(ADDON_NEEDS).flatMap((family) =>
    versions[family] ? [`${family} ${versions[family]}`] : [],
  )
  return [...highest, `${(bytes / 1e6).toFixed(2)} MB`].join(', ')
}
