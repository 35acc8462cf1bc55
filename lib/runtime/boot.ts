import { join } from 'node:path'
import { StrataError } from '../errors.js'
import { addonsDirectory, isMusl } from './platform.js'

/** The tiny addon that is loaded before libtorch. It works in any number of worker threads. */
export interface BootAddon {
  /** Version of the package that it was compiled from. */
  readonly version: string
  /** The processor advertises AMX tiles that cannot be used here; oneDNN is kept below them (slower bf16). */
  readonly avoidedTiles: boolean
  /** dlopen(path, RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE): null when loaded, else the loader's own words. */
  open(path: string): string | null
  /**
   * The file's bytes, memory-mapped. Pages are private: a write never reaches the file. An empty file gives an empty buffer.
   * Throws Node-shaped errors (`code`, `path`). The file must not be cut short while the buffer lives.
   * A file may be larger than one typed array can be (`buffer.constants.MAX_LENGTH`): view it in parts then.
   */
  mapFile(path: string): ArrayBuffer
  /** The libtorch folder of this process: the first one given stays, in all threads; null while none was. */
  claim(directory?: string): string | null
  /** fsync of a folder: makes a rename inside it durable. */
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
    throw new StrataError(
      'ADDON_NOT_FOUND',
      `the addon ${path} cannot be loaded: ${(cause as Error).message}; expected one built for this system and libtorch; ` +
        'in a checkout run `npm run build:native`, else install the package again',
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
    const musl = isMusl()
      ? ' This system uses musl; libtorch is made for glibc: use a Debian, Ubuntu or Fedora image.'
      : ''
    throw new StrataError(
      'ADDON_NOT_FOUND',
      `no addon '${name}' for ${process.platform}-${process.arch} in ${directory}; expected a local build or a prebuilt one; ` +
        `in a checkout run \`npm run build:native\`.${musl}`,
      { cause, details: { addon: name, directory } },
    )
  }
}
