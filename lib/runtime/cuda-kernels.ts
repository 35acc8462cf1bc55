/**
 * Compute capabilities that a build's libtorch_cuda has kernels for, as scripts/cuda-kernels.ts reads them out of the library (none brings
 * PTX, which a driver could compile for newer cards). A build that is not listed is not judged.
 */
export const CUDA_KERNELS: Record<string, readonly string[]> = {
  '2.11+cu130': ['7.5', '8.0', '8.6', '9.0', '10.0', '12.0'],
  '2.12+cu130': ['7.5', '8.0', '8.6', '9.0', '10.0', '12.0'],
  '2.13+cu130': ['7.5', '8.0', '8.6', '9.0', '10.0', '12.0'],
  '2.14+cu130': ['7.5', '8.0', '8.6', '9.0', '10.0', '12.0'],
}
