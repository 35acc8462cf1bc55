#include "core/kernels/attention_cpu.h"

#include "core/dropout.h"
#include "core/float_products.h"
#include "core/kernels/attention_layout.h"
#include "core/kernels/attention_pairs_cpu.h"
#include "core/kernels/inference_kernels.h"
#include "core/kernels/row_kernels.h"
#include "core/kernels/small_product.h"
#include "core/parallel.h"

#include <ATen/core/LegacyTypeDispatch.h>

#include <algorithm>
#include <cmath>

namespace strata {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Calls one(b) for every sequence, in parallel.
template <typename One>
void each_sequence(const AttentionLayout& layout, const One& one) {
  parallel_for(layout.sequences(), 1, [&](int64_t begin, int64_t end) {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    for (int64_t b = begin; b < end; ++b) one(b);
  });
}

template <typename Value>
void multiply_by_dropout(Value* values, int64_t count, double p, PhiloxKey site, int64_t offset) {
  float factors[1024];
  for (int64_t first = 0; first < count; first += 1024) {
    const int64_t n = std::min<int64_t>(1024, count - first);
    dropout_factors(factors, n, p, static_cast<float>(1 / (1 - p)), site, static_cast<uint64_t>(offset + first));
    // In float where values have 16 bits: a rounded factor would shift their mean.
    for (int64_t i = 0; i < n; ++i) values[first + i] = static_cast<Value>(values[first + i] * factors[i]);
  }
}

// Our own products where a library's are slow: on x86 processors that are not Intel's (float_products.h).
bool by_own_products(const at::Tensor& out) {
  return out.scalar_type() == at::kFloat && float_products() == FloatProducts::onednn && kernels::has_avx512();
}

kernels::Matrix matrix_of(const at::Tensor& heads, int64_t n) {
  return {heads.const_data_ptr<float>() + n * heads.stride(0), heads.stride(1), heads.stride(2)};
}

// out (N, R, C) = left (N, R, I) · right (N, I, C), head by head. The rows of out lie in one piece each; right lies by rows or by columns.
void multiply(const at::Tensor& out, const at::Tensor& left, const at::Tensor& right) {
  const int64_t rows = left.size(1), inner = left.size(2), columns = right.size(2);
  const bool turned = right.stride(2) != 1;
  if (!by_own_products(out) || (turned && inner % 16 != 0)) {
    if (out.is_contiguous()) {
      at::Tensor result = out;
      at::bmm_out(result, left, right);
    } else {
      out.copy_(at::bmm(left, right));
    }
    return;
  }
  const at::Tensor scratch = at::empty({turned ? kernels::small_product_scratch(inner, columns) : 0}, out.options());
  float* turned_values = scratch.mutable_data_ptr<float>();
  for (int64_t n = 0; n < out.size(0); ++n)
    kernels::small_product(matrix_of(left, n), matrix_of(right, n), rows, inner, columns, out.mutable_data_ptr<float>() + n * out.stride(0),
                           out.stride(1), turned_values);
}

template <typename Value>
at::Tensor forward_rows(const at::Tensor& qkv, const AttentionLayout& layout, at::Tensor& weights, double dropout, PhiloxKey site) {
  const auto scale = static_cast<Value>(1 / std::sqrt(static_cast<double>(layout.size)));
  weights = at::empty({layout.weight_offsets.back()}, qkv.options());
  at::Tensor context = at::empty({qkv.size(0), layout.hidden}, qkv.options());
  each_sequence(layout, [&](int64_t b) {
    const int64_t rows = layout.heads * layout.length(b), columns = layout.length(b);
    at::Tensor w = layout.weights(weights, b);
    multiply(w, layout.part(qkv, b, 0), layout.part(qkv, b, 1).transpose(1, 2));
    Value* values = w.mutable_data_ptr<Value>();
    for (int64_t r = 0; r < rows; ++r) kernels::softmax_row(values + r * columns, columns, scale);
    at::Tensor out = layout.context(context, b);
    if (dropout > 0) {
      at::Tensor dropped = w.clone();
      multiply_by_dropout(dropped.mutable_data_ptr<Value>(), rows * columns, dropout, site, layout.weight_offsets[b]);
      multiply(out, dropped, layout.part(qkv, b, 2));
    } else {
      multiply(out, w, layout.part(qkv, b, 2));
    }
  });
  return context;
}

template <typename Value>
at::Tensor backward_rows(const at::Tensor& gradient, const at::Tensor& qkv, const AttentionLayout& layout, const at::Tensor& weights,
                         double dropout, PhiloxKey site) {
  const auto scale = static_cast<Value>(1 / std::sqrt(static_cast<double>(layout.size)));
  at::Tensor dqkv = at::empty_like(qkv);
  each_sequence(layout, [&](int64_t b) {
    const int64_t rows = layout.heads * layout.length(b), columns = layout.length(b);
    const at::Tensor w = layout.weights(weights, b), dy = layout.context(gradient, b);
    at::Tensor dw = at::empty(w.sizes(), w.options()), dropped = w;
    multiply(dw, dy, layout.part(qkv, b, 2).transpose(1, 2));
    if (dropout > 0) {
      dropped = w.clone();
      multiply_by_dropout(dropped.mutable_data_ptr<Value>(), rows * columns, dropout, site, layout.weight_offsets[b]);
      multiply_by_dropout(dw.mutable_data_ptr<Value>(), rows * columns, dropout, site, layout.weight_offsets[b]);
    }
    multiply(layout.part(dqkv, b, 2), dropped.transpose(1, 2), dy);
    Value* gradients = dw.mutable_data_ptr<Value>();
    const Value* values = w.const_data_ptr<Value>();
    for (int64_t r = 0; r < rows; ++r) kernels::softmax_backward_row(gradients + r * columns, values + r * columns, columns, scale);
    multiply(layout.part(dqkv, b, 0), dw, layout.part(qkv, b, 1));
    multiply(layout.part(dqkv, b, 1), dw.transpose(1, 2), layout.part(qkv, b, 0));
  });
  return dqkv;
}

struct PackedAttention : torch::autograd::Function<PackedAttention> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& qkv_T3H, const AttentionCall& call) {
    const AttentionLayout layout(call, qkv_T3H.size(1) / 3);
    // Scores of low types are computed in float: the products are small, the conversions are cheap.
    const at::ScalarType type = qkv_T3H.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    const at::Tensor qkv = qkv_T3H.to(type).contiguous();
    at::Tensor weights;
    const at::Tensor result = type == at::kDouble ? forward_rows<double>(qkv, layout, weights, call.dropout, call.site)
                                                  : forward_rows<float>(qkv, layout, weights, call.dropout, call.site);
    context->save_for_backward({qkv, weights});
    call.save(*context);
    return result.to(qkv_T3H.scalar_type());
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor& qkv = saved[0];
    const auto call = AttentionCall::saved_in(*context);
    const AttentionLayout layout(call, qkv.size(1) / 3);
    const at::Tensor gradient = gradients[0].to(qkv.scalar_type()).contiguous();
    const at::Tensor dqkv = qkv.scalar_type() == at::kDouble
                                ? backward_rows<double>(gradient, qkv, layout, saved[1], call.dropout, call.site)
                                : backward_rows<float>(gradient, qkv, layout, saved[1], call.dropout, call.site);
    return {dqkv.to(gradients[0].scalar_type()), at::Tensor()};
  }
};

}  // namespace

at::Tensor attention_cpu(const at::Tensor& qkv_T3H, const std::vector<int64_t>& offsets, int64_t heads, double dropout,
                         PhiloxKey site) {
  const AttentionCall call{offsets, heads, dropout, site};
  return attention_pairs_fits(qkv_T3H, heads) ? attention_pairs_cpu(qkv_T3H, call) : PackedAttention::apply(qkv_T3H, call);
}

}  // namespace strata
