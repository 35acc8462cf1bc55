#pragma once
// The parts of a block that are no products, without what a backward pass would need. On the CPU in float or bfloat16.
#include "core/ops.h"

#include <vector>

namespace strata {

// Whether attention_rows takes heads of this size on this processor.
bool attention_rows_fits(int64_t head_size);
// qkv (T, 3H) -> (T, H); sequences lie one after the other.
at::Tensor attention_rows(const at::Tensor& qkv_T3H, const std::vector<int64_t>& offsets, int64_t heads);
// LayerNorm(x + residual); residual may be undefined.
at::Tensor layer_norm_rows(const at::Tensor& x_TH, const at::Tensor& residual_TH, const at::Tensor& gamma_H, const at::Tensor& beta_H,
                           double epsilon);

}  // namespace strata
