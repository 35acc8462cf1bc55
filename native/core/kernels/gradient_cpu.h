#pragma once
// What is done to whole gradients on the CPU.
#include "core/ops.h"

#include <vector>

namespace strata {

// What our own passes over whole lists of weights and gradients take: float32 on the CPU, in one piece, where work is shared among threads.
bool fits_own_passes(const at::Tensor& x);

// x in `type`, for a gradient that is not added to another one, and so is hardly read before the update.
at::Tensor gradient_in(const at::Tensor& x, at::ScalarType type);

// The 2-norm of every gradient, as scalar tensors of its type.
std::vector<at::Tensor> norms_of(const std::vector<at::Tensor>& gradients);

}  // namespace strata
