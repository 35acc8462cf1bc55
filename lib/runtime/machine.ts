/** What the machine offers, read without loading anything native. */
import { readFileSync } from 'node:fs'
import { arch, availableParallelism, cpus, platform, release, totalmem } from 'node:os'
import { askProgram } from './ask-program.js'
import { cgroupMemory, cgroupThreads } from './cgroup.js'
import { pythonProgram } from './platform.js'

export interface MachineFacts {
  platform: string
  kernel: string
  glibc: string | null
  node: string
  cpu: string
  /** Instruction sets that decide about speed, e.g. `avx512f`, `avx512_bf16`. */
  cpuFeatures: string[]
  /** True when the processor multiplies bfloat16 itself; without, bf16 saves memory and no time. */
  nativeBf16: boolean
  threads: { available: number; cgroupLimit: number | null }
  memory: { totalBytes: number; cgroupLimitBytes: number | null }
  tools: { compiler: string | null; cmake: string | null; ninja: string | null; pip: string | null }
  nvidiaDriver: string | null
}

const FEATURES = [
  'avx2',
  'f16c',
  'avx512f',
  'avx512_vnni',
  'avx512_bf16',
  'amx_bf16',
  'amx_int8',
  'asimd',
  'bf16',
  'i8mm',
]
const NATIVE_BF16 = ['avx512_bf16', 'amx_bf16', 'bf16']

export function machineFacts(): MachineFacts {
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined
  const cpuFeatures = processorFeatures()
  return {
    platform: `${platform()}-${arch()}`,
    kernel: release(),
    glibc: report?.header?.glibcVersionRuntime ?? null,
    node: process.version,
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cpuFeatures,
    nativeBf16: multipliesBf16(cpuFeatures),
    threads: { available: availableParallelism(), cgroupLimit: cgroupThreads() },
    memory: { totalBytes: totalmem(), cgroupLimitBytes: cgroupMemory(totalmem()) },
    tools: {
      compiler: firstLine(process.env.CXX || 'c++', ['--version']),
      cmake: firstLine('cmake', ['--version']),
      ninja: firstLine('ninja', ['--version']),
      pip: firstLine(pythonProgram(), ['-m', 'pip', '--version'])?.replace(/ from .*$/, '') ?? null,
    },
    nvidiaDriver: firstLine('nvidia-smi', ['--query-gpu=driver_version,name', '--format=csv,noheader']),
  }
}

/** Whether the processor multiplies bfloat16 itself. */
export function multipliesBf16(cpuFeatures: readonly string[] = processorFeatures()): boolean {
  return NATIVE_BF16.some((feature) => cpuFeatures.includes(feature))
}

function processorFeatures(): string[] {
  const text = readText('/proc/cpuinfo')
  const flags = new Set((/^(?:flags|Features)\s*:\s*(.*)$/m.exec(text)?.[1] ?? '').split(/\s+/))
  return FEATURES.filter((feature) => flags.has(feature))
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function firstLine(command: string, args: string[]): string | null {
  const { output, problem, hangs } = askProgram(command, args)
  // Told where its version would stand: a program that hangs is there.
  if (hangs) return problem
  return output?.split('\n')[0].trim() || null
}
