/** What an installation of libtorch would do, known before anything is downloaded or written. */
import { existsSync, readdirSync, statfsSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { StrataError } from '../errors.js'
import { inspectTree, type LibtorchTree, libtorchCacheDirectory } from './find-libtorch.js'
import { libtorchManifest } from './libtorch-manifest.js'
import {
  type LibtorchBuild,
  type LibtorchFlavour,
  type LibtorchManifest,
  type PinnedWheel,
  selectBuild,
} from './manifest.js'
import type { Environment } from './platform.js'
import type { OnProgress } from './progress.js'
import { DEFAULT_TORCH_VERSION } from './versions.js'

/** Which libtorch goes where, and who is told. */
export interface InstallOptions {
  /** Full version or, without `zip`, a minor like `2.12`. @defaultValue `2.13.0` */
  version?: string
  /** @defaultValue `cpu` */
  flavour?: LibtorchFlavour
  /** Target folder. @defaultValue a folder of the user cache, where the search finds it */
  directory?: string
  /** Replace a good copy. */
  force?: boolean
  /** Official zip: a file, an address, or `official` for the address of PyTorch's own site. Needs `sha256`. */
  zip?: string
  /** Expected SHA-256 of the zip, in hex. */
  sha256?: string
  onProgress?: OnProgress
  /** Told before anything is downloaded or written, with all files, sizes and hashes. Not called when a good copy is there. */
  onPlan?: (plan: InstallPlan) => void
  environment?: Environment
  /** Other pins than the package's own (mirrors, tests). */
  manifest?: LibtorchManifest
}

export interface PlannedFile extends PinnedWheel {
  file: string
  /** A whole file of this size was left by an earlier try; its hash is verified before it is used. */
  kept: boolean
}

/** What an installation would do. */
export interface InstallPlan {
  version: string
  flavour: string
  platform: string
  /** Target folder. */
  directory: string
  /** A good copy is there: nothing would be done. */
  present: boolean
  /** What would be downloaded; empty for a zip, whose size is not known before. */
  files: PlannedFile[]
  /** Sum of the files that are not kept. */
  downloadBytes: number
  /** What the folder and the downloads beside it take up while it is installed, less what is there; 0 for a zip. */
  diskBytes: number
  /** Free space where the folder would be; null when it cannot be told. */
  freeBytes: number | null
}

/** Bytes unpacked a byte of the wheels (2.13.0: 490 of 540 MB, 3.4 of 2.5 GB), a little below: what would fit is not refused. */
const UNPACKED = { cpu: 0.9, cuda: 1.3 }

/** What {@link installLibtorch} would do with the same options. Downloads and writes nothing. */
export function planInstall(options: InstallOptions = {}): InstallPlan {
  const build = chosenBuild(options)
  const directory = targetDirectory(options, build, options.environment ?? process.env)
  const downloads = downloadsFolder(directory)
  const { wheels } = options.manifest ?? libtorchManifest
  const files = build.wheels.map((file) => {
    const path = join(downloads, file)
    return { file, ...wheels[file], kept: existsSync(path) && statSync(path).size === wheels[file].bytes }
  })
  const sum = (some: readonly PlannedFile[]): number => some.reduce((bytes, file) => bytes + file.bytes, 0)
  const downloadBytes = sum(files.filter(({ kept }) => !kept))
  return {
    version: build.version,
    flavour: build.flavour,
    platform: build.platform,
    directory,
    present: goodTree(directory, build) !== null && !options.force,
    files,
    downloadBytes,
    diskBytes: downloadBytes + Math.round(sum(files) * (build.flavour === 'cpu' ? UNPACKED.cpu : UNPACKED.cuda)),
    freeBytes: freeSpace(directory),
  }
}

export function chosenBuild(options: InstallOptions): LibtorchBuild {
  const [version, flavour] = [options.version ?? DEFAULT_TORCH_VERSION, options.flavour ?? 'cpu']
  if (!options.zip) return selectBuild(options.manifest ?? libtorchManifest, version, flavour)
  if (!/^[0-9a-f]{64}$/i.test(options.sha256 ?? '')) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `--zip needs --sha256 with 64 hex digits, got ${options.sha256 ? `'${options.sha256}'` : 'none'}: this package pins no hash of an official zip; ` +
        'pass the hash that you trust, or leave --zip away to install the pinned wheels',
      { details: { argument: 'sha256' } },
    )
  }
  // The address of a zip, the tree inside and the cache's folder are all named by the full version.
  if (!/^\d+\.\d+\.\d/.test(version)) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `--zip came with version '${version}'; expected the full version of the zip, such as ${DEFAULT_TORCH_VERSION}; pass it as --torch-version`,
      { details: { argument: 'version', value: version } },
    )
  }
  return { version, flavour, platform: `${process.platform}-${process.arch}`, wheels: [] }
}

/** Beside the target; stays when something fails. */
export function downloadsFolder(target: string): string {
  return join(dirname(target), `.${basename(target)}.downloads`)
}

function freeSpace(target: string): number | null {
  let folder = target
  while (!existsSync(folder) && dirname(folder) !== folder) folder = dirname(folder)
  try {
    const { bavail, bsize } = statfsSync(folder)
    return bavail * bsize
  } catch {
    return null
  }
}

export function refuseSmallDisk({ downloadBytes, diskBytes, freeBytes, directory }: InstallPlan): void {
  if (freeBytes === null || freeBytes >= diskBytes) return
  const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`
  throw new StrataError(
    'DISK_FULL',
    `${megabytes(freeBytes)} are free for ${directory}; ${megabytes(downloadBytes)} have to be downloaded and unpacked beside it, which takes ${megabytes(diskBytes)}; ` +
      'free some space, or choose another disk with --dir',
    { details: { directory, freeBytes, downloadBytes, diskBytes } },
  )
}

/** A folder that is replaced is empty or was made here. */
export function refuseForeignFolder(target: string): void {
  if (!existsSync(target) || existsSync(join(target, 'stratabert-libtorch.json'))) return
  if (readdirSync(target).length === 0) return
  throw new StrataError(
    'BAD_ARGUMENT',
    `${target} holds files that are not ours; expected an empty or new folder; choose another --dir`,
    { details: { directory: target } },
  )
}

export function targetDirectory(options: InstallOptions, build: LibtorchBuild, environment: Environment): string {
  if (options.directory) return resolve(options.directory)
  const cache = libtorchCacheDirectory(environment)
  if (cache === null) {
    throw new StrataError(
      'NOT_FOUND',
      'no folder to install into: neither XDG_CACHE_HOME nor HOME is set; set one of them or pass --dir',
    )
  }
  return join(cache, `${build.version}-${build.flavour}-${build.platform}`)
}

/** The tree in a finished folder; null when it is absent, another version or flavour, or damaged. */
export function goodTree(target: string, build: LibtorchBuild): LibtorchTree | null {
  return existsSync(target) && treeProblem(target, build) === null
    ? (inspectTree(target, 'cache') as LibtorchTree)
    : null
}

export function treeProblem(directory: string, build: LibtorchBuild): string | null {
  const tree = inspectTree(directory, 'cache')
  if (typeof tree === 'string') return tree
  if (tree.version.split('+')[0] !== build.version) return `is libtorch ${tree.version}`
  if ((tree.flavour === 'cpu') !== (build.flavour === 'cpu')) return `is a ${tree.flavour} build`
  return null
}
