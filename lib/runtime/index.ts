/** Finds, verifies and loads libtorch; the addons; workers. The only door of this room. */
export { loadBoot } from './boot.js'
export { freeMemory, usableThreads } from './cgroup.js'
export { type Diagnosis, diagnose, type Problem } from './diagnose.js'
export {
  describeAttempts,
  describeTree,
  type FindOptions,
  type FindResult,
  findLibtorch,
  inspectTree,
  type LibtorchAttempt,
  type LibtorchTree,
  libtorchCacheDirectory,
  libtorchNotFound,
} from './find-libtorch.js'
export { type InstallOptions, type InstallResult, installLibtorch } from './install-libtorch.js'
export { type InstallPlan, planInstall } from './install-plan.js'
export { libtorchManifest } from './libtorch-manifest.js'
export {
  type DeviceChoice,
  type LoadOptions,
  loadCore,
  loadedRuntime,
  loadRuntime,
  resolveDevice,
} from './load-core.js'
export { type MachineFacts, multipliesBf16 } from './machine.js'
export type { LibtorchFlavour } from './manifest.js'
export type { NativeCore, ProductRates } from './native-core.js'
export { packageRoot } from './package-root.js'
export { cacheDirectory } from './platform.js'
export { programArguments } from './program.js'
export { type OnProgress, type ProgressReport, progressPrinter } from './progress.js'
export { spawnWorker } from './spawn-worker.js'
export { DEFAULT_TORCH_VERSION } from './versions.js'
