#pragma once
// BERT (Devlin et al. 2018, arXiv 1810.04805), post-LN, as in transformers' BertModel without its pooler.
// Deliberate differences: sequences are packed instead of padded; query, key and value are one matrix; it stops at the highest
// layer that is asked for. Legend: T tokens, H hidden size.
#include "core/batch.h"
#include "core/config.h"
#include "core/encoder/block.h"
#include "core/layers.h"

#include <vector>

namespace strata {

struct Embeddings {
  ParameterRef words;      // (V, H)
  ParameterRef positions;  // (P, H)
  ParameterRef segments;   // (G, H)
  LayerNorm norm;
};

class Encoder {
 public:
  Encoder(const EncoderConfig& config, ParameterStore& store);

  // hidden[0] is the embedding output, hidden[l] the output of block l, up to `highest`; each has shape (T, H).
  // `hooks`: an adapter that the batch runs through, or null.
  std::vector<at::Tensor> forward(const ForwardPass& pass, const PackedBatch& batch, int64_t highest,
                                  const EncoderHooks* hooks = nullptr) const;
  const EncoderConfig& config() const { return config_; }
  const Embeddings& embeddings() const { return embeddings_; }

 private:
  at::Tensor embed(const ForwardPass& pass, const PackedBatch& batch) const;

  EncoderConfig config_;
  Embeddings embeddings_;
  std::vector<Block> blocks_;
};

}  // namespace strata
