#include "core/inference/packed_weight.h"
#include "core/inference/spread.h"
#include "core/kernels/inference_kernels.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace strata {
namespace {

using kernels::kGroup;
using kernels::kPanel;

// Up to here threads share the columns, above it the rows.
constexpr int64_t kFewTokens = 48;
// Rows that one thread takes at a time: with the inner activations of a block they stay in its second-level cache.
constexpr int64_t kRows = 96;

int64_t rows_a_task(int64_t tokens) {
  const int64_t threads = at::get_num_threads(), share = (tokens + threads - 1) / threads;
  return std::min(kRows, (share + 5) / 6 * 6);
}

// Rows of 8-bit activations; scales, zeros and values share one piece of memory.
class QuantizedRows {
 public:
  QuantizedRows(int64_t rows, int64_t in)
      : stride((in + kGroup - 1) / kGroup * kGroup), memory_(at::empty({rows * (stride + 8)}, at::kByte)) {
    auto* bytes = memory_.mutable_data_ptr<uint8_t>();
    scales = reinterpret_cast<float*>(bytes);
    zeros = reinterpret_cast<int32_t*>(bytes + 4 * rows);
    values = bytes + 8 * rows;
  }

  void fill(const float* x, int64_t in, int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) kernels::quantize_row(x + r * in, in, values + r * stride, scales + r, zeros + r);
  }

  const int64_t stride;
  float* scales;
  int32_t* zeros;
  uint8_t* values;

 private:
  at::Tensor memory_;
};

class Int8Weight final : public PackedWeight {
 public:
  explicit Int8Weight(const at::Tensor& weight_OI) : out_(weight_OI.size(0)), in_(weight_OI.size(1)) {
    const at::Tensor weight = weight_OI.detach().to(at::kFloat).contiguous();
    const int64_t panels = (out_ + kPanel - 1) / kPanel;
    groups_ = (in_ + kGroup - 1) / kGroup;
    panels_ = at::zeros({panels, groups_, kPanel, kGroup}, at::kChar);
    scales_ = at::zeros({panels * kPanel}, at::kFloat);
    sums_ = at::zeros({panels * kPanel}, at::kInt);
    const float* values = weight.const_data_ptr<float>();
    int8_t* packed = panels_.mutable_data_ptr<int8_t>();
    for (int64_t o = 0; o < out_; ++o) {
      const float* row = values + o * in_;
      float largest = 0;
      bool finite = true;
      for (int64_t i = 0; i < in_; ++i) {
        largest = std::max(largest, std::abs(row[i]));
        finite = finite && std::isfinite(row[i]);
      }
      if (!finite) {
        scales_.mutable_data_ptr<float>()[o] = std::numeric_limits<float>::quiet_NaN();  // of values 0: what it gives is NaN
        continue;
      }
      const float scale = largest > 0 ? largest / 127 : 1;
      int8_t* column = packed + o / kPanel * groups_ * kPanel * kGroup + o % kPanel * kGroup;
      int32_t sum = 0;
      for (int64_t i = 0; i < in_; ++i) {
        const auto value = static_cast<int8_t>(std::clamp(std::nearbyint(row[i] / scale), -127.0f, 127.0f));
        column[i / kGroup * kPanel * kGroup + i % kGroup] = value;
        sum += value;
      }
      scales_.mutable_data_ptr<float>()[o] = scale;
      sums_.mutable_data_ptr<int32_t>()[o] = sum;
    }
  }

