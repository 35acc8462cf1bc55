#include "core/inference/pooling.h"

#include "core/kernels/layer_norm_rows.h"

#include <algorithm>
#include <cmath>

namespace strata {
namespace {

// One vector a sequence without an operator a sequence.
at::Tensor pooled_rows(const at::Tensor& hidden_TH, const std::vector<int64_t>& offsets, Pooling pooling, bool normalize) {
  const at::Tensor states = hidden_TH.contiguous();
  const int64_t sequences = static_cast<int64_t>(offsets.size()) - 1, size = states.size(1);
  at::Tensor vectors_BH = at::empty({sequences, size}, states.options());
  const float* values = states.const_data_ptr<float>();
  float* vectors = vectors_BH.mutable_data_ptr<float>();
  for (int64_t b = 0; b < sequences; ++b) {
    float* vector = vectors + b * size;
    std::copy_n(values + offsets[b] * size, size, vector);
    for (int64_t t = offsets[b] + 1; t < offsets[b + 1] && pooling != Pooling::cls; ++t) {
      const float* row = values + t * size;
      if (pooling == Pooling::mean) {
        kernels::accumulate_row(row, size, vector);
      } else {
        // As amax: a NaN stays.
        for (int64_t i = 0; i < size; ++i) vector[i] = row[i] > vector[i] || row[i] != row[i] ? row[i] : vector[i];
      }
    }
    float factor = pooling == Pooling::mean ? 1 / static_cast<float>(offsets[b + 1] - offsets[b]) : 1;
    if (normalize) {
      double squares = 0;
      for (int64_t i = 0; i < size; ++i) squares += static_cast<double>(vector[i]) * vector[i];
      factor /= static_cast<float>(std::max(std::sqrt(squares) * factor, 1e-12));
    }
    for (int64_t i = 0; i < size; ++i) vector[i] *= factor;
  }
  return vectors_BH;
}

// With operators of libtorch: for other devices and types, and what the rows above are held against.
at::Tensor pooled_plainly(const at::Tensor& hidden_TH, const std::vector<int64_t>& offsets, Pooling pooling, bool normalize) {
  std::vector<at::Tensor> rows;
  for (size_t b = 0; b + 1 < offsets.size(); ++b) {
    const at::Tensor states_SH = hidden_TH.narrow(0, offsets[b], offsets[b + 1] - offsets[b]);
    switch (pooling) {
      case Pooling::mean: rows.push_back(states_SH.mean(0)); break;
      case Pooling::cls: rows.push_back(states_SH.select(0, 0)); break;
      case Pooling::max: rows.push_back(states_SH.amax(0)); break;
    }
  }
  at::Tensor vectors_BH = at::stack(rows);
  if (normalize) vectors_BH = vectors_BH / vectors_BH.norm(2, 1, true).clamp_min(1e-12);
  return vectors_BH.to(at::kCPU, at::kFloat).contiguous();
}

}  // namespace

at::Tensor pooled_states(const ForwardPass& pass, const at::Tensor& hidden_TH, const std::vector<int64_t>& offsets, Pooling pooling,
                         bool normalize) {
  const bool fast = pass.inference && pass.kernels == Kernels::fast && hidden_TH.is_cpu() && hidden_TH.scalar_type() == at::kFloat;
  return fast ? pooled_rows(hidden_TH, offsets, pooling, normalize) : pooled_plainly(hidden_TH, offsets, pooling, normalize);
}

}  // namespace strata
