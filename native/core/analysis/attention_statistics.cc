#include "core/analysis/attention_statistics.h"

#include <cmath>

namespace strata {
namespace {

// What the probabilities of one sequence are weighed with; the same for all blocks.
struct Sequence {
  int64_t start = 0, length = 0;
  at::Tensor distances_SS;
  at::Tensor separators_S;
};

std::vector<Sequence> sequences_of(const PackedBatch& batch, int64_t separator) {
  const auto wide = batch.token_ids_T.options().dtype(at::kDouble);
  const at::Tensor places = at::arange(batch.longest, wide);
  const at::Tensor distances = (places.unsqueeze(1) - places.unsqueeze(0)).abs();
  const at::Tensor separators_T = batch.token_ids_T.eq(separator).to(at::kDouble);
  std::vector<Sequence> sequences;
  for (int64_t b = 0; b < batch.sequences(); ++b) {
    const int64_t start = batch.offsets[b], length = batch.offsets[b + 1] - start;
    sequences.push_back({start, length, distances.narrow(0, 0, length).narrow(1, 0, length), separators_T.narrow(0, start, length)});
  }
  return sequences;
}

// Rows: distance, entropy, first, separators; (4, N). Analysis need not be fast: one sequence after the other in double.
at::Tensor block_sums(const at::Tensor& qkv_T3H, const std::vector<Sequence>& sequences, int64_t heads) {
  const int64_t size = qkv_T3H.size(1) / 3 / heads;
  at::Tensor sums_4N = at::zeros({4, heads}, qkv_T3H.options().dtype(at::kDouble));
  for (const Sequence& sequence : sequences) {
    const at::Tensor qkv_3NSD = qkv_T3H.narrow(0, sequence.start, sequence.length)
                                    .to(at::kDouble)
                                    .reshape({sequence.length, 3, heads, size})
                                    .permute({1, 2, 0, 3});
    const at::Tensor scores_NSS = at::matmul(qkv_3NSD[0], qkv_3NSD[1].transpose(1, 2)) / std::sqrt(static_cast<double>(size));
    const at::Tensor logs_NSS = at::log_softmax(scores_NSS, -1), weights_NSS = logs_NSS.exp();
    const at::Tensor given_NS = weights_NSS.sum(1);  // what each token gets from all queries
    sums_4N.select(0, 0).add_((weights_NSS * sequence.distances_SS).sum({1, 2}));
    sums_4N.select(0, 1).sub_((weights_NSS * logs_NSS).sum({1, 2}));
    sums_4N.select(0, 2).add_(given_NS.select(1, 0));
    sums_4N.select(0, 3).add_(at::matmul(given_NS, sequence.separators_S));
  }
  return sums_4N;
}

}  // namespace

AttentionStatistics attention_statistics(const Encoder& encoder, const ForwardPass& pass, const PackedBatch& batch,
                                         const EncoderHooks* hooks, const at::Tensor& beside_TH, int64_t separator) {
  const auto sequences = sequences_of(batch, separator);
  const int64_t layers = encoder.config().layers, heads = encoder.config().heads;
  std::vector<at::Tensor> sums(static_cast<size_t>(layers));
  EncoderHooks watching = hooks ? *hooks : EncoderHooks{};
  watching.top = nullptr;
  watching.blocks.resize(sums.size());
  for (size_t i = 0; i < sums.size(); ++i)
    watching.blocks[i].shown_qkv = [&, i](const at::Tensor& qkv_T3H) { sums[i] = block_sums(qkv_T3H, sequences, heads); };
  encoder.forward(pass, batch, layers, &watching, beside_TH);
  const at::Tensor sums_L4N = at::stack(sums).to(at::kCPU);
  const auto row = [&](int64_t index) { return sums_L4N.select(1, index).contiguous(); };
  return {batch.tokens(), row(0), row(1), row(2), row(3)};
}

}  // namespace strata
