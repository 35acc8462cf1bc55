#include "core/kernels/gradient_cpu.h"

#include "core/kernels/inference_kernels.h"
#include "core/kernels/row_chunks.h"
#include "core/kernels/update_rows.h"
#include "core/kernels/widen.h"

#include <ATen/ops/_foreach_norm.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace strata {
namespace {

constexpr int64_t kWorthTheWay = int64_t{1} << 16;  // for smaller ones threads and memory make no difference

double norm_of(const at::Tensor& gradient) {
  const float* values = gradient.const_data_ptr<float>();
  if (gradient.numel() < kWorthTheWay) return std::sqrt(kernels::sum_of_squares(values, gradient.numel()));
  double sums[kChunks] = {};
  each_chunk(gradient.numel(),
             [&](int64_t chunk, int64_t begin, int64_t end) { sums[chunk] = kernels::sum_of_squares(values + begin, end - begin); });
  return std::sqrt(std::accumulate(sums, sums + kChunks, 0.0));
}

}  // namespace

bool fits_own_passes(const at::Tensor& x) { return shares_work() && x.device().is_cpu() && x.scalar_type() == at::kFloat && x.is_contiguous(); }

at::Tensor gradient_in(const at::Tensor& x, at::ScalarType type) {
  const bool fits = x.device().is_cpu() && x.scalar_type() == at::kBFloat16 && type == at::kFloat && x.is_contiguous();
  if (!fits || x.numel() < kWorthTheWay || !kernels::has_avx512()) return x.to(type);
  const at::Tensor wide = at::empty(x.sizes(), x.options().dtype(type));
  const auto* values = static_cast<const kernels::Bf16*>(x.const_data_ptr());
  float* out = wide.mutable_data_ptr<float>();
  parallel_for(x.numel(), kWorthTheWay / 4, [&](int64_t begin, int64_t end) { kernels::widen_past_cache(values + begin, end - begin, out + begin); });
  return wide;
}

std::vector<at::Tensor> norms_of(const std::vector<at::Tensor>& gradients) {
  if (!std::all_of(gradients.begin(), gradients.end(), fits_own_passes)) return at::_foreach_norm(gradients, 2);
  std::vector<at::Tensor> norms;
  for (const at::Tensor& gradient : gradients) norms.push_back(at::scalar_tensor(norm_of(gradient), gradient.options()));
  return norms;
}

}  // namespace strata
