/**
 * What the main addon exports. The runtime itself needs only the few members named here; the rooms above describe theirs where they
 * use them.
 */
export interface NativeCore {
  /** libtorch minor version that the addon was compiled for, e.g. `2.13`. */
  readonly torchVersion: string
  /** Number of usable CUDA devices; 0 without libtorch_cuda, driver or device. */
  cudaDeviceCount?(): number
  [member: string]: any
}
