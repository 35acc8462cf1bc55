// Projected attention on top (Stickland & Murray 2019, arXiv 1902.02671): after the last block to `size`, `blocks` attention sublayers
// there, and back. As in the published code the projection has no residual around it.
#include "core/adapters/adapter.h"

namespace strata {

EncoderHooks make_top_attention(const AdapterConfig& config, const AdapterParts& parts) {
  const int64_t hidden = parts.encoder.hidden_size, layer = parts.encoder.layers + 1;
  const int64_t heads = adapter_heads(config, config.size, 12), count = adapter_number(config, "blocks", config.blocks, 6);
  const std::string name = "adapters." + config.name;
  const Linear encoder = Linear::create(parts.store, name + ".encoder", hidden, config.size, layer);
  std::vector<AttentionSublayer> sublayers;
  for (int64_t index = 0; index < count; ++index)
    sublayers.push_back(AttentionSublayer::create(parts.store, name + ".attention." + std::to_string(index), config.size, heads,
                                                  parts.encoder.layer_norm_epsilon, layer));
  const Linear decoder = Linear::create(parts.store, name + ".decoder", config.size, hidden, layer);
  EncoderHooks hooks;
  hooks.top = [encoder, sublayers, decoder](const ForwardPass& pass, const PackedBatch& batch, const at::Tensor& hidden_TH) {
    at::Tensor inner_TS = encoder(pass, hidden_TH);
    for (const AttentionSublayer& sublayer : sublayers) inner_TS = sublayer(pass, batch, inner_TS);
    return decoder(pass, inner_TS);
  };
  return hooks;
}

}  // namespace strata
