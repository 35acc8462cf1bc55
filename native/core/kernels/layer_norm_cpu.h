#pragma once
// LayerNorm(x + residual) on the CPU as one autograd node.
#include "core/ops.h"

namespace strata {

// x and residual (may be undefined): (R, H) in float, double or bfloat16; gamma and beta: (H) in float or double.
at::Tensor layer_norm_cpu(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& gamma, const at::Tensor& beta,
                          double epsilon);

}  // namespace strata
