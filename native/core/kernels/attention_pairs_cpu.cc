#include "core/kernels/attention_pairs_cpu.h"

#include "core/dropout.h"
#include "core/float_products.h"
#include "core/kernels/inference_kernels.h"
#include "core/kernels/pair_product.h"
#include "core/kernels/pair_softmax.h"
#include "core/kernels/row_kernels.h"
#include "core/parallel.h"

#include <algorithm>
#include <cmath>

namespace strata {
namespace {

using kernels::Bf16;
using kernels::padded_to_lanes;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kQueries = 8;  // whose scores are in the first cache at once

// A row of weights or of their gradient holds whole pairs: S rounded up to 2, the last one 0.
int64_t even(int64_t length) { return length + length % 2; }

// Pieces of one piece of memory, each from a cache line on.
class Pieces {
 public:
  explicit Pieces(char* next) : next_(next) {}
  template <typename Value>
  Value* take(int64_t count) {
    auto* piece = reinterpret_cast<Value*>(next_);
    next_ += (count * static_cast<int64_t>(sizeof(Value)) + 63) / 64 * 64;
    return piece;
  }

 private:
  char* next_;
};

// Bytes that forward_head and backward_head take of their pieces, at most.
int64_t scratch_bytes(int64_t length, int64_t size) {
  const int64_t width = padded_to_lanes(length);
  const int64_t sides = 4 * 2 * size * width, squares = 2 * 2 * even(length) * width, blocks = kQueries * width * (4 + 4 + 2 + 2);
  return sides + squares + blocks + 16 * 64;
}

// Dropout factors of `count` weights from `first` on, in `space` of count + 3 values.
const float* factors_of(const AttentionCall& call, int64_t first, int64_t count, float* space) {
  const int64_t aligned = first / 4 * 4;  // a draw's counter covers four
  const auto keep = static_cast<float>(1 / (1 - call.dropout));
  dropout_factors(space, first - aligned + count, call.dropout, keep, call.site, static_cast<uint64_t>(aligned));
  return space + (first - aligned);
}

// One head over one sequence. query, key and value: (S, D) with rows `stride` apart.
struct Head {
  const Bf16 *query, *key, *value;
  int64_t stride, length, size;
  float scale;
  int64_t first_weight;  // counted over all heads and sequences, as dropout counts

