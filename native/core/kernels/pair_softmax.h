#pragma once
// Softmax into bf16 and its gradient, beside the products of pair_product.h and where those run; elsewhere they do nothing.
#include "core/kernels/bf16.h"

namespace strata::kernels {

// weights <- softmax(scale * scores)
void softmax_to_bf16(const float* scores, int64_t count, float scale, Bf16* weights);

// out <- scale * weight * (gradient - sum(gradient * weight)), the gradient of softmax(scale * scores) by its scores
void softmax_backward_to_bf16(const float* gradient, const Bf16* weight, int64_t count, float scale, Bf16* out);

}  // namespace strata::kernels
