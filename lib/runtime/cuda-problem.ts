/**
 * Why CUDA cannot be used although a CUDA build of libtorch is there: one sentence each for no driver, a driver that is too old and a card
 * that the build has no kernels for. Pure: {@link cudaFacts} asks the machine, {@link cudaProblem} judges.
 */
import { existsSync, readFileSync } from 'node:fs'
import type { BootAddon, CudaDriver } from './boot.js'
import { CUDA_KERNELS } from './cuda-kernels.js'
import { parseTorchVersion } from './versions.js'

export interface CudaFacts extends CudaDriver {
  /** Version of the NVIDIA kernel module, e.g. `550.54.14`; null when it is not loaded. */
  kernelModule: string | null
  /** /dev/nvidia0 and the like are here (a container sees them only when it was given the GPU). */
  deviceFiles: boolean
  /** CUDA_VISIBLE_DEVICES; null when it is not set. */
  visibleDevices: string | null
}

/** CUresult of cuInit and cuDeviceGetCount that have a sentence of their own. */
const NO_DEVICE = 100
const VERSION_MISMATCH = 803

/** Oldest Linux driver that runs a CUDA major version. */
const OLDEST_DRIVER: Record<number, string> = { 12: '525', 13: '580' }

/** Asks the driver, which starts it in this process. */
export function cudaFacts(boot: BootAddon): CudaFacts {
  return {
    ...boot.cudaDriver(),
    kernelModule: kernelModule(),
    deviceFiles: existsSync('/dev/nvidia0') || existsSync('/dev/dxg'),
    visibleDevices: process.env.CUDA_VISIBLE_DEVICES ?? null,
  }
}

function kernelModule(): string | null {
  try {
    return (
      /Kernel Module(?: for \S+)?\s+([\d.]+)/.exec(readFileSync('/proc/driver/nvidia/version', 'utf8'))?.[1] ?? null
    )
  } catch {
    return null
  }
}

/** The sentence, or null when the first device can compute. `version` = the libtorch's, e.g. `2.13.0+cu130`. */
export function cudaProblem(facts: CudaFacts, version: string): string | null {
  const needed = cudaOf(version)
  const driver = facts.kernelModule ? `NVIDIA driver ${facts.kernelModule}` : 'the NVIDIA driver'
  const newer = needed ? ` ${OLDEST_DRIVER[needed.major] ?? `for CUDA ${needed.text}`} or newer` : ''
  if (!facts.library) {
    return facts.kernelModule === null
      ? `no NVIDIA driver is installed: install driver${newer}, or compute on the CPU`
      : `${driver} runs on this machine, but its library libcuda.so.1 is not here: start the container with the GPU (docker run --gpus all), or install the driver's libraries`
  }
  if (needed && facts.version > 0 && Math.floor(facts.version / 1000) < needed.major) {
    return `${driver} is too old: it runs CUDA up to ${cudaText(facts.version)}, libtorch ${version} needs CUDA ${needed.text}; install driver${newer}, or compute on the CPU`
  }
  if (facts.status === VERSION_MISMATCH) {
    return `${driver} does not fit its library libcuda.so.1, as after an update without a restart: restart the machine`
  }
  if (facts.status !== 0 || facts.devices.length === 0) return noDevice(facts, driver)
  const unsupported = facts.devices.map((device) => cardProblem(device, version))
  if (unsupported[0] === null) return null
  const other = unsupported.indexOf(null)
  const advice = other > 0 ? `hide it with CUDA_VISIBLE_DEVICES=${other}` : 'compute on the CPU'
  return `${unsupported[0]}; ${advice}`
}

function noDevice({ status, visibleDevices, deviceFiles }: CudaFacts, driver: string): string {
  if (visibleDevices !== null && (status === 0 || status === NO_DEVICE)) {
    return `${driver} shows no device because CUDA_VISIBLE_DEVICES is '${visibleDevices}': change it or unset it`
  }
  if (!deviceFiles) {
    return `${driver} finds no card: this machine has none, or the container was started without it (docker run --gpus all)`
  }
  return `${driver} finds no usable device${status === 0 ? '' : ` (CUDA error ${status})`}: check it with nvidia-smi`
}

/** A kernel runs on cards of its own major version from its minor version up (CUDA programming guide, "Compute capabilities"). */
function cardProblem({ name, capability }: CudaDriver['devices'][number], version: string): string | null {
  const cuda = cudaOf(version)
  const kernels = cuda && CUDA_KERNELS[`${parseTorchVersion(version)?.minor}+${cuda.tag}`]
  if (!kernels) return null
  const [major, minor] = capability.split('.').map(Number)
  const fits = kernels.some((kernel) => {
    const [kernelMajor, kernelMinor] = kernel.split('.').map(Number)
    return kernelMajor === major && kernelMinor <= minor
  })
  return fits
    ? null
    : `${name} (compute capability ${capability}) is not supported by libtorch ${version}, which has kernels for ${kernels.join(', ')}`
}

/** `2.13.0+cu130` → CUDA 13.0; null for a build that does not say it. */
function cudaOf(version: string): { major: number; text: string; tag: string } | null {
  const match = /\+(cu(\d+)(\d))$/.exec(version)
  return match && { major: Number(match[2]), text: `${match[2]}.${match[3]}`, tag: match[1] }
}

function cudaText(version: number): string {
  return `${Math.floor(version / 1000)}.${Math.floor((version % 1000) / 10)}`
}
