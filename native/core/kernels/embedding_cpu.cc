#include "core/kernels/embedding_cpu.h"

#include "core/kernels/layer_norm_rows.h"
#include "core/parallel.h"

#include <torch/csrc/autograd/custom_function.h>

namespace strata {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <typename Value>
void sum_rows(const at::Tensor& words, const at::Tensor& positions, const at::Tensor& segments, const at::Tensor& token_ids,
              const at::Tensor& position_ids, const at::Tensor& segment_ids, at::Tensor& out) {
  const int64_t size = words.size(1);
  const Value *w = words.const_data_ptr<Value>(), *p = positions.const_data_ptr<Value>(), *s = segments.const_data_ptr<Value>();
  const int64_t *ids = token_ids.const_data_ptr<int64_t>(), *places = position_ids.const_data_ptr<int64_t>(),
                *kinds = segment_ids.const_data_ptr<int64_t>();
  Value* rows = out.mutable_data_ptr<Value>();
  parallel_for(out.size(0), 64, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t)
      kernels::add_rows(w + ids[t] * size, p + places[t] * size, s + kinds[t] * size, size, rows + t * size);
  });
}

// Rows in token order on one thread: the sum of equal ids does not depend on the number of threads.
template <typename Value>
void scatter_rows(const at::Tensor& gradient, const at::Tensor& ids, at::Tensor& out) {
  const int64_t size = gradient.size(1);
  const Value* rows = gradient.const_data_ptr<Value>();
  const int64_t* row_of = ids.const_data_ptr<int64_t>();
  Value* sums = out.mutable_data_ptr<Value>();
  for (int64_t t = 0; t < gradient.size(0); ++t) kernels::accumulate_row(rows + t * size, size, sums + row_of[t] * size);
}

void scatter(const at::Tensor& gradient, const at::Tensor& ids, at::Tensor& out) {
  if (gradient.scalar_type() == at::kDouble) {
    scatter_rows<double>(gradient, ids, out);
  } else {
    scatter_rows<float>(gradient, ids, out);
  }
}

// A matrix that autograd does not see as an input of the node: the rows' gradient is added to the matrix' own in place, and an edge
// would make the decoder's gradient, a whole matrix, wait for this node and be added to another whole one.
struct Unseen {
  at::Tensor matrix;
};

struct EmbeddingSum : torch::autograd::Function<EmbeddingSum> {
  // edge: the words, if no other input has a gradient, else none.
  static at::Tensor forward(AutogradContext* context, const Unseen& unseen, const std::optional<at::Tensor>& edge,
                            const at::Tensor& positions, const at::Tensor& segments, const at::Tensor& token_ids,
                            const at::Tensor& position_ids, const at::Tensor& segment_ids) {
    const at::Tensor& words = unseen.matrix;
    at::Tensor out = at::empty({token_ids.size(0), positions.size(1)}, positions.options().requires_grad(false));
    if (out.scalar_type() == at::kDouble) {
      sum_rows<double>(words, positions, segments, token_ids, position_ids, segment_ids, out);
    } else {
      sum_rows<float>(words, positions, segments, token_ids, position_ids, segment_ids, out);
    }
    context->saved_data["edge"] = edge.has_value();
    context->saved_data["words"] = words;
    context->saved_data["token_ids"] = token_ids;
    context->saved_data["position_ids"] = position_ids;
    context->saved_data["segment_ids"] = segment_ids;
    context->saved_data["positions"] = positions.size(0);
    context->saved_data["segments"] = segments.size(0);
    return out;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const at::Tensor dy = gradients[0].contiguous();
    const at::Tensor words = context->saved_data["words"].toTensor();
    if (words.requires_grad()) {
      at::Tensor& gradient = words.mutable_grad();
      // Usually the decoder's part is there already: its node runs earlier.
      if (!gradient.defined()) gradient = at::zeros(words.sizes(), dy.options());
      if (!gradient.is_contiguous()) gradient = gradient.contiguous();
      scatter(dy, context->saved_data["token_ids"].toTensor(), gradient);
    }
    at::Tensor dpositions, dsegments;
    // Edges count tensors alone.
    const size_t first = context->saved_data["edge"].toBool() ? 1 : 0;
    if (context->needs_input_grad(first)) {
      dpositions = at::zeros({context->saved_data["positions"].toInt(), dy.size(1)}, dy.options());
      scatter(dy, context->saved_data["position_ids"].toTensor(), dpositions);
    }
    if (context->needs_input_grad(first + 1)) {
      dsegments = at::zeros({context->saved_data["segments"].toInt(), dy.size(1)}, dy.options());
      scatter(dy, context->saved_data["segment_ids"].toTensor(), dsegments);
    }
    return {at::Tensor(), at::Tensor(), dpositions, dsegments, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor embedding_sum_cpu(const at::Tensor& words, const at::Tensor& positions, const at::Tensor& segments,
                             const at::Tensor& token_ids_T, const at::Tensor& position_ids_T, const at::Tensor& segment_ids_T) {
  const bool others = positions.requires_grad() || segments.requires_grad();
  const std::optional<at::Tensor> edge = others ? std::nullopt : std::optional<at::Tensor>(words);
  return EmbeddingSum::apply(Unseen{words}, edge, positions, segments, token_ids_T.contiguous(), position_ids_T.contiguous(),
                             segment_ids_T.contiguous());
}

}  // namespace strata
