#pragma once
// GELU(gate) · x over one row, and its gradient; computed in float.
#include "core/kernels/bf16.h"

namespace strata::kernels {

// inner: `size` values, then `size` gates. out[i] = x[i] · GELU(gate[i]).
void gated_gelu_row(const float* inner, int64_t size, float* out);
void gated_gelu_row(const Bf16* inner, int64_t size, Bf16* out);

// dinner: as inner, the gradients of values and gates.
void gated_gelu_backward_row(const float* dout, const float* inner, int64_t size, float* dinner);
void gated_gelu_backward_row(const Bf16* dout, const Bf16* inner, int64_t size, Bf16* dinner);

}  // namespace strata::kernels
