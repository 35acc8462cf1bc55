#pragma once
// Where the heads of an encoder look (Clark et al. 2019, "What does BERT look at?", arXiv 1906.04341, sections 3 and 4): how far, how
// spread out, and how much at the first token and at separators, where heads rest that have nothing to do.
// Legend: T tokens, L blocks, N heads.
#include "core/batch.h"
#include "core/encoder/encoder.h"

namespace strata {

// Sums over the T queries of a batch, so that batches add up: (L, N) double on the host each.
struct AttentionStatistics {
  int64_t queries = 0;
  at::Tensor distance_LN;    // sum_j p_ij |i - j|, in tokens
  at::Tensor entropy_LN;     // -sum_j p_ij log p_ij, in nats
  at::Tensor first_LN;       // p_i0: the sequence's first token
  at::Tensor separators_LN;  // sum of p_ij over the tokens j whose id is `separator`
};

// Of the encoder's own heads; what an adapter adds to query, key and value counts, heads of its own do not.
// `separator`: a token id; -1 = none.
AttentionStatistics attention_statistics(const Encoder& encoder, const ForwardPass& pass, const PackedBatch& batch,
                                         const EncoderHooks* hooks, const at::Tensor& beside_TH, int64_t separator);

}  // namespace strata
