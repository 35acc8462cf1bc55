#pragma once
// A weighted sum of layers on the CPU as one autograd node.
#include "core/ops.h"

#include <vector>

namespace strata {

// sum_j factors[j] * N(states[j]); states: (R, H) in float, double or bfloat16; factors: (J) in float or double. N: the identity or a
// LayerNorm without weights.
at::Tensor scalar_mix_cpu(const at::Tensor& factors_J, const std::vector<at::Tensor>& states, bool normalize, double epsilon);

}  // namespace strata
