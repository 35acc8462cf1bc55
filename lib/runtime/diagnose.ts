/** Everything `doctor` says: the machine, libtorch and the addons, and what to do about each problem. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { addonSteps, loadBoot, resolveAddon } from './boot.js'
import {
  chooseCudaBuild,
  correctChoice,
  findLibtorch,
  type LibtorchAttempt,
  type LibtorchTree,
  replaceTree,
  wrongChoice,
} from './find-libtorch.js'
import { type MachineFacts, machineFacts } from './machine.js'
import type { FloatProducts, ProductRates } from './native-core.js'
import { packageRoot } from './package-root.js'
import { programArguments } from './program.js'
import { systemFacts, systemProblem } from './system-problem.js'

export interface Problem {
  problem: string
  /** What to do about it. */
  remedy: string
  /** True when nothing can be computed before it is solved. */
  blocking: boolean
}

/** Loading takes a second; a driver or a disk that hangs is not waited for. */
const PROBE_TIMEOUT_MS = 180_000

/** All that `doctor` found. */
export interface Diagnosis {
  version: string
  machine: MachineFacts
  libtorch: { found: LibtorchTree | null; attempts: LibtorchAttempt[] }
  addons: { name: string; path: string | null; problem: string | null }[]
  /** Usable devices; empty when the runtime does not load. */
  devices: string[]
  /** What computes float32 products on the CPU; null when the runtime does not load. */
  floatProducts: FloatProducts | null
  /** Of the processor, measured now, in 10⁹ operations a second; null when the runtime does not load. */
  productRates: ProductRates | null
  cudaProblem: string | null
  problems: Problem[]
  /** True when a model can be computed on this machine. */
  usable: boolean
}

interface ProbeResult {
  ok: boolean
  code?: string
  message?: string
  cudaProblem?: string | null
  cudaDevices?: number
  floatProducts?: FloatProducts | null
  productRates?: ProductRates | null
}

/**
 * Looks at machine, libtorch, addons and devices. Loads libtorch in a process of its own, since a damaged library may kill the one that
 * opens it; throws nothing.
 */
export function diagnose(): Diagnosis {
  const machine = machineFacts()
  const problems: Problem[] = []
  const libtorch = findLibtorch()
  const [problem, remedy] = systemProblem(systemFacts())?.split(': ') ?? []
  if (problem) problems.push({ problem, remedy, blocking: true })
  if (!libtorch.tree) {
    const choice = wrongChoice(libtorch.attempts)
    problems.push({
      problem: 'no usable libtorch was found (see the attempts)',
      remedy: choice ? correctChoice(choice) : 'npx stratabert libtorch install, or set STRATABERT_LIBTORCH',
      blocking: true,
    })
    if (!machine.tools.pip) {
      problems.push({
        problem: 'Python’s pip was not found, libtorch is fetched with it',
        remedy:
          'install python3-pip, name an interpreter with STRATABERT_PYTHON, or use `libtorch install --zip FILE --sha256 HEX`',
        blocking: false,
      })
    }
  }
  const wanted = ['boot', ...(libtorch.tree ? [`torch-${libtorch.tree.minor}`] : [])]
  const addons = wanted.map((name) => checkAddon(name))
  const tools = [!machine.tools.compiler && 'a C++20 compiler', !machine.tools.cmake && 'CMake']
    .filter(Boolean)
    .join(' and ')
  const addonRemedy = (name: string): string =>
    addonSteps(name, systemFacts(), tools).join('; or ') ||
    `no prebuilt addon for ${machine.platform}: build it from the repository`
  for (const { name, problem } of addons) {
    if (problem) problems.push({ problem: `addon ${name}: ${problem}`, remedy: addonRemedy(name), blocking: true })
  }

  const blocked = problems.some(({ blocking }) => blocking)
  const probe = blocked ? null : runProbe()
  if (probe && !probe.ok) {
    const addon = probe.code === 'ADDON_NOT_FOUND' || probe.code === 'LIBTORCH_VERSION'
    problems.push({
      problem: firstLine(probe.message ?? 'libtorch does not load'),
      remedy:
        probe.code === 'BAD_ARGUMENT'
          ? 'correct the environment variable, or unset it (docs/environment.md)'
          : addon
            ? addonRemedy(wanted[1])
            : replaceTree(libtorch.tree!),
      blocking: true,
    })
  }
  const cudaProblem = probe?.cudaProblem ?? null
  if (cudaProblem && (machine.nvidiaDriver || libtorch.tree?.flavour === 'cuda')) {
    problems.push({
      problem: `no CUDA: ${cudaProblem}`,
      remedy:
        libtorch.tree?.flavour === 'cuda'
          ? "until then devices 'auto' and 'cpu' compute on the CPU"
          : chooseCudaBuild(libtorch.tree!),
      blocking: false,
    })
  }
  const devices = probe?.ok ? ['cpu', ...Array.from({ length: probe.cudaDevices ?? 0 }, (_, i) => `cuda:${i}`)] : []
  return {
    version: JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')).version,
    machine,
    libtorch: { found: libtorch.tree, attempts: libtorch.attempts },
    addons,
    devices,
    floatProducts: probe?.floatProducts ?? null,
    productRates: probe?.productRates ?? null,
    cudaProblem,
    problems,
    usable: devices.length > 0,
  }
}

function checkAddon(name: string): Diagnosis['addons'][number] {
  try {
    const path = resolveAddon(name)
    if (name === 'boot') loadBoot()
    return { name, path, problem: null }
  } catch (error) {
    return { name, path: null, problem: firstLine((error as Error).message) }
  }
}

/** The rest of a loading error is its own advice, which would send the reader here. */
function firstLine(message: string): string {
  return message.split('\n', 1)[0]
}

function runProbe(): ProbeResult {
  const result = spawnSync(process.execPath, [...programArguments(__dirname, 'probe-main'), 'auto'], {
    encoding: 'utf8',
    timeout: PROBE_TIMEOUT_MS,
    killSignal: 'SIGKILL',
  })
  if ((result.error as NodeJS.ErrnoException | undefined)?.code === 'ETIMEDOUT')
    return { ok: false, message: `the loading process did not end within ${PROBE_TIMEOUT_MS / 1000} s` }
  try {
    return JSON.parse(result.stdout.trim().split('\n').pop() ?? '')
  } catch {
    const how = result.signal ? `was killed by ${result.signal}` : `ended with code ${result.status}`
    return { ok: false, message: `the loading process ${how}: ${result.stderr.trim().split('\n').slice(-3).join(' ')}` }
  }
}