  // rows of a right side (2 · pairs, size) that interleave_rows made
  kernels::RightPairs by_rows(const Bf16* interleaved) const { return {interleaved, size}; }
  // a right side (size, S) that turn_pairs made
  kernels::RightPairs turned(const Bf16* pairs) const { return {pairs, padded_to_lanes(length)}; }
};

void scale_rows(const Bf16* rows, int64_t stride, const float* factors, int64_t count, int64_t length, Bf16* out) {
  for (int64_t r = 0; r < count; ++r) {
    kernels::scale_row(rows + r * stride, factors + r * length, length, out + r * stride);
    if (stride > length) out[r * stride + length] = {0};
  }
}

// weights: (S, even(S)); context: (S, D) with rows context_stride apart.
void forward_head(const Head& head, const AttentionCall& call, Bf16* weights, Bf16* context, int64_t context_stride, Pieces pieces) {
  const int64_t length = head.length, size = head.size, width = padded_to_lanes(length), stride = even(length);
  Bf16 *keys = pieces.take<Bf16>(size * width), *values = pieces.take<Bf16>(stride * size), *dropped = pieces.take<Bf16>(kQueries * stride);
  float *scores = pieces.take<float>(kQueries * width), *factors = pieces.take<float>(kQueries * length + 3);
  kernels::turn_pairs(head.key, head.stride, length, size / 2, keys);
  kernels::interleave_rows(head.value, head.stride, length, size, values);
  for (int64_t first = 0; first < length; first += kQueries) {
    const int64_t rows = std::min(kQueries, length - first);
    kernels::pair_product({head.query + first * head.stride, head.stride, 2}, head.turned(keys), rows, size / 2, length, scores, width);
    Bf16* block = weights + first * stride;
    for (int64_t r = 0; r < rows; ++r) {
      kernels::softmax_to_bf16(scores + r * width, length, head.scale, block + r * stride);
      if (stride > length) block[r * stride + length] = {0};
    }
    const Bf16* used = block;
    if (call.dropout > 0) {
      scale_rows(block, stride, factors_of(call, head.first_weight + first * length, rows * length, factors), rows, length, dropped);
      used = dropped;
    }
    kernels::pair_product({used, stride, 2}, head.by_rows(values), rows, stride / 2, size, context + first * context_stride, context_stride);
  }
}

// Legend: P weights, dS gradient of the scores; gradients of query, key and value are (S, D) with rows head.stride apart.
void backward_head(const Head& head, const AttentionCall& call, const Bf16* weights, const Bf16* dcontext, int64_t context_stride,
                   Bf16* dquery, Bf16* dkey, Bf16* dvalue, Pieces pieces) {
  const int64_t length = head.length, size = head.size, width = padded_to_lanes(length), stride = even(length);
  Bf16 *values = pieces.take<Bf16>(size * width), *dcontexts = pieces.take<Bf16>(stride * size), *keys = pieces.take<Bf16>(stride * size),
       *queries = pieces.take<Bf16>(stride * size);
  Bf16 *weight_pairs = pieces.take<Bf16>(stride * width), *dscore_pairs = pieces.take<Bf16>(stride * width);
  Bf16 *dropped = pieces.take<Bf16>(kQueries * stride), *dscores = pieces.take<Bf16>(kQueries * stride);
  float *dweights = pieces.take<float>(kQueries * width), *factors = pieces.take<float>(kQueries * length + 3);
  kernels::turn_pairs(head.value, head.stride, length, size / 2, values);
  kernels::interleave_rows(dcontext, context_stride, length, size, dcontexts);
  kernels::interleave_rows(head.key, head.stride, length, size, keys);
  kernels::interleave_rows(head.query, head.stride, length, size, queries);
  for (int64_t first = 0; first < length; first += kQueries) {
    const int64_t rows = std::min(kQueries, length - first);
    kernels::pair_product({dcontext + first * context_stride, context_stride, 2}, head.turned(values), rows, size / 2, length, dweights, width);
    const Bf16 *block = weights + first * stride, *used = block;
    if (call.dropout > 0) {
      const float* kept = factors_of(call, head.first_weight + first * length, rows * length, factors);
      scale_rows(block, stride, kept, rows, length, dropped);
      used = dropped;
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = 0; c < length; ++c) dweights[r * width + c] *= kept[r * length + c];
    }
    for (int64_t r = 0; r < rows; ++r) {
      kernels::softmax_backward_to_bf16(dweights + r * width, block + r * stride, length, head.scale, dscores + r * stride);
      if (stride > length) dscores[r * stride + length] = {0};
    }
    kernels::interleave_rows(used, stride, rows, length, weight_pairs + first * width);
    kernels::interleave_rows(dscores, stride, rows, length, dscore_pairs + first * width);
    // dQ = dS · K
    kernels::pair_product({dscores, stride, 2}, head.by_rows(keys), rows, stride / 2, size, dquery + first * head.stride, head.stride);
  }
  // dV = Pᵀ · dcontext and dK = dSᵀ · Q: row r of a transpose is column r of the interleaved rows.
  kernels::pair_product({weight_pairs, 2, 2 * width}, head.by_rows(dcontexts), length, stride / 2, size, dvalue, head.stride);
  kernels::pair_product({dscore_pairs, 2, 2 * width}, head.by_rows(queries), length, stride / 2, size, dkey, head.stride);
}

// First weight of each sequence as weights are kept here: (N, S, even(S)) a sequence.
std::vector<int64_t> kept_offsets(const AttentionLayout& layout) {
  std::vector<int64_t> offsets{0};
  for (int64_t b = 0; b < layout.sequences(); ++b) offsets.push_back(offsets.back() + layout.heads * layout.length(b) * even(layout.length(b)));
  return offsets;
}

// Calls one(head, first kept weight, first value of the context, pieces) for every head of every sequence, in parallel.
template <typename One>
void each_head(const AttentionLayout& layout, const at::Tensor& qkv_T3H, const One& one) {
  const auto kept = kept_offsets(layout);
  const auto* rows = static_cast<const Bf16*>(qkv_T3H.const_data_ptr());
  const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(layout.size)));
  int64_t longest = 0;
  for (int64_t b = 0; b < layout.sequences(); ++b) longest = std::max(longest, layout.length(b));
  // All sequences of a head after one another, so that a thread that gets whole heads gets every length.
  parallel_for(layout.heads * layout.sequences(), 1, [&](int64_t begin, int64_t end) {
    const at::Tensor scratch = at::empty({scratch_bytes(longest, layout.size)}, qkv_T3H.options().dtype(at::kByte).requires_grad(false));
    for (int64_t item = begin; item < end; ++item) {
      const int64_t n = item / layout.sequences(), b = item % layout.sequences(), length = layout.length(b);
      const Bf16* query = rows + layout.offsets[b] * 3 * layout.hidden + n * layout.size;
      const Head head{query, query + layout.hidden, query + 2 * layout.hidden, 3 * layout.hidden, length, layout.size, scale,
                      layout.weight_offsets[b] + n * length * length};
      one(head, kept[b] + n * length * even(length), layout.offsets[b] * layout.hidden + n * layout.size,
          Pieces(static_cast<char*>(scratch.mutable_data_ptr())));
    }
  });
}

