// A whole block of the task's own on top of the encoder (Stickland & Murray 2019, arXiv 1902.02671).
#include "core/adapters/adapter.h"

namespace strata {

EncoderHooks make_top_layer(const AdapterConfig& config, const AdapterParts& parts) {
  EncoderConfig encoder = parts.encoder;
  if (config.heads != 0) encoder.heads = adapter_heads(config, encoder.hidden_size, 0);
  const Block block = Block::create(encoder, parts.store, "adapters." + config.name + ".top", encoder.layers + 1);
  EncoderHooks hooks;
  hooks.top = [block](const ForwardPass& pass, const PackedBatch& batch, const at::Tensor& hidden_TH) {
    return block(pass, batch, hidden_TH);
  };
  return hooks;
}

}  // namespace strata
