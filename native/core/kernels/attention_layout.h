#pragma once
// What the ways of packed attention share: where its parts lie in memory, and what a node keeps beside tensors.
#include "core/ops.h"
#include "core/philox.h"

#include <torch/csrc/autograd/custom_function.h>

#include <vector>

namespace strata {

struct AttentionCall {
  std::vector<int64_t> offsets;
  int64_t heads;
  double dropout;
  PhiloxKey site;

  void save(torch::autograd::AutogradContext& context) const {
    context.saved_data["offsets"] = offsets;
    context.saved_data["heads"] = heads;
    context.saved_data["dropout"] = dropout;
    context.saved_data["site"] = std::vector<int64_t>{site.low, site.high};
  }
  static AttentionCall saved_in(torch::autograd::AutogradContext& context) {
    const auto site = context.saved_data["site"].toIntVector();
    return {context.saved_data["offsets"].toIntVector(), context.saved_data["heads"].toInt(), context.saved_data["dropout"].toDouble(),
            {static_cast<uint32_t>(site[0]), static_cast<uint32_t>(site[1])}};
  }
};

// Legend: T tokens, H hidden size, N heads, D = H / N, S length of one sequence.
struct AttentionLayout {
  std::vector<int64_t> offsets;
  std::vector<int64_t> weight_offsets;  // first attention weight of each sequence, counted in values
  int64_t heads, hidden, size;

  AttentionLayout(const AttentionCall& call, int64_t hidden_size)
      : offsets(call.offsets), heads(call.heads), hidden(hidden_size), size(hidden_size / call.heads) {
    weight_offsets.push_back(0);
    for (size_t b = 0; b + 1 < offsets.size(); ++b) {
      const int64_t length = offsets[b + 1] - offsets[b];
      // Rounded up so that a sequence's dropout draws start at a whole counter value.
      weight_offsets.push_back(weight_offsets.back() + (heads * length * length + 3) / 4 * 4);
    }
  }
  int64_t sequences() const { return static_cast<int64_t>(offsets.size()) - 1; }
  int64_t length(int64_t b) const { return offsets[b + 1] - offsets[b]; }

  // part 0 query, 1 key, 2 value of sequence b as (N, S, D)
  at::Tensor part(const at::Tensor& rows_T3H, int64_t b, int64_t which) const {
    return rows_T3H.as_strided({heads, length(b), size}, {size, 3 * hidden, 1},
                               rows_T3H.storage_offset() + offsets[b] * 3 * hidden + which * hidden);
  }
  at::Tensor context(const at::Tensor& rows_TH, int64_t b) const {
    return rows_TH.as_strided({heads, length(b), size}, {size, hidden, 1}, rows_TH.storage_offset() + offsets[b] * hidden);
  }
  at::Tensor weights(const at::Tensor& all, int64_t b) const {
    return all.as_strided({heads, length(b), length(b)}, {length(b) * length(b), length(b), 1}, weight_offsets[b]);
  }
};

}  // namespace strata
