#include "core/agreements/chunks.h"
#include "core/kernels/layer_norm_rows.h"
#include "core/parallel.h"

#include <torch/csrc/autograd/custom_function.h>

namespace strata {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kChunksPerTask = 64;

// A chunk's tokens in order on one thread: no sum depends on the number of threads.
template <typename Value>
void mean_rows(const at::Tensor& states, const at::Tensor& tokens, const at::Tensor& first, at::Tensor& out) {
  const int64_t size = states.size(1);
  const Value* rows = states.const_data_ptr<Value>();
  const int64_t *token = tokens.const_data_ptr<int64_t>(), *begin = first.const_data_ptr<int64_t>();
  Value* means = out.mutable_data_ptr<Value>();
  parallel_for(out.size(0), kChunksPerTask, [&](int64_t from, int64_t to) {
    for (int64_t c = from; c < to; ++c) {
      Value* mean = means + c * size;
      for (int64_t i = begin[c]; i < begin[c + 1]; ++i) kernels::accumulate_row(rows + token[i] * size, size, mean);
      const Value share = Value(1) / static_cast<Value>(begin[c + 1] - begin[c]);
      for (int64_t h = 0; h < size; ++h) mean[h] *= share;
    }
  });
}

template <typename Value>
void spread_rows(const at::Tensor& gradient, const at::Tensor& tokens, const at::Tensor& first, at::Tensor& out) {
  const int64_t size = gradient.size(1);
  const Value* means = gradient.const_data_ptr<Value>();
  const int64_t *token = tokens.const_data_ptr<int64_t>(), *begin = first.const_data_ptr<int64_t>();
  Value* rows = out.mutable_data_ptr<Value>();
  parallel_for(gradient.size(0), kChunksPerTask, [&](int64_t from, int64_t to) {
    for (int64_t c = from; c < to; ++c) {
      const Value share = Value(1) / static_cast<Value>(begin[c + 1] - begin[c]);
      for (int64_t i = begin[c]; i < begin[c + 1]; ++i)
        for (int64_t h = 0; h < size; ++h) rows[token[i] * size + h] = means[c * size + h] * share;
    }
  });
}

struct ChunkMeans : torch::autograd::Function<ChunkMeans> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& states, const at::Tensor& tokens, const at::Tensor& first) {
    at::Tensor out = at::zeros({first.size(0) - 1, states.size(1)}, states.options().requires_grad(false));
    if (states.scalar_type() == at::kDouble) {
      mean_rows<double>(states, tokens, first, out);
    } else {
      mean_rows<float>(states, tokens, first, out);
    }
    context->saved_data["tokens"] = tokens;
    context->saved_data["first"] = first;
    context->saved_data["count"] = states.size(0);
    return out;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const at::Tensor given = gradients[0].contiguous();
    const at::Tensor tokens = context->saved_data["tokens"].toTensor(), first = context->saved_data["first"].toTensor();
    at::Tensor out = at::zeros({context->saved_data["count"].toInt(), given.size(1)}, given.options());
    if (given.scalar_type() == at::kDouble) {
      spread_rows<double>(given, tokens, first, out);
    } else {
      spread_rows<float>(given, tokens, first, out);
    }
    return {out, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor chunk_means(const at::Tensor& states_TD, const ChunkLayout& layout, bool fast) {
  if (fast && states_TD.device().is_cpu()) return ChunkMeans::apply(states_TD.contiguous(), layout.tokens, layout.first);
  // One row more gathers the tokens of no chunk.
  const at::Tensor sums = at::zeros({layout.count + 1, states_TD.size(1)}, states_TD.options()).index_add(0, layout.chunk_of_T, states_TD);
  return sums.narrow(0, 0, layout.count) / layout.sizes_C.to(states_TD.scalar_type()).unsqueeze(1);
}

}  // namespace strata
