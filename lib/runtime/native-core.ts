export interface ProductRates {
  fp32: number
  bf16: number
}

/** MKL (libtorch's own choice on x86) or oneDNN, which is faster where the processor is not Intel's. */
export type FloatProducts = 'mkl' | 'onednn'

/**
 * What the main addon exports. The runtime itself needs only the few members named here; the rooms above describe theirs where they
 * use them.
 */
export interface NativeCore {
  /** libtorch minor version that the addon was compiled for, e.g. `2.13`. */
  readonly torchVersion: string
  /** Number of usable CUDA devices; 0 without libtorch_cuda, driver or device. */
  cudaDeviceCount?(): number
  /** What computes float32 products on the CPU; decided once a process. BAD_ARGUMENT for an unknown STRATABERT_FLOAT_PRODUCTS. */
  floatProducts?(): FloatProducts
  /** 10⁹ operations a second of a linear layer of BERT-base on the processor, measured now in some 20 ms. */
  productRates?(): ProductRates
  [member: string]: any
}
