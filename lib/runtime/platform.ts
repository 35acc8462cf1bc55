/** Facts of the machine and the folders that the package uses on it. */
import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs'
import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { packageRoot } from './package-root.js'

export type Environment = Record<string, string | undefined>

/** Where the addons lie; STRATABERT_ADDONS replaces it (for tests of other builds). */
export function addonsDirectory(environment: Environment = process.env): string {
  return environment.STRATABERT_ADDONS || join(packageRoot, 'addons')
}

/** The interpreter whose pip and torch are asked: `STRATABERT_PYTHON`, else python3; Python's installer for Windows names it python. */
export function pythonProgram(environment: Environment = process.env): string {
  return environment.STRATABERT_PYTHON || (process.platform === 'win32' ? 'python' : 'python3')
}

/** `$XDG_CACHE_HOME/stratabert`, else `~/.cache/stratabert`; null when the user has no home folder. */
export function cacheDirectory(environment: Environment = process.env): string | null {
  // A relative XDG_CACHE_HOME is invalid by the XDG specification and is ignored.
  const xdg = environment.XDG_CACHE_HOME
  if (xdg && isAbsolute(xdg)) return join(xdg, 'stratabert')
  let home: string | undefined = environment.HOME
  if (!home) {
    try {
      home = homedir()
    } catch {
      return null
    }
  }
  return home ? join(home, '.cache', 'stratabert') : null
}

/** True on Linux without glibc (Alpine). */
export function isMusl(): boolean {
  if (process.platform !== 'linux') return false
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined
  return report?.header !== undefined && report.header.glibcVersionRuntime === undefined
}

/** `libtorch_cpu` → `libtorch_cpu.so`; `libtorch_cpu.dylib` on macOS, `torch_cpu.dll` on Windows. */
export function libraryFile(name: string, platform: string = process.platform): string {
  if (platform === 'win32') return `${name.replace(/^lib/, '')}.dll`
  return `${name}${platform === 'darwin' ? '.dylib' : '.so'}`
}

const ELF_MACHINES: Record<string, number> = { x64: 62, arm64: 183 }

/**
 * Why a shared library cannot be whole, or null. A library that was cut short kills the process with SIGBUS inside dlopen, so its
 * own tables are compared with its size before it is opened. Only ELF is checked.
 */
export function libraryProblem(path: string, arch: string = process.arch): string | null {
  if (!existsSync(path)) return 'is missing'
  if (process.platform !== 'linux') return null
  const descriptor = openSync(path, 'r')
  try {
    const size = fstatSync(descriptor).size
    const header = Buffer.alloc(64)
    if (readSync(descriptor, header, 0, 64, 0) < 64 || header.readUInt32BE(0) !== 0x7f454c46)
      return 'is not a shared library'
    if (header[4] !== 2 || header[5] !== 1) return 'is not a 64-bit little-endian library'
    const machine = header.readUInt16LE(18)
    if (ELF_MACHINES[arch] !== undefined && machine !== ELF_MACHINES[arch])
      return `is made for another processor (ELF machine ${machine})`
    const sectionsEnd = Number(header.readBigUInt64LE(40)) + header.readUInt16LE(58) * header.readUInt16LE(60)
    if (sectionsEnd > size) return `is cut short: ${size} bytes, its own tables need ${sectionsEnd}`
    const count = header.readUInt16LE(56)
    const entryBytes = header.readUInt16LE(54)
    const programs = Buffer.alloc(count * entryBytes)
    readSync(descriptor, programs, 0, programs.length, Number(header.readBigUInt64LE(32)))
    for (let at = 0; at + 40 <= programs.length; at += entryBytes) {
      const end = Number(programs.readBigUInt64LE(at + 8) + programs.readBigUInt64LE(at + 32))
      if (end > size) return `is cut short: ${size} bytes, a segment needs ${end}`
    }
    return null
  } finally {
    closeSync(descriptor)
  }
}
