#pragma once
// GELU(gate) · x on the CPU as one autograd node that keeps its input alone (Shazeer 2020, arXiv 2002.05202).
#include "core/ops.h"

namespace strata {

// inner: (T, F) in float or bf16, values in the left half of a row and gates in the right. Result: (T, F / 2).
at::Tensor gated_gelu_cpu(const at::Tensor& inner_TF);

}  // namespace strata
