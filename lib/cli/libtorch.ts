import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Command, Option } from 'commander'
import {
  DEFAULT_TORCH_VERSION,
  describeTree,
  findLibtorch,
  type InstallOptions,
  type InstallPlan,
  inspectTree,
  installLibtorch,
  libtorchCacheDirectory,
  libtorchManifest,
  libtorchNotFound,
  planInstall,
  progressPrinter,
} from '../runtime/index.js'
import { example } from './arguments.js'
import { printJson } from './output.js'

interface InstallFlags {
  flavour: 'cpu' | 'cu130'
  torchVersion: string
  dir?: string
  zip?: string
  sha256?: string
  force: boolean
  dryRun: boolean
  json: boolean
}

/** `libtorch install | list | path`. */
export function registerLibtorch(program: Command): void {
  const libtorch = program.command('libtorch').description('fetch, list and locate libtorch')
  example(libtorch, 'stratabert libtorch install')

  const install = libtorch
    .command('install')
    .description('fetch libtorch, verify it and unpack it into the user cache')
    .addOption(new Option('--flavour <name>', 'cpu, or cu130 for NVIDIA GPUs').choices(['cpu', 'cu130']).default('cpu'))
    .option('--torch-version <version>', 'full version or, without --zip, a minor like 2.12', DEFAULT_TORCH_VERSION)
    .option('--dir <folder>', 'install here instead of the cache; set STRATABERT_LIBTORCH to it afterwards')
    .option('--zip <file>', "a libtorch zip: a file, an address, or 'official'; needs --sha256")
    .option('--sha256 <hex>', 'the hash that the zip must have')
    .option('--force', 'replace a good copy', false)
    .option('--dry-run', 'say what would be downloaded, with sizes and hashes, and do nothing', false)
    .option('--json', 'print one JSON document', false)
    .action(async (flags: InstallFlags) => {
      const options: InstallOptions = {
        version: flags.torchVersion,
        flavour: flags.flavour,
        directory: flags.dir,
        zip: flags.zip,
        sha256: flags.sha256,
        force: flags.force,
      }
      if (flags.dryRun) {
        const plan = planInstall(options)
        if (flags.json) return printJson(plan)
        return void process.stdout.write(describePlan(plan))
      }
      const printer = progressPrinter()
      const result = await installLibtorch({
        ...options,
        onPlan: (plan) => process.stderr.write(describePlan(plan)),
        onProgress: printer.report,
      }).finally(() => printer.end())
      if (flags.json) printJson(result)
      else {
        const { tree, installed } = result
        process.stdout.write(
          `libtorch ${describeTree(tree)} ${installed ? 'installed in' : 'is already in'} ${tree.directory}\n`,
        )
        if (flags.dir) process.stdout.write(`use it with: export STRATABERT_LIBTORCH=${tree.directory}\n`)
      }
    })
  example(install, 'stratabert libtorch install --flavour cu130')

  const list = libtorch
    .command('list')
    .description('the builds that can be fetched, and which are installed in the cache')
    .option('--json', 'print one JSON document', false)
    .action((flags: { json: boolean }) => {
      const builds = listBuilds()
      if (flags.json) return printJson(builds)
      for (const { version, flavour, platform, downloadBytes, directory } of builds) {
        const size = `${(downloadBytes / 1e6).toFixed(0)} MB`.padStart(8)
        process.stdout.write(
          `${version.padEnd(8)} ${flavour.padEnd(6)} ${platform.padEnd(12)} ${size}  ${directory ?? 'not installed'}\n`,
        )
      }
    })
  example(list, 'stratabert libtorch list')

  const path = libtorch
    .command('path')
    .description('the libtorch folder that would be used')
    .option('--json', 'print one JSON document with every place that was asked', false)
    .action((flags: { json: boolean }) => {
      const { tree, attempts } = findLibtorch()
      if (flags.json) printJson({ tree, attempts })
      else if (tree) process.stdout.write(`${tree.directory}\n`)
      if (!tree) throw libtorchNotFound(attempts)
    })
  example(path, 'export LIBTORCH=$(stratabert libtorch path)')
}

/** A table of the files, then the sums: what a person wants to know before half a gigabyte or more is fetched. */
function describePlan({ version, flavour, directory, present, files, downloadBytes, freeBytes }: InstallPlan): string {
  const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`
  const width = Math.max(0, ...files.map(({ file }) => file.length))
  const lines = files.map(
    ({ file, bytes, sha256, kept }) =>
      `${file.padEnd(width)} ${megabytes(bytes).padStart(9)}  sha256:${sha256}${kept ? '  (here already)' : ''}`,
  )
  if (present) lines.push(`libtorch ${version} ${flavour} is in ${directory} already: nothing to do`)
  else {
    const free = freeBytes === null ? '' : ` (${(freeBytes / 1e9).toFixed(1)} GB free)`
    const size = files.length > 0 ? `${megabytes(downloadBytes)} to download` : 'from a zip'
    lines.push(`libtorch ${version} ${flavour}: ${size}, into ${directory}${free}`)
  }
  return `${lines.join('\n')}\n`
}

interface ListedBuild {
  version: string
  flavour: string
  platform: string
  downloadBytes: number
  /** Where it is installed, or null. */
  directory: string | null
}

function listBuilds(): ListedBuild[] {
  const cache = libtorchCacheDirectory()
  return libtorchManifest.builds.map(({ version, flavour, platform, wheels }) => {
    const directory = cache === null ? null : join(cache, `${version}-${flavour}-${platform}`)
    const installed = directory !== null && existsSync(directory) && typeof inspectTree(directory, 'cache') !== 'string'
    const downloadBytes = wheels.reduce((sum, file) => sum + libtorchManifest.wheels[file].bytes, 0)
    return { version, flavour, platform, downloadBytes, directory: installed ? directory : null }
  })
}
