#pragma once
// LayerNorm of a sum over rows of H values, forward and backward, each in one pass over memory.
#include "core/kernels/bf16.h"

#include <cstdint>

namespace strata::kernels {

// sum = x + residual (residual may be null); normalized = (sum - mean) · rstd; y = normalized · gamma + beta.
#define STRATA_LAYER_NORM(Value, Wide)                                                                                         \
  void layer_norm_row(const Value* x, const Value* residual, const Wide* gamma, const Wide* beta, int64_t size, Wide epsilon, \
                      Value* y, Value* normalized, Wide* rstd);                                                               \
  void layer_norm_backward_row(const Value* dy, const Value* normalized, Wide rstd, const Wide* gamma, int64_t size,          \
                               Value* dx, Wide* dgamma, Wide* dbeta);
STRATA_LAYER_NORM(float, float)
STRATA_LAYER_NORM(Bf16, float)
STRATA_LAYER_NORM(double, double)
#undef STRATA_LAYER_NORM

// Of a float stream, into bf16. sum = stream + delta; y = (sum - mean) · rstd · gamma + beta. A null delta leaves sum, which is the stream then,
// unwritten.
void stream_norm_row(const float* stream, const Bf16* delta, const float* gamma, const float* beta, int64_t size, float epsilon, float* sum,
                     Bf16* y, float* mean, float* rstd);
// dstream = dsum + the gradient through y, ddelta the same in bf16; dsum and ddelta may be null.
void stream_norm_backward_row(const Bf16* dy, const float* dsum, const float* sum, float mean, float rstd, const float* gamma, int64_t size,
                              float* dstream, Bf16* ddelta, float* dgamma, float* dbeta);
// out = stream + delta
void stream_sum_row(const float* stream, const Bf16* delta, int64_t size, float* out);

// out = sum of three embedding rows
void add_rows(const float* a, const float* b, const float* c, int64_t size, float* out);
void add_rows(const double* a, const double* b, const double* c, int64_t size, double* out);
// out += row
void accumulate_row(const float* row, int64_t size, float* out);
void accumulate_row(const double* row, int64_t size, double* out);

}  // namespace strata::kernels
