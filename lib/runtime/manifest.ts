/** What can be fetched: builds of libtorch and the wheels they are cut from, pinned by size and SHA-256. */
import { StrataError } from '../errors.js'

export type LibtorchFlavour = 'cpu' | 'cu130'

export interface PinnedWheel {
  /** Package name for pip. */
  name: string
  version: string
  bytes: number
  sha256: string
}

export interface LibtorchBuild {
  /** e.g. `2.13.0`. */
  version: string
  flavour: string
  /** `<process.platform>-<process.arch>`. */
  platform: string
  /** File names, keys of {@link LibtorchManifest.wheels}. */
  wheels: string[]
}

export interface LibtorchManifest {
  wheels: Record<string, PinnedWheel>
  builds: LibtorchBuild[]
}

/** The build for a version (full, or a minor like `2.12`), flavour and platform; UNSUPPORTED says which there are. */
export function selectBuild(
  manifest: LibtorchManifest,
  version: string,
  flavour: string,
  platform = `${process.platform}-${process.arch}`,
): LibtorchBuild {
  const here = manifest.builds.filter((build) => build.platform === platform)
  const build = here.find(
    (candidate) =>
      candidate.flavour === flavour && (candidate.version === version || candidate.version.startsWith(`${version}.`)),
  )
  if (build) return build
  const known = here.map((candidate) => `${candidate.version} ${candidate.flavour}`).join(', ')
  throw new StrataError(
    'UNSUPPORTED',
    `no pinned libtorch ${version} ${flavour} for ${platform}; expected one of: ${known || 'none for this platform'}; ` +
      'choose one of these, or use a libtorch of your own: STRATABERT_LIBTORCH=/path, or LIBTORCH_USE_PYTORCH=1 for Python’s torch',
    { details: { version, flavour, platform } },
  )
}

/** True for the files of a wheel that the flavour needs: libraries, headers (to compile), the version and the licences. */
export function isNeeded(path: string, flavour: string): boolean {
  if (/^torch\/(include\/|version\.py$)/.test(path)) return true
  if (/^torch-[^/]+\.dist-info\/(licenses\/)?(LICENSE|NOTICE)/.test(path)) return true
  if (/^nvidia[^/]*\.dist-info\/.*License/i.test(path)) return true
  const cpu = /^(torch\/lib\/(libtorch_cpu|libc10|libgomp)|nvidia\/cu13\/lib\/(libcudart|libcupti))\.so[.\d]*$/
  if (cpu.test(path)) return true
  if (flavour === 'cpu') return false
  return (
    /^torch\/lib\/(libtorch_cuda|libtorch_cuda_linalg|libc10_cuda|libcaffe2_nvrtc|libtorch_nvshmem)\.so$/.test(path) ||
    // `.alt` is a second NVRTC for other programs; Mg and nvblas are not referred to by libtorch.
    (/^nvidia\/[^/]+\/lib\/[^/]+\.so[.\d]*$/.test(path) &&
      !/\.alt\.|libcusolverMg|libnvblas|libnvperf|libpcsampling|libcheckpoint/.test(path))
  )
}
