/**
 * What the container may use of the machine. availableParallelism() and libtorch count processors, and know nothing of a quota: with a thread
 * for each of 64 processors and a quota of two, the kernel halts all of them for most of every period.
 */
import { readFileSync } from 'node:fs'
import { availableParallelism, freemem } from 'node:os'
import { dirname, join } from 'node:path'
import type { NativeCore } from './native-core.js'
import type { Environment } from './platform.js'

const ROOT = '/sys/fs/cgroup'

/** CPU quota of the container in cores, rounded up; null without one. The tightest of the own control group and those around it. */
export function cgroupThreads(root = ROOT, own = ownGroup()): number | null {
  const limits: number[] = []
  for (let group = own; ; group = dirname(group)) {
    const [quota, period] = readText(join(root, group, 'cpu.max'))
      .trim()
      .split(' ')
    if (quota && quota !== 'max') limits.push(Number(quota) / Number(period))
    if (group === '/') break
  }
  const [quotaV1, periodV1] = ['quota', 'period'].map((name) =>
    Number(readText(join(root, 'cpu', `cpu.cfs_${name}_us`))),
  )
  if (quotaV1 > 0 && periodV1 > 0) limits.push(quotaV1 / periodV1)
  const known = limits.filter((limit) => limit > 0 && Number.isFinite(limit))
  return known.length > 0 ? Math.max(1, Math.ceil(Math.min(...known))) : null
}

/** Memory limit of the container in bytes; null without one below `machineBytes`. */
export function cgroupMemory(machineBytes: number, root = ROOT): number | null {
  const text = readText(join(root, 'memory.max')) || readText(join(root, 'memory', 'memory.limit_in_bytes'))
  const bytes = Number(text.trim())
  return text.trim() === '' || !Number.isFinite(bytes) || bytes >= machineBytes ? null : bytes
}

/** Bytes that a program may still take: what the machine has free, within what the container's limits leave. */
export function freeMemory(): number {
  return Math.min(freemem(), cgroupFreeMemory())
}

/**
 * Bytes that the container's memory limit leaves; Infinity without one. The tightest of the own control group and those around it. Pages
 * of files that nobody has used lately count as free: the kernel drops them first.
 */
export function cgroupFreeMemory(root = ROOT, own = ownGroup()): number {
  const left = (folder: string, [limit, usage, cache]: readonly [string, string, string]): number => {
    const most = Number.parseInt(readText(join(folder, limit)), 10)
    const used = Number.parseInt(readText(join(folder, usage)), 10)
    const files = new RegExp(`^${cache} (\\d+)$`, 'm').exec(readText(join(folder, 'memory.stat')))?.[1]
    return Number.isNaN(most) || Number.isNaN(used) ? Number.POSITIVE_INFINITY : most - used + Number(files ?? 0)
  }
  const all = [left(join(root, 'memory'), ['memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file'])]
  for (let group = own; ; group = dirname(group)) {
    all.push(left(join(root, group), ['memory.max', 'memory.current', 'inactive_file']))
    if (group === '/') break
  }
  return Math.max(0, Math.min(...all))
}

/** Default of libtorch's threads: at most what the container may use, unless OMP_NUM_THREADS says how many. */
export function limitThreads(
  core: NativeCore,
  limit: number | null = cgroupThreads(),
  environment: Environment = process.env,
): void {
  if (limit === null || environment.OMP_NUM_THREADS) return
  if (core.threads() > limit) core.threads(limit)
}

/** Threads that a process of its own may take, by the same rule: OMP_NUM_THREADS, else the processors within the container's quota. */
export function usableThreads(
  processors = availableParallelism(),
  limit: number | null = cgroupThreads(),
  environment: Environment = process.env,
): number {
  const chosen = Number.parseInt(environment.OMP_NUM_THREADS ?? '', 10)
  return chosen >= 1 ? chosen : Math.min(processors, limit ?? processors)
}

/** Path of this process's group (version 2), as it sees it; `/` inside most containers. */
function ownGroup(): string {
  const path = /^0::(\/.*)$/m.exec(readText('/proc/self/cgroup'))?.[1] ?? '/'
  return path.includes('..') ? '/' : path
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
