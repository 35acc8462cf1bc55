#include "core/encoder/encoder.h"

#include "core/encoder/attention.h"
#include "core/error.h"
#include "core/kernels/embedding_cpu.h"

namespace strata {
namespace {

Block make_block(const EncoderConfig& config, ParameterStore& store, int64_t index) {
  const int64_t hidden = config.hidden_size, layer = index + 1;
  const std::string name = "bert.encoder.layer." + std::to_string(index);
  const std::string self = name + ".attention.self.";
  Block block;
  block.qkv_weight = store.create_stacked(self + "qkv.weight", {self + "query.weight", self + "key.weight", self + "value.weight"},
                                          {hidden, hidden}, Init::normal, true, layer);
  block.qkv_bias = store.create_stacked(self + "qkv.bias", {self + "query.bias", self + "key.bias", self + "value.bias"}, {hidden},
                                        Init::zeros, false, layer);
  // A key bias adds the same number to all scores of a query, which softmax takes out again: its gradient is exactly zero,
  // and what arithmetic leaves of it is rounding noise that Adam would blow up to full steps.
  block.qkv_bias->master.register_hook([hidden](const at::Tensor& gradient) {
    at::Tensor exact = gradient.clone();
    exact.narrow(0, hidden, hidden).zero_();
    return exact;
  });
  block.attention_output = Linear::create(store, name + ".attention.output.dense", hidden, hidden, layer);
  block.attention_norm = LayerNorm::create(store, name + ".attention.output.LayerNorm", hidden, config.layer_norm_epsilon, layer);
  block.intermediate = Linear::create(store, name + ".intermediate.dense", hidden, config.intermediate_size, layer);
  block.output = Linear::create(store, name + ".output.dense", config.intermediate_size, hidden, layer);
  block.output_norm = LayerNorm::create(store, name + ".output.LayerNorm", hidden, config.layer_norm_epsilon, layer);
  return block;
}

}  // namespace

Encoder::Encoder(const EncoderConfig& config, ParameterStore& store) : config_(config) {
  const std::string name = "bert.embeddings.";
  embeddings_.words = store.create(name + "word_embeddings.weight", {config.vocab_size, config.hidden_size}, Init::normal, true, 0);
  embeddings_.positions =
      store.create(name + "position_embeddings.weight", {config.max_positions, config.hidden_size}, Init::normal, true, 0);
  embeddings_.segments =
      store.create(name + "token_type_embeddings.weight", {config.segment_types, config.hidden_size}, Init::normal, true, 0);
  embeddings_.norm = LayerNorm::create(store, name + "LayerNorm", config.hidden_size, config.layer_norm_epsilon, 0);
  for (int64_t index = 0; index < config.layers; ++index) blocks_.push_back(make_block(config, store, index));
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

at::Tensor Encoder::run_block(const ForwardPass& pass, const Block& block, const PackedBatch& batch,
                              const at::Tensor& hidden_TH) const {
  const at::Tensor context_TH =
      packed_attention(pass, linear(pass, hidden_TH, block.qkv_weight, block.qkv_bias), batch, config_.heads);
  const at::Tensor attended_TH =
      block.attention_norm(pass, pass.drop_hidden(block.attention_output(pass, context_TH)), hidden_TH);
  const at::Tensor inner_TF = activate(config_.activation, block.intermediate(pass, attended_TH));
  return block.output_norm(pass, pass.drop_hidden(block.output(pass, inner_TF)), attended_TH);
}

std::vector<at::Tensor> Encoder::forward(const ForwardPass& pass, const PackedBatch& batch, int64_t highest) const {
  std::vector<at::Tensor> hidden{embed(pass, batch)};
  for (int64_t layer = 1; layer <= highest; ++layer) hidden.push_back(run_block(pass, blocks_[layer - 1], batch, hidden.back()));
  return hidden;
}

}  // namespace strata