struct PairedAttention : torch::autograd::Function<PairedAttention> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& qkv_T3H, const AttentionCall& call) {
    const AttentionLayout layout(call, qkv_T3H.size(1) / 3);
    const at::Tensor qkv = qkv_T3H.contiguous();
    const at::Tensor weights = at::empty({kept_offsets(layout).back()}, qkv.options());
    const at::Tensor result = at::empty({qkv.size(0), layout.hidden}, qkv.options());
    auto *kept = static_cast<Bf16*>(weights.mutable_data_ptr()), *out = static_cast<Bf16*>(result.mutable_data_ptr());
    each_head(layout, qkv, [&](const Head& head, int64_t first_weight, int64_t first_value, Pieces pieces) {
      forward_head(head, call, kept + first_weight, out + first_value, layout.hidden, pieces);
    });
    context->save_for_backward({qkv, weights});
    call.save(*context);
    return result;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor& qkv = saved[0];
    const auto call = AttentionCall::saved_in(*context);
    const AttentionLayout layout(call, qkv.size(1) / 3);
    const at::Tensor gradient = gradients[0].to(qkv.scalar_type()).contiguous();
    const at::Tensor dqkv = at::empty_like(qkv);
    const auto *kept = static_cast<const Bf16*>(saved[1].const_data_ptr()), *dout = static_cast<const Bf16*>(gradient.const_data_ptr());
    const auto* first = static_cast<const Bf16*>(qkv.const_data_ptr());
    auto* results = static_cast<Bf16*>(dqkv.mutable_data_ptr());
    each_head(layout, qkv, [&](const Head& head, int64_t first_weight, int64_t first_value, Pieces pieces) {
      Bf16* dquery = results + (head.query - first);
      backward_head(head, call, kept + first_weight, dout + first_value, layout.hidden, dquery, dquery + layout.hidden,
                    dquery + 2 * layout.hidden, pieces);
    });
    return {dqkv, at::Tensor()};
  }
};

}  // namespace

bool attention_pairs_fits(const at::Tensor& qkv_T3H, int64_t heads) {
  return qkv_T3H.scalar_type() == at::kBFloat16 && qkv_T3H.size(1) / 3 / heads % 32 == 0 && float_products() == FloatProducts::onednn &&
         kernels::has_avx512_bf16();
}

at::Tensor attention_pairs_cpu(const at::Tensor& qkv_T3H, const AttentionCall& call) { return PairedAttention::apply(qkv_T3H, call); }

}  // namespace strata
