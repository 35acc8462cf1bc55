#include "core/inference/rows.h"

#include "core/inference/spread.h"
#include "core/kernels/inference_kernels.h"
#include "core/kernels/layer_norm_rows.h"

#include <algorithm>
#include <cmath>

namespace strata {
namespace {

template <typename Value>
void norm_rows(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& gamma, const at::Tensor& beta, double epsilon, at::Tensor& y) {
  const int64_t rows = x.size(0), size = x.size(1);
  const auto* in = static_cast<const Value*>(x.const_data_ptr());
  const auto* other = residual.defined() ? static_cast<const Value*>(residual.const_data_ptr()) : nullptr;
  const float *scale = gamma.const_data_ptr<float>(), *shift = beta.const_data_ptr<float>();
  auto* out = static_cast<Value*>(y.mutable_data_ptr());
  spread(rows, rows * size * 16, [&](int64_t begin, int64_t end) {
    std::vector<Value> normalized(static_cast<size_t>(size));  // what only a backward pass would read
    float inverse;
    for (int64_t r = begin; r < end; ++r)
      kernels::layer_norm_row(in + r * size, other ? other + r * size : nullptr, scale, shift, size, static_cast<float>(epsilon),
                              out + r * size, normalized.data(), &inverse);
  });
}

}  // namespace

bool attention_rows_fits(int64_t head_size) { return head_size % 16 == 0 && kernels::has_avx512(); }

at::Tensor attention_rows(const at::Tensor& qkv_T3H, const std::vector<int64_t>& offsets, int64_t heads) {
  const at::Tensor qkv = qkv_T3H.to(at::kFloat).contiguous();
  const int64_t hidden = qkv.size(1) / 3, size = hidden / heads, sequences = static_cast<int64_t>(offsets.size()) - 1;
  at::Tensor context_TH = at::empty({qkv.size(0), hidden}, qkv.options());
  const float* in = qkv.const_data_ptr<float>();
  float* out = context_TH.mutable_data_ptr<float>();
  int64_t longest = 0, work = 0;
  for (int64_t b = 0; b < sequences; ++b) {
    const int64_t length = offsets[b + 1] - offsets[b];
    longest = std::max(longest, length);
    work += 2 * length * length * hidden;
  }
  const float scale = 1 / std::sqrt(static_cast<float>(size));
  // Head by head: each thread gets sequences of all lengths.
  spread(heads * sequences, work, [&](int64_t begin, int64_t end) {
    at::Tensor scratch = at::empty({kernels::attention_scratch(longest, size)}, at::kFloat);
    for (int64_t item = begin; item < end; ++item) {
      const int64_t head = item / sequences, b = item % sequences, first = offsets[b];
      const float* query = in + first * 3 * hidden + head * size;
      kernels::attention_head(query, query + hidden, query + 2 * hidden, 3 * hidden, offsets[b + 1] - first, size, scale,
                              out + first * hidden + head * size, hidden, scratch.mutable_data_ptr<float>());
    }
  });
  return context_TH.to(qkv_T3H.scalar_type());
}

at::Tensor layer_norm_rows(const at::Tensor& x_TH, const at::Tensor& residual_TH, const at::Tensor& gamma_H, const at::Tensor& beta_H,
                           double epsilon) {
  const at::Tensor x = x_TH.contiguous(), residual = residual_TH.defined() ? residual_TH.contiguous() : at::Tensor();
  at::Tensor y_TH = at::empty_like(x);
  if (x.scalar_type() == at::kBFloat16) {
    norm_rows<kernels::Bf16>(x, residual, gamma_H, beta_H, epsilon, y_TH);
  } else {
    norm_rows<float>(x, residual, gamma_H, beta_H, epsilon, y_TH);
  }
  return y_TH;
}

}  // namespace strata
