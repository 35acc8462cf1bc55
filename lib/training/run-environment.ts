/** What a run was made with: versions, machine, command and commit. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, hostname, platform, release, totalmem } from 'node:os'
import { resolve } from 'node:path'
import { promisify } from 'node:util'

let packageVersion: string | undefined

/** Versions of the package and of Node. */
export function softwareVersions(): Record<string, string> {
  packageVersion ??= JSON.parse(readFileSync(resolve(__dirname, '../../package.json'), 'utf8')).version as string
  return { stratabert: packageVersion, node: process.versions.node, v8: process.versions.v8 }
}

/** One entry of environment.json; `extra` is what the caller knows of devices and libtorch. */
export async function describeEnvironment(extra: Record<string, unknown> = {}): Promise<Record<string, unknown>> {
  return {
    startedAt: new Date().toISOString(),
    command: [process.argv0, ...process.argv.slice(1)],
    workingFolder: process.cwd(),
    versions: softwareVersions(),
    machine: {
      host: hostname(),
      platform: `${platform()} ${process.arch}`,
      kernel: release(),
      processor: cpus()[0]?.model.trim(),
      processors: availableParallelism(),
      memoryBytes: totalmem(),
    },
    git: await gitState(),
    ...extra,
  }
}

/** Commit of the folder that the command ran in; undefined outside a git work tree. */
async function gitState(): Promise<{ commit: string; dirty: boolean } | undefined> {
  const git = async (...args: string[]) => (await promisify(execFile)('git', args, { timeout: 5000 })).stdout.trim()
  try {
    return { commit: await git('rev-parse', 'HEAD'), dirty: (await git('status', '--porcelain')) !== '' }
  } catch {
    return undefined
  }
}
