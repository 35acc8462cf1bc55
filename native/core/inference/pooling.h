#pragma once
// States of tokens as one vector a sequence.
#include "core/layers.h"

#include <cstdint>
#include <vector>

namespace strata {

enum class Pooling { mean, cls, max };

// (T, H) in the master type -> (B, H) float on the host; `normalize`: to unit length. `offsets`: (B + 1).
at::Tensor pooled_states(const ForwardPass& pass, const at::Tensor& hidden_TH, const std::vector<int64_t>& offsets, Pooling pooling,
                         bool normalize);

}  // namespace strata
