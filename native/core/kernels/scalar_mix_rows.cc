#include "core/kernels/scalar_mix_rows.h"

#include <cmath>

namespace strata::kernels {
namespace {

template <typename Value, typename Wide>
STRATA_INLINE void statistics(const Value* row, int64_t size, Wide epsilon, Wide& mean, Wide& rstd) {
  const Wide centre = lane_sum<Wide>(size, [&](int64_t i) __attribute__((always_inline)) { return widen(row[i]); }) / static_cast<Wide>(size);
  const Wide variance = lane_sum<Wide>(size, [&](int64_t i) __attribute__((always_inline)) {
                          const Wide d = widen(row[i]) - centre;
                          return d * d;
                        }) / static_cast<Wide>(size);
  mean = centre;
  rstd = 1 / std::sqrt(variance + epsilon);
}

template <typename Value, typename Wide>
STRATA_INLINE void forward(const Value* const* states, const Wide* factors, int64_t count, int64_t size, bool normalize,
                           Wide epsilon, Wide* sum, Value* out) {
  for (int64_t i = 0; i < size; ++i) sum[i] = 0;
  for (int64_t j = 0; j < count; ++j) {
    const Value* row = states[j];
    Wide mean = 0, rstd = 1;
    if (normalize) statistics(row, size, epsilon, mean, rstd);
    const Wide scale = factors[j] * rstd;
    for (int64_t i = 0; i < size; ++i) sum[i] += scale * (widen(row[i]) - mean);
  }
  for (int64_t i = 0; i < size; ++i) narrow(sum[i], out[i]);
}

template <typename Value, typename Wide>
STRATA_INLINE void backward(const Value* dy, const Value* const* states, const Wide* factors, int64_t count, int64_t size,
                            bool normalize, Wide epsilon, Value* const* gradients, double* dots) {
  const Wide mean_g =
      normalize ? lane_sum<Wide>(size, [&](int64_t i) __attribute__((always_inline)) { return widen(dy[i]); }) / static_cast<Wide>(size) : 0;
  for (int64_t j = 0; j < count; ++j) {
    const Value* row = states[j];
    Wide mean = 0, rstd = 1;
    if (normalize) statistics(row, size, epsilon, mean, rstd);
    const Wide dot = rstd * lane_sum<Wide>(size, [&](int64_t i) __attribute__((always_inline)) { return widen(dy[i]) * (widen(row[i]) - mean); });
    dots[j] += dot;
    Value* gradient = gradients[j];
    if (gradient == nullptr) continue;
    const Wide scale = factors[j] * rstd;
    if (!normalize) {
      for (int64_t i = 0; i < size; ++i) narrow(scale * widen(dy[i]), gradient[i]);
      continue;
    }
    const Wide slope = rstd * dot / static_cast<Wide>(size);
    for (int64_t i = 0; i < size; ++i) narrow(scale * (widen(dy[i]) - mean_g - (widen(row[i]) - mean) * slope), gradient[i]);
  }
}

}  // namespace

#define STRATA_SCALAR_MIX(Value, Wide)                                                                                            \
  STRATA_CLONES void scalar_mix_row(const Value* const* states, const Wide* factors, int64_t count, int64_t size, bool normalize, \
                                    Wide epsilon, Wide* sum, Value* out) {                                                        \
    forward(states, factors, count, size, normalize, epsilon, sum, out);                                                          \
  }                                                                                                                               \
  STRATA_CLONES void scalar_mix_backward_row(const Value* dy, const Value* const* states, const Wide* factors, int64_t count,     \
                                             int64_t size, bool normalize, Wide epsilon, Value* const* gradients, double* dots) { \
    backward(dy, states, factors, count, size, normalize, epsilon, gradients, dots);                                              \
  }
STRATA_SCALAR_MIX(float, float)
STRATA_SCALAR_MIX(Bf16, float)
STRATA_SCALAR_MIX(double, double)
#undef STRATA_SCALAR_MIX

}  // namespace strata::kernels
