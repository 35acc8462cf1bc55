#include "core/encoder/encoder.h"

#include "core/kernels/embedding_cpu.h"

namespace strata {
Encoder::Encoder(const EncoderConfig& config, ParameterStore& store) : config_(config) {
  const std::string name = "bert.embeddings.";
  embeddings_.words = store.create(name + "word_embeddings.weight", {config.vocab_size, config.hidden_size}, Init::normal, true, 0);
  embeddings_.positions =
      store.create(name + "position_embeddings.weight", {config.max_positions, config.hidden_size}, Init::normal, true, 0);
  embeddings_.segments =
      store.create(name + "token_type_embeddings.weight", {config.segment_types, config.hidden_size}, Init::normal, true, 0);
  embeddings_.norm = LayerNorm::create(store, name + "LayerNorm", config.hidden_size, config.layer_norm_epsilon, 0);
  for (int64_t index = 0; index < config.layers; ++index)
    blocks_.push_back(Block::create(config, store, "bert.encoder.layer." + std::to_string(index), index + 1));
}

at::Tensor Encoder::embed(const ForwardPass& pass, const PackedBatch& batch) const {
  if (pass.kernels == Kernels::fast && batch.device.is_cpu()) {
    const at::Tensor sum_TH =
        embedding_sum_cpu(embeddings_.words->master, embeddings_.positions->master, embeddings_.segments->master,
                          batch.token_ids_T, batch.position_ids_T, batch.segment_ids_T);
    return pass.drop_hidden(embeddings_.norm(pass, sum_TH));
  }
  const at::Tensor sum_TH = at::embedding(embeddings_.words->master, batch.token_ids_T) +
                            at::embedding(embeddings_.positions->master, batch.position_ids_T) +
                            at::embedding(embeddings_.segments->master, batch.segment_ids_T);
  return pass.drop_hidden(embeddings_.norm(pass, sum_TH));
}

std::vector<at::Tensor> Encoder::forward(const ForwardPass& pass, const PackedBatch& batch, int64_t highest,
                                         const EncoderHooks* hooks) const {
  static const BlockHooks kNone;
  const bool inside = hooks && !hooks->blocks.empty();
  std::vector<at::Tensor> hidden{embed(pass, batch)};
  for (int64_t index = 0; index < highest; ++index) {
    const auto i = static_cast<size_t>(index);
    hidden.push_back(blocks_[i](pass, batch, hidden.back(), inside ? hooks->blocks[i] : kNone));
  }
  if (hooks && hooks->top && highest == config_.layers) hidden.back() = hooks->top(pass, batch, hidden.back());
  return hidden;
}

}  // namespace strata
