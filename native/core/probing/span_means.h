#pragma once
// Means of states over spans of tokens, layer beside layer: what a probe reads of a sentence or a word.
#include "core/ops.h"

#include <cstdint>
#include <vector>

namespace strata {

// From L' tensors (T, H) float32 and S spans [start, end) within T: (S, L', H). Throws BAD_ARGUMENT.
at::Tensor span_means(const std::vector<at::Tensor>& states, const std::vector<int32_t>& starts, const std::vector<int32_t>& ends);

}  // namespace strata
