/**
 * Fetches libtorch: pinned wheels through pip, or the official zip with a hash that the user vouches for. What arrives is verified,
 * unpacked into a temporary folder beside the target and renamed into place, so a half-installed libtorch never exists; two processes
 * that install at once end with one good copy.
 */
import { createHash, randomUUID } from 'node:crypto'
import {
  createReadStream,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { fileError, StrataError } from '../errors.js'
import { fetchFile } from './fetch-file.js'
import { inspectTree, type LibtorchTree } from './find-libtorch.js'
import { withLock } from './folder-lock.js'
import {
  chosenBuild,
  downloadsFolder,
  goodTree,
  type InstallOptions,
  planInstall,
  refuseForeignFolder,
  refuseSmallDisk,
  targetDirectory,
  treeProblem,
} from './install-plan.js'
import { libtorchManifest } from './libtorch-manifest.js'
import { isNeeded, type LibtorchBuild, type LibtorchFlavour, type LibtorchManifest } from './manifest.js'
import { pipDownload } from './pip-download.js'
import type { Environment } from './platform.js'
import type { OnProgress } from './progress.js'
import { unzip } from './unzip.js'

export type { InstallOptions, InstallPlan } from './install-plan.js'

/** The libtorch that is there now. */
export interface InstallResult {
  tree: LibtorchTree
  /** False when a good copy was there already. */
  installed: boolean
}

/** Address of the official zip. Its hash is not pinned here: pass the one you trust. */
export function officialZipUrl(version: string, flavour: LibtorchFlavour): string {
  return `https://download.pytorch.org/libtorch/${flavour}/libtorch-shared-with-deps-${version}%2B${flavour}.zip`
}

/** Installs libtorch and returns its folder. Throws FETCH_FAILED, HASH_MISMATCH, UNSUPPORTED, DISK_FULL, READ_ONLY. */
export async function installLibtorch(options: InstallOptions = {}): Promise<InstallResult> {
  const environment = options.environment ?? process.env
  const build = chosenBuild(options)
  const target = targetDirectory(options, build, environment)
  const present = goodTree(target, build)
  if (present && !options.force) return { tree: present, installed: false }

  const plan = planInstall(options)
  options.onPlan?.(plan)
  refuseSmallDisk(plan)
  const parent = dirname(target)
  const name = basename(target)
  const report = options.onProgress ?? (() => {})
  try {
    refuseForeignFolder(target)
    mkdirSync(parent, { recursive: true })
    return await withLock(
      join(parent, `.${name}.lock`),
      (owner) => report({ step: `waiting for process ${owner}, which installs the same libtorch` }),
      async () => {
        const meanwhile = goodTree(target, build)
        if (meanwhile && !options.force) return { tree: meanwhile, installed: false }
        return { tree: await fetchAndPlace(options, build, target, environment, report), installed: true }
      },
    )
  } catch (error) {
    if (error instanceof StrataError) throw error
    throw fileError(
      error,
      (error as NodeJS.ErrnoException).path ?? target,
      'install libtorch (choose another folder with --dir)',
    )
  }
}

async function fetchAndPlace(
  options: InstallOptions,
  build: LibtorchBuild,
  target: string,
  environment: Environment,
  report: OnProgress,
): Promise<LibtorchTree> {
  const parent = dirname(target)
  const name = basename(target)
  const staging = join(parent, `.${name}.staging-${process.pid}-${randomUUID().slice(0, 8)}`)
  // Kept when something fails: whole files are not downloaded again.
  const downloads = downloadsFolder(target)
  for (const left of readdirSync(parent)) {
    if (left.startsWith(`.${name}.staging-`)) rmSync(join(parent, left), { recursive: true, force: true })
  }
  mkdirSync(downloads, { recursive: true })
  mkdirSync(staging, { recursive: true })
  try {
    if (options.zip)
      await unpackZip(options as InstallOptions & { zip: string; sha256: string }, build, downloads, staging, report)
    else await unpackWheels(options.manifest ?? libtorchManifest, build, downloads, staging, environment, report)
    writeFileSync(join(staging, 'stratabert-libtorch.json'), `${JSON.stringify(build, null, 2)}\n`)
    const problem = treeProblem(staging, build)
    if (problem) {
      throw new StrataError(
        'BAD_FILE',
        `what was unpacked for libtorch ${build.version} ${build.flavour} ${problem}; expected a whole build; try another version`,
        {
          details: { build },
        },
      )
    }
    place(staging, target, parent, name)
    rmSync(downloads, { recursive: true, force: true })
  } finally {
    rmSync(staging, { recursive: true, force: true })
  }
  return inspectTree(target, 'cache') as LibtorchTree
}

async function unpackWheels(
  manifest: LibtorchManifest,
  build: LibtorchBuild,
  downloads: string,
  staging: string,
  environment: Environment,
  report: OnProgress,
): Promise<void> {
  const totalBytes = build.wheels.reduce((sum, file) => sum + manifest.wheels[file].bytes, 0)
  let before = 0
  for (const file of build.wheels) {
    const wheel = manifest.wheels[file]
    const path = join(downloads, file)
    const step = `downloading ${wheel.name} ${wheel.version}`
    if (!(await hasHash(path, wheel.bytes, wheel.sha256))) {
      rmSync(path, { force: true })
      report({ step, doneBytes: before, totalBytes })
      await pipDownload(file, wheel, downloads, environment, (bytes) =>
        report({ step, doneBytes: before + Math.min(bytes, wheel.bytes), totalBytes }),
      )
      if (!(await hasHash(path, wheel.bytes, wheel.sha256))) {
        throw new StrataError(
          'HASH_MISMATCH',
          `${file} arrived with other content than pinned; expected ${wheel.bytes} bytes with SHA-256 ${wheel.sha256}; check the index that pip uses and try again`,
          { details: { wheel: file } },
        )
      }
    }
    before += wheel.bytes
  }
  let unpacked = 0
  for (const file of build.wheels) {
    const step = `unpacking ${manifest.wheels[file].name}`
    await unzip(
      join(downloads, file),
      staging,
      (path) => (isNeeded(path, build.flavour) ? path : null),
      (bytes) => {
        unpacked += bytes
        report({ step, doneBytes: unpacked })
      },
    )
  }
}

async function unpackZip(
  options: InstallOptions & { zip: string; sha256: string },
  build: LibtorchBuild,
  downloads: string,
  staging: string,
  report: OnProgress,
): Promise<void> {
  const address =
    options.zip === 'official' ? officialZipUrl(build.version, build.flavour as LibtorchFlavour) : options.zip
  let path = address
  if (/^https?:\/\//.test(address)) {
    path = join(downloads, 'libtorch.zip')
    await fetchFile(address, path, (doneBytes) => report({ step: `downloading ${address}`, doneBytes }))
  } else if (!existsSync(path)) {
    throw new StrataError(
      'NOT_FOUND',
      `--zip ${path} does not exist; expected a file, an address or 'official'; check the path`,
    )
  }
  report({ step: 'verifying the zip' })
  const found = await fileSha256(path)
  if (found !== options.sha256.toLowerCase()) {
    if (path !== address) rmSync(path, { force: true })
    throw new StrataError(
      'HASH_MISMATCH',
      `${address} has SHA-256 ${found}; expected ${options.sha256}; do not use this file`,
      {
        details: { found, expected: options.sha256 },
      },
    )
  }
  let unpacked = 0
  // libtorch/lib, libtorch/include and libtorch/build-version; static libraries and programs stay away.
  const needed = /^libtorch\/(include\/.*|build-version|lib\/[^/]*\.(so|dylib)[.\w]*)$/
  await unzip(
    path,
    staging,
    (entry) => (needed.test(entry) ? entry : null),
    (bytes) => {
      unpacked += bytes
      report({ step: 'unpacking the zip', doneBytes: unpacked })
    },
  )
}

function place(staging: string, target: string, parent: string, name: string): void {
  const old = join(parent, `.${name}.old-${process.pid}`)
  // Again: it may have been filled while the files came.
  refuseForeignFolder(target)
  if (existsSync(target)) {
    renameSync(target, old)
  }
  renameSync(staging, target)
  rmSync(old, { recursive: true, force: true })
}

async function hasHash(path: string, bytes: number, sha256: string): Promise<boolean> {
  return existsSync(path) && statSync(path).size === bytes && (await fileSha256(path)) === sha256
}

async function fileSha256(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash)
  return hash.digest('hex')
}
