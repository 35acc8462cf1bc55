#pragma once
// Noise that can be made again: value i depends on (key, i) alone.
#include "core/ops.h"
#include "core/philox.h"

namespace strata {

// Uniform in (0, 1).
at::Tensor uniform_noise(at::IntArrayRef shape, PhiloxKey key, const at::TensorOptions& options);

}  // namespace strata
