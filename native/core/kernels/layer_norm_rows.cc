#include "core/kernels/layer_norm_rows.h"

#include <cmath>

namespace strata::kernels {
namespace {

template <typename Value, typename Wide>
STRATA_INLINE void forward(const Value* x, const Value* residual, const Wide* gamma, const Wide* beta, int64_t size, Wide epsilon,
                           Value* y, Value* normalized, Wide* rstd_out) {
  const auto run = [&](const auto& sum) __attribute__((always_inline)) {
    const Wide mean = lane_sum<Wide>(size, sum) / static_cast<Wide>(size);
    const Wide variance = lane_sum<Wide>(size, [&](int64_t i) __attribute__((always_inline)) {
                            const Wide d = sum(i) - mean;
                            return d * d;
                          }) / static_cast<Wide>(size);
    const Wide rstd = 1 / std::sqrt(variance + epsilon);
    for (int64_t i = 0; i < size; ++i) {
      const Wide n = (sum(i) - mean) * rstd;
      narrow(n, normalized[i]);
      narrow(n * gamma[i] + beta[i], y[i]);
    }
    *rstd_out = rstd;
  };
  if (residual != nullptr) {
    run([&](int64_t i) __attribute__((always_inline)) { return static_cast<Wide>(widen(x[i]) + widen(residual[i])); });
  } else {
    run([&](int64_t i) __attribute__((always_inline)) { return static_cast<Wide>(widen(x[i])); });
  }
}

template <typename Value, typename Wide>
STRATA_INLINE void backward(const Value* dy, const Value* normalized, Wide rstd, const Wide* gamma, int64_t size, Value* dx,
                            Wide* dgamma, Wide* dbeta) {
  const Wide mean_g = lane_sum<Wide>(size, [&](int64_t i) __attribute__((always_inline)) { return widen(dy[i]) * gamma[i]; }) /
                      static_cast<Wide>(size);
  const Wide mean_gn = lane_sum<Wide>(size, [&](int64_t i) __attribute__((always_inline)) {
                         return widen(dy[i]) * gamma[i] * widen(normalized[i]);
                       }) / static_cast<Wide>(size);
  for (int64_t i = 0; i < size; ++i) {
    const Wide g = widen(dy[i]), n = widen(normalized[i]);
    dgamma[i] += g * n;
    dbeta[i] += g;
    narrow(rstd * (g * gamma[i] - mean_g - n * mean_gn), dx[i]);
  }
}

}  // namespace

#define STRATA_LAYER_NORM(Value, Wide)                                                                                        \
  STRATA_CLONES void layer_norm_row(const Value* x, const Value* residual, const Wide* gamma, const Wide* beta, int64_t size, \
                                    Wide epsilon, Value* y, Value* normalized, Wide* rstd) {                                  \
    forward(x, residual, gamma, beta, size, epsilon, y, normalized, rstd);                                                    \
  }                                                                                                                           \
  STRATA_CLONES void layer_norm_backward_row(const Value* dy, const Value* normalized, Wide rstd, const Wide* gamma,          \
                                             int64_t size, Value* dx, Wide* dgamma, Wide* dbeta) {                            \
    backward(dy, normalized, rstd, gamma, size, dx, dgamma, dbeta);                                                           \
  }
STRATA_LAYER_NORM(float, float)
STRATA_LAYER_NORM(Bf16, float)
STRATA_LAYER_NORM(double, double)
#undef STRATA_LAYER_NORM

STRATA_CLONES void stream_norm_row(const float* stream, const Bf16* delta, const float* gamma, const float* beta, int64_t size, float epsilon,
                                   float* sum, Bf16* y, float* mean_out, float* rstd_out) {
  const float* x = stream;
  if (delta != nullptr) {
    for (int64_t i = 0; i < size; ++i) sum[i] = stream[i] + widen(delta[i]);
    x = sum;
  }
  const auto width = static_cast<float>(size);
  const float mean = lane_sum<float>(size, [&](int64_t i) __attribute__((always_inline)) { return x[i]; }) / width;
  const float variance = lane_sum<float>(size, [&](int64_t i) __attribute__((always_inline)) { return (x[i] - mean) * (x[i] - mean); }) / width;
  const float rstd = 1 / std::sqrt(variance + epsilon);
  for (int64_t i = 0; i < size; ++i) narrow((x[i] - mean) * rstd * gamma[i] + beta[i], y[i]);
  *mean_out = mean;
  *rstd_out = rstd;
}

STRATA_CLONES void stream_norm_backward_row(const Bf16* dy, const float* dsum, const float* sum, float mean, float rstd, const float* gamma,
                                            int64_t size, float* dstream, Bf16* ddelta, float* dgamma, float* dbeta) {
  const auto width = static_cast<float>(size);
  const float mean_g = lane_sum<float>(size, [&](int64_t i) __attribute__((always_inline)) { return widen(dy[i]) * gamma[i]; }) / width;
  const float mean_gn = lane_sum<float>(size, [&](int64_t i) __attribute__((always_inline)) {
                          return widen(dy[i]) * gamma[i] * ((sum[i] - mean) * rstd);
                        }) / width;
  for (int64_t i = 0; i < size; ++i) {
    const float g = widen(dy[i]), n = (sum[i] - mean) * rstd;
    dgamma[i] += g * n;
    dbeta[i] += g;
    dstream[i] = rstd * (g * gamma[i] - mean_g - n * mean_gn);
  }
  if (dsum != nullptr)
    for (int64_t i = 0; i < size; ++i) dstream[i] += dsum[i];
  if (ddelta != nullptr)
    for (int64_t i = 0; i < size; ++i) narrow(dstream[i], ddelta[i]);
}

STRATA_CLONES void stream_sum_row(const float* stream, const Bf16* delta, int64_t size, float* out) {
  for (int64_t i = 0; i < size; ++i) out[i] = stream[i] + widen(delta[i]);
}

STRATA_CLONES void add_rows(const float* a, const float* b, const float* c, int64_t size, float* out) {
  for (int64_t i = 0; i < size; ++i) out[i] = a[i] + b[i] + c[i];
}
STRATA_CLONES void accumulate_row(const float* row, int64_t size, float* out) {
  for (int64_t i = 0; i < size; ++i) out[i] += row[i];
}
void add_rows(const double* a, const double* b, const double* c, int64_t size, double* out) {
  for (int64_t i = 0; i < size; ++i) out[i] = a[i] + b[i] + c[i];
}
void accumulate_row(const double* row, int64_t size, double* out) {
  for (int64_t i = 0; i < size; ++i) out[i] += row[i];
}

}  // namespace strata::kernels
