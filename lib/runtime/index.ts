/** Finds, verifies and loads libtorch; the addons; workers. The only door of this room. */
export { type BootAddon, loadBoot } from './boot.js'
export { findLibtorch, type LibtorchAttempt, type LibtorchTree, libtorchCacheDirectory } from './find-libtorch.js'
export {
  type DeviceChoice,
  type LoadedRuntime,
  type LoadOptions,
  loadCore,
  loadedRuntime,
  loadRuntime,
  resolveDevice,
} from './load-core.js'
export type { NativeCore } from './native-core.js'
export { cacheDirectory } from './platform.js'
export { spawnWorker } from './spawn-worker.js'
export { DEFAULT_TORCH_VERSION, SUPPORTED_MINORS } from './versions.js'
