#pragma once
// An encoder of any kind: embeddings, blocks, the states of every layer. Legend: T tokens, H hidden size.
#include "core/batch.h"
#include "core/config.h"
#include "core/encoder/block.h"
#include "core/layers.h"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace strata {

// What a kind of encoder is made of. Between the blocks flows a stream (T, H) whose type is the kind's own choice.
struct EncoderParts {
  ParameterRef words;  // (V, H), which a masked-LM head decodes with
  // `beside`: what joins the sum of the embeddings, (T, H) in the master type, or undefined. `own`: the adapter's LayerNorm in place of
  // the encoder's, or null.
  std::function<at::Tensor(const ForwardPass&, const PackedBatch&, const at::Tensor& beside_TH, const LayerNorm* own)> embed;
  std::vector<std::function<at::Tensor(const ForwardPass&, const PackedBatch&, const at::Tensor& stream_TH, const BlockHooks&)>> blocks;
  // What the last block's output still goes through, where the kind has it.
  std::optional<LayerNorm> last_norm;
  std::vector<ParameterRef> linear_weights;  // what pruning masks
};

// Names of a crammed encoder's parameters.
struct CrammedNames {
  std::string words = "bert.embeddings.word_embeddings.weight";
  std::string position_scale = "bert.embeddings.position_scale";
  std::string embedding_norm = "bert.embeddings.LayerNorm";
  std::string block = "bert.encoder.layer.";  // + its index
  std::string last_norm = "bert.encoder.LayerNorm";
  // False: all parameters are of layer 0, as what stands below the encoder.
  bool is_the_encoder = true;
};

EncoderParts bert_parts(const EncoderConfig& config, ParameterStore& store);
EncoderParts crammed_parts(const EncoderConfig& config, ParameterStore& store, const CrammedNames& names = {});

class Encoder {
 public:
  Encoder(const EncoderConfig& config, ParameterStore& store);
  Encoder(const EncoderConfig& config, EncoderParts parts);

  // hidden[0] is the embedding output, hidden[l] the output of block l, up to `highest`; each has shape (T, H) and the pass's type.
  // `hooks`: an adapter that the batch runs through, or null. `beside`: what joins the sum of the embeddings, (T, H), or undefined.
  std::vector<at::Tensor> forward(const ForwardPass& pass, const PackedBatch& batch, int64_t highest, const EncoderHooks* hooks = nullptr,
                                  const at::Tensor& beside_TH = {}) const;
  const EncoderConfig& config() const { return config_; }
  const ParameterRef& words() const { return parts_.words; }
  // Of every linear layer of the blocks, lowest first; query, key and value are one.
  const std::vector<ParameterRef>& linear_weights() const { return parts_.linear_weights; }

 private:
  EncoderConfig config_;
  EncoderParts parts_;
};

}  // namespace strata