  at::Tensor apply(const at::Tensor& x_TI, const at::Tensor& bias_O, bool gelu) const override {
    const at::Tensor x = x_TI.contiguous();
    const int64_t tokens = x.size(0);
    at::Tensor y_TO = at::empty({tokens, out_}, x.options());
    const float* values = x.const_data_ptr<float>();
    float* y = y_TO.mutable_data_ptr<float>();
    QuantizedRows rows(tokens, in_);
    const int64_t work = tokens * in_ * out_ / 4;
    if (tokens <= kFewTokens) {
      rows.fill(values, in_, 0, tokens);
      spread(panels_.size(0), work, [&](int64_t begin, int64_t end) { panels(rows, 0, tokens, begin, end, bias_O, gelu, y, out_); });
      return y_TO;
    }
    const int64_t step = rows_a_task(tokens);
    spread((tokens + step - 1) / step, work, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        const int64_t first = task * step, last = std::min(tokens, first + step);
        rows.fill(values, in_, first, last);
        panels(rows, first, last, 0, panels_.size(0), bias_O, gelu, y + first * out_, out_);
      }
    });
    return y_TO;
  }

  at::Tensor apply_pair(const at::Tensor& x_TI, const at::Tensor& bias_O, const PackedWeight& next, const at::Tensor& next_bias) const override {
    const auto* second = dynamic_cast<const Int8Weight*>(&next);
    if (second == nullptr || second->in_ != out_ || x_TI.size(0) <= kFewTokens) return {};
    const at::Tensor x = x_TI.contiguous();
    const int64_t tokens = x.size(0), step = rows_a_task(tokens);
    at::Tensor y = at::empty({tokens, second->out_}, x.options());
    const float* values = x.const_data_ptr<float>();
    float* results = y.mutable_data_ptr<float>();
    spread((tokens + step - 1) / step, tokens * in_ * out_ / 2, [&](int64_t begin, int64_t end) {
      QuantizedRows outer(step, in_), inner(step, out_);
      at::Tensor between = at::empty({step, out_}, at::kFloat);
      float* middle = between.mutable_data_ptr<float>();
      for (int64_t task = begin; task < end; ++task) {
        const int64_t first = task * step, count = std::min(tokens, first + step) - first;
        outer.fill(values + first * in_, in_, 0, count);
        panels(outer, 0, count, 0, panels_.size(0), bias_O, true, middle, out_);
        inner.fill(middle, out_, 0, count);
        second->panels(inner, 0, count, 0, second->panels_.size(0), next_bias, false, results + first * second->out_, second->out_);
      }
    });
    return y;
  }

  int64_t bytes() const override { return static_cast<int64_t>(panels_.nbytes() + scales_.nbytes() + sums_.nbytes()); }

 private:
  // Panels `begin` to `end` for rows `first` to `last`; y is where row `first` goes.
  void panels(const QuantizedRows& rows, int64_t first, int64_t last, int64_t begin, int64_t end, const at::Tensor& bias, bool gelu, float* y,
              int64_t y_stride) const {
    const float* shift = bias.defined() ? bias.const_data_ptr<float>() : nullptr;
    for (int64_t p = begin; p < end; ++p) {
      const int64_t column = p * kPanel;
      const kernels::Int8Columns columns{panels_.const_data_ptr<int8_t>() + p * groups_ * kPanel * kGroup,
                                         scales_.const_data_ptr<float>() + column,
                                         sums_.const_data_ptr<int32_t>() + column,
                                         shift == nullptr ? nullptr : shift + column,
                                         std::min(kPanel, out_ - column)};
      kernels::int8_panel(rows.values + first * rows.stride, rows.stride, rows.scales + first, rows.zeros + first, last - first, groups_, columns,
                          gelu ? &kernels::gelu_table() : nullptr, y + column, y_stride);
    }
  }

  int64_t out_, in_, groups_ = 0;
  at::Tensor panels_, scales_, sums_;
};

class Int8Reference final : public PackedWeight {
 public:
  explicit Int8Reference(const at::Tensor& weight_OI) {
    const at::Tensor weight = weight_OI.detach().to(at::kFloat);
    const at::Tensor scale = (std::get<0>(weight.abs().max(1, true)) / 127).clamp_min(1e-30);
    weight_ = (weight / scale).round().clamp(-127, 127) * scale;
  }

  at::Tensor apply(const at::Tensor& x_TI, const at::Tensor& bias_O, bool gelu) const override {
    const at::Tensor low = std::get<0>(x_TI.min(1, true)).clamp_max(0), high = std::get<0>(x_TI.max(1, true)).clamp_min(0);
    const at::Tensor scale = ((high - low) / 255).clamp_min(1e-30), zero = (-low / scale).round();
    const at::Tensor rounded = (((x_TI / scale).round() + zero).clamp(0, 255) - zero) * scale;
    const at::Tensor y = at::linear(rounded, weight_, bias_O.defined() ? std::optional<at::Tensor>(bias_O) : std::nullopt);
    return gelu ? at::gelu(y) : y;
  }

  int64_t bytes() const override { return static_cast<int64_t>(weight_.nbytes()); }

 private:
  at::Tensor weight_;
};

}  // namespace

PackedWeightRef int8_weight(const at::Tensor& weight_OI) { return std::make_shared<Int8Weight>(weight_OI); }
PackedWeightRef int8_reference(const at::Tensor& weight_OI) { return std::make_shared<Int8Reference>(weight_OI); }

}  // namespace strata
