/**
 * What keeps the package from running on a system at all, as one sentence each. Pure functions of {@link SystemFacts}: every
 * sentence can be tested on every machine.
 */
import { isMusl } from './platform.js'

export interface SystemFacts {
  /** `process.platform`. */
  platform: string
  /** `process.arch`. */
  arch: string
  /** Linux without glibc. */
  musl: boolean
  /** Version of glibc; null where there is none. */
  glibc: string | null
  /** Without the leading v. */
  node: string
}

/** As in `engines` of package.json. */
const OLDEST_NODE = '20.17'
/** What the prebuilt addons ask for at most; scripts/addon-needs.ts asserts it. */
export const ADDON_NEEDS = { GLIBC: '2.34', GLIBCXX: '3.4.29', CXXABI: '1.3.13' } as const
/** Systems of that age, for the messages. */
const NEW_ENOUGH = 'Debian 12, Ubuntu 22.04, RHEL 9, Amazon Linux 2023 or newer'
/** Platforms that addons are published for. */
const PREBUILT = ['linux-x64']
/** Platforms that the sources are written for, and nobody has run them. */
const BUILDABLE = ['linux-x64', 'linux-arm64', 'darwin-arm64', 'win32-x64']

export function systemFacts(): SystemFacts {
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined
  return {
    platform: process.platform,
    arch: process.arch,
    musl: isMusl(),
    glibc: report?.header?.glibcVersionRuntime ?? null,
    node: process.versions.node,
  }
}

/** Node is too old, or null. */
export function nodeProblem(version: string): string | null {
  return versionBelow(version, OLDEST_NODE)
    ? `Node ${version} is running, stratabert needs Node ${OLDEST_NODE} or newer: install a current one (20, 22 and 24 are tested)`
    : null
}

/** Why nothing can be computed on this system, or null. */
export function systemProblem({ platform, arch, musl }: SystemFacts): string | null {
  if (musl) {
    return 'this system uses musl (Alpine does), libtorch is made for glibc: use a Debian, Ubuntu or Fedora image, like node:22-slim instead of node:22-alpine'
  }
  if (platform === 'win32' && arch !== 'x64') {
    return `Windows on ${arch} is not supported, nothing here is built for it: use Windows on x86-64, or Linux in WSL 2`
  }
  if (platform === 'darwin' && arch !== 'arm64') {
    return 'Macs with an Intel processor are not supported, PyTorch builds no libtorch for them any more: use Linux or a Mac with Apple silicon'
  }
  if (!BUILDABLE.includes(`${platform}-${arch}`)) {
    return `${platform}-${arch} is not supported, PyTorch builds no libtorch for it: use Linux on x86-64 or arm64, macOS on arm64, or Windows on x86-64`
  }
  return null
}

/** Addons for this platform are inside the published package. */
export function isPrebuilt({ platform, arch, musl }: SystemFacts): boolean {
  return PREBUILT.includes(`${platform}-${arch}`) && !musl
}

/** Why an addon is absent: nothing was published for this system, or not for this libtorch. `minors` = those that addons are here for. */
export function addonMissing(name: string, minors: readonly string[], facts: SystemFacts): string {
  const problem = systemProblem(facts)
  if (problem) return problem
  if (!isPrebuilt(facts)) {
    return `the package brings no addon for ${facts.platform}-${facts.arch}: clone the repository and run \`npm install\` there, which compiles it (nobody has tried it on this platform)`
  }
  const minor = /^torch-(.+)$/.exec(name)?.[1]
  return minor && minors.length > 0
    ? `there is no addon for libtorch ${minor}, only for ${minors.join(', ')}`
    : `the addon '${name}' is missing`
}

/** The loader's words about an addon, made into one sentence that says what to do. */
export function addonLoadProblem(words: string, facts: SystemFacts): string {
  const tooNew = /version [`'‘]((?:GLIBC|GLIBCXX|CXXABI)_[\d.]+)['’] not found/.exec(words)?.[1]
  if (tooNew) {
    const here = facts.glibc ? ` (glibc ${facts.glibc})` : ''
    return `this system${here} is older than the addon, which needs ${tooNew}: use ${NEW_ENOUGH}, or build from a clone of the repository`
  }
  if (/invalid ELF header|wrong ELF class|cannot open shared object file.*\.node|mach-o/i.test(words)) {
    return `the addon is not made for ${facts.platform}-${facts.arch} (${words}): delete node_modules and install again on this machine`
  }
  return words
}

/** True when `version` is below `limit`; both are dotted numbers. */
function versionBelow(version: string, limit: string): boolean {
  const [a, b] = [version, limit].map((text) => text.split('.').map((part) => Number.parseInt(part, 10) || 0))
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    if ((a[i] ?? 0) !== (b[i] ?? 0)) return (a[i] ?? 0) < (b[i] ?? 0)
  }
  return false
}
