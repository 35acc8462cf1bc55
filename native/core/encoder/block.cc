#include "core/encoder/block.h"

#include "core/encoder/attention.h"

namespace strata {

SelfAttention SelfAttention::create(ParameterStore& store, const std::string& name, int64_t size, int64_t heads, int64_t layer,
                                    Biases biases) {
  SelfAttention attention;
  attention.heads = heads;
  attention.qkv_weight = store.create_stacked(name + ".qkv.weight", {name + ".query.weight", name + ".key.weight", name + ".value.weight"},
                                              {size, size}, Init::normal, true, layer);
  if (biases == Biases::none) return attention;
  attention.qkv_bias = store.create_stacked(name + ".qkv.bias", {name + ".query.bias", name + ".key.bias", name + ".value.bias"}, {size},
                                            Init::zeros, false, layer);
  // A key bias adds the same number to all scores of a query, which softmax takes out again: its gradient is exactly zero,
  // and what arithmetic leaves of it is rounding noise that Adam would blow up to full steps.
  if (!attention.qkv_bias->master.requires_grad()) return attention;
  attention.qkv_bias->master.register_hook([size](const at::Tensor& gradient) {
    at::Tensor exact = gradient.clone();
    exact.narrow(0, size, size).zero_();
    return exact;
  });
  return attention;
}

at::Tensor SelfAttention::operator()(const ForwardPass& pass, const PackedBatch& batch, const at::Tensor& hidden_TH,
                                     const BlockHooks& hooks) const {
  at::Tensor qkv_T3H = linear(pass, hidden_TH, qkv_weight, qkv_bias);
  if (hooks.beside_qkv) qkv_T3H = qkv_T3H + hooks.beside_qkv(pass, hidden_TH);
  if (hooks.shown_qkv) hooks.shown_qkv(qkv_T3H);
  return packed_attention(pass, qkv_T3H, batch, heads);
}

AttentionSublayer AttentionSublayer::create(ParameterStore& store, const std::string& name, int64_t size, int64_t heads,
                                            double epsilon, int64_t layer) {
  AttentionSublayer sublayer;
  sublayer.self = SelfAttention::create(store, name + ".self", size, heads, layer);
  sublayer.output = Linear::create(store, name + ".output.dense", size, size, layer);
  sublayer.norm = LayerNorm::create(store, name + ".output.LayerNorm", size, epsilon, layer);
  return sublayer;
}

at::Tensor AttentionSublayer::operator()(const ForwardPass& pass, const PackedBatch& batch, const at::Tensor& hidden_TH,
                                         const BlockHooks& hooks) const {
  at::Tensor projected_TH = pass.drop_hidden(output(pass, self(pass, batch, hidden_TH, hooks)));
  if (hooks.projected) projected_TH = hooks.projected(pass, projected_TH);
  return (hooks.attention_norm ? *hooks.attention_norm : norm)(pass, projected_TH, hidden_TH);
}

Block Block::create(const EncoderConfig& config, ParameterStore& store, const std::string& name, int64_t layer) {
  Block block;
  block.attention = AttentionSublayer::create(store, name + ".attention", config.hidden_size, config.heads, config.layer_norm_epsilon, layer);
  block.intermediate = Linear::create(store, name + ".intermediate.dense", config.hidden_size, config.intermediate_size, layer);
  block.output = Linear::create(store, name + ".output.dense", config.intermediate_size, config.hidden_size, layer);
  block.output_norm = LayerNorm::create(store, name + ".output.LayerNorm", config.hidden_size, config.layer_norm_epsilon, layer);
  block.activation = config.activation;
  return block;
}

at::Tensor Block::operator()(const ForwardPass& pass, const PackedBatch& batch, const at::Tensor& hidden_TH,
                             const BlockHooks& hooks) const {
  const at::Tensor attended_TH = attention(pass, batch, hidden_TH, hooks);
  at::Tensor inner_TH = pass.drop_hidden(feed_forward(pass, intermediate, activation, output, attended_TH));
  if (hooks.beside) inner_TH = inner_TH + hooks.beside(pass, batch, hidden_TH, attended_TH);
  const at::Tensor output_TH = (hooks.inner_norm ? *hooks.inner_norm : output_norm)(pass, inner_TH, attended_TH);
  return hooks.output ? hooks.output(pass, output_TH) : output_TH;
}

}  // namespace strata
