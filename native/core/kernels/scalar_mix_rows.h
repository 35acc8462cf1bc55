#pragma once
// sum_j c_j N(h_j) over rows of H values and its gradients, each in one pass over memory. N is the identity, or (normalize) a
// LayerNorm of the row without weights, whose statistics backward takes again instead of keeping them.
#include "core/kernels/bf16.h"

#include <cstdint>

namespace strata::kernels {

// states: J rows; factors: (J); sum: H values of scratch; out = the sum.
// backward: dots[j] += <dy, N(h_j)>; gradients[j] (may be null) = c_j times dy brought through N.
#define STRATA_SCALAR_MIX(Value, Wide)                                                                                           \
  void scalar_mix_row(const Value* const* states, const Wide* factors, int64_t count, int64_t size, bool normalize, Wide epsilon, \
                      Wide* sum, Value* out);                                                                                     \
  void scalar_mix_backward_row(const Value* dy, const Value* const* states, const Wide* factors, int64_t count, int64_t size,     \
                               bool normalize, Wide epsilon, Value* const* gradients, double* dots);
STRATA_SCALAR_MIX(float, float)
STRATA_SCALAR_MIX(Bf16, float)
STRATA_SCALAR_MIX(double, double)
#undef STRATA_SCALAR_MIX

}  // namespace strata::kernels
