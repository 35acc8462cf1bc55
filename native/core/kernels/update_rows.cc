#include "core/kernels/update_rows.h"

#include <cmath>

namespace strata::kernels {
namespace {

constexpr int64_t kBlock = 1024;  // of parameters that are still in the first cache when their copy is made

}  // namespace

STRATA_CLONES void adamw_row(const AdamwUpdate& update, const float* gradient, int64_t size, float* parameter, float* first, float* second,
                             Bf16* low) {
  const auto [factor, keep, fresh1, beta2, fresh2, step_size, root_divisor, epsilon] = update;
  // From the nearer end, as torch.lerp: the difference would take the smaller one's digits.
  const bool is_near = fresh1 < 0.5f;
  const float beta1 = 1 - fresh1;
  for (int64_t begin = 0; begin < size; begin += kBlock) {
    const int64_t end = size < begin + kBlock ? size : begin + kBlock;
    for (int64_t i = begin; i < end; ++i) {
      const float g = gradient[i] * factor;
      const float m = is_near ? first[i] + fresh1 * (g - first[i]) : g - beta1 * (g - first[i]), v = beta2 * second[i] + fresh2 * g * g;
      first[i] = m;
      second[i] = v;
      parameter[i] = parameter[i] * keep - step_size * m / (std::sqrt(v) / root_divisor + epsilon);
    }
    if (low != nullptr)
      for (int64_t i = begin; i < end; ++i) narrow(parameter[i], low[i]);
  }
}

STRATA_CLONES double sum_of_squares(const float* row, int64_t size) {
  double sum = 0;
  for (int64_t begin = 0; begin < size; begin += kBlock) {
    const int64_t length = size < begin + kBlock ? size - begin : kBlock;
    sum += lane_sum<float>(length, [&](int64_t i) __attribute__((always_inline)) { return row[begin + i] * row[begin + i]; });
  }
  return sum;
}

}  // namespace strata::kernels
