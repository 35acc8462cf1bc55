#pragma once
// Float32 products of linear layers on the CPU. libtorch gives them to MKL, which takes a slow path on processors that are not Intel's: on
// AMD's of Zen 5 less than half of what oneDNN, which is in libtorch too, makes of the same product (docs/performance.md). Legend: R rows,
// I inputs, O outputs.
#include "core/ops.h"

namespace strata {

enum class FloatProducts {
  mkl,    // at::linear, at::mm: whatever libtorch chooses
  onednn  // mkldnn::_linear_pointwise where a product is large enough
};

// The way of this process, decided once: STRATABERT_FLOAT_PRODUCTS (mkl or onednn), else oneDNN on an x86 processor of another maker than
// Intel without a limit on this process's memory, if libtorch has the operator. Throws BAD_ARGUMENT for another value, UNSUPPORTED for onednn where libtorch lacks it.
FloatProducts float_products();
bool has_onednn_products();

// x W^T + bias without gradients: (R, I) -> (R, O). bias (O) may be undefined.
at::Tensor float_product(const at::Tensor& x_RI, const at::Tensor& weight_OI, const at::Tensor& bias_O, FloatProducts products);

// The same with gradients, of (…, I) -> (…, O). There is no second derivative.
at::Tensor float_linear(const at::Tensor& x, const at::Tensor& weight_OI, const at::Tensor& bias_O, FloatProducts products);

}  // namespace strata
