#pragma once
// GELU(gate) · x over one row, and its gradient.
#include <cstdint>

namespace strata::kernels {

// inner: `size` values, then `size` gates. out[i] = x[i] · GELU(gate[i]).
void gated_gelu_row(const float* inner, int64_t size, float* out);

// dinner: as inner, the gradients of values and gates.
void gated_gelu_backward_row(const float* dout, const float* inner, int64_t size, float* dinner);

}  // namespace strata::kernels
