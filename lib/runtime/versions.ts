/**
 * Which libtorch versions are supported, and which one a folder holds. One addon is built a minor version and refuses every
 * other one: mixing them is undefined behaviour that often seems to work.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Supported minor versions, oldest first. */
export const SUPPORTED_MINORS = ['2.11', '2.12', '2.13', '2.14'] as const
export type TorchMinor = (typeof SUPPORTED_MINORS)[number]

/** What is fetched when nothing else is asked for. */
export const DEFAULT_TORCH_VERSION = '2.13.0'

export interface TorchVersion {
  /** As the tree says it, e.g. `2.13.0+cu130`. */
  full: string
  /** e.g. `2.13`. */
  minor: string
}

/** Reads `2.13.0+cu130`, `2.13.0` or `2.13`; null when the text is none of these. */
export function parseTorchVersion(text: string): TorchVersion | null {
  const match = /^(\d+)\.(\d+)(?:\.\d+)?\S*$/.exec(text.trim())
  return match ? { full: text.trim(), minor: `${match[1]}.${match[2]}` } : null
}

/** True for a minor version that the package can be built for. */
export function isSupportedMinor(minor: string): minor is TorchMinor {
  return (SUPPORTED_MINORS as readonly string[]).includes(minor)
}

/** The version of a libtorch folder: `version.py` (Python wheel) or `build-version` (official zip); null when neither can be read. */
export function readTreeVersion(directory: string): TorchVersion | null {
  const wheel = join(directory, 'version.py')
  if (existsSync(wheel)) {
    const match = /^__version__\s*=\s*['"]([^'"]+)['"]/m.exec(readFileSync(wheel, 'utf8'))
    return match ? parseTorchVersion(match[1]) : null
  }
  const zip = join(directory, 'build-version')
  return existsSync(zip) ? parseTorchVersion(readFileSync(zip, 'utf8').split('\n')[0]) : null
}
