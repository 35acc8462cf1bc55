#include "core/encoder/attention.h"

#include "core/kernels/attention_cpu.h"

#include <cmath>
#include <limits>

namespace strata {
namespace {

// One sequence after the other with plain operators: the path that the others are held against.
at::Tensor reference_attention(const ForwardPass& pass, const at::Tensor& qkv_T3H, const PackedBatch& batch, int64_t heads) {
  const int64_t hidden = qkv_T3H.size(1) / 3, size = hidden / heads;
  std::vector<at::Tensor> contexts;
  for (int64_t b = 0; b < batch.sequences(); ++b) {
    const int64_t length = batch.offsets[b + 1] - batch.offsets[b];
    const at::Tensor qkv_3NSD =
        qkv_T3H.narrow(0, batch.offsets[b], length).reshape({length, 3, heads, size}).permute({1, 2, 0, 3});
    const at::Tensor scores_NSS = at::matmul(qkv_3NSD[0], qkv_3NSD[1].transpose(1, 2)) / std::sqrt(static_cast<double>(size));
    at::Tensor weights_NSS = at::softmax(scores_NSS, -1);
    if (pass.dropout) weights_NSS = pass.dropout->apply(weights_NSS, pass.attention_dropout);
    contexts.push_back(at::matmul(weights_NSS, qkv_3NSD[2]).permute({1, 0, 2}).reshape({length, hidden}));
  }
  return at::cat(contexts, 0);
}

// For devices without a kernel of our own: sequences are padded inside this function only.
at::Tensor padded_attention(const ForwardPass& pass, const at::Tensor& qkv_T3H, const PackedBatch& batch, int64_t heads) {
  const int64_t hidden = qkv_T3H.size(1) / 3, size = hidden / heads, longest = batch.longest, sequences = batch.sequences();
  std::vector<int64_t> token_of(static_cast<size_t>(sequences * longest), 0), place_of(static_cast<size_t>(batch.tokens()));
  at::Tensor mask = at::full({sequences, 1, 1, longest}, -std::numeric_limits<float>::infinity(), at::kFloat);
  float* mask_data = mask.mutable_data_ptr<float>();
  for (int64_t b = 0; b < sequences; ++b) {
    for (int64_t t = batch.offsets[b]; t < batch.offsets[b + 1]; ++t) {
      const int64_t place = b * longest + t - batch.offsets[b];
      token_of[place] = t;
      place_of[t] = place;
      mask_data[place] = 0;
    }
  }
  const at::Tensor qkv_3BNSD = qkv_T3H.index_select(0, batch.index(token_of))
                                   .reshape({sequences, longest, 3, heads, size})
                                   .permute({2, 0, 3, 1, 4});
  const at::Tensor scores = at::matmul(qkv_3BNSD[0], qkv_3BNSD[1].transpose(-1, -2)) / std::sqrt(static_cast<double>(size)) +
                            mask.to(qkv_T3H.device(), qkv_T3H.scalar_type());
  at::Tensor weights = at::softmax(scores, -1);
  if (pass.dropout) weights = pass.dropout->apply(weights, pass.attention_dropout);
  return at::matmul(weights, qkv_3BNSD[2])
      .permute({0, 2, 1, 3})
      .reshape({sequences * longest, hidden})
      .index_select(0, batch.index(place_of));
}

}  // namespace

at::Tensor packed_attention(const ForwardPass& pass, const at::Tensor& qkv_T3H, const PackedBatch& batch, int64_t heads) {
  if (pass.kernels == Kernels::reference) return reference_attention(pass, qkv_T3H, batch, heads);
  if (!qkv_T3H.device().is_cpu()) return padded_attention(pass, qkv_T3H, batch, heads);
  const double dropout = pass.dropout ? pass.attention_dropout : 0;
  return attention_cpu(qkv_T3H, batch.offsets, heads, dropout, dropout > 0 ? pass.dropout->next_site() : PhiloxKey{});
}

}  // namespace strata
