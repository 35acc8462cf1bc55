// Projected attention layer (Stickland & Murray 2019, arXiv 1902.02671): e_l = V^D MHA_l(V^E h_l), added before the block's last
// LayerNorm. V^E and V^D are shared by the layers; query, key and value are each layer's own, and there is no output matrix.
// The published code, unlike the paper, puts a GELU after V^D: `outputGelu`.
#include "core/adapters/adapter.h"

namespace strata {

EncoderHooks make_pal(const AdapterConfig& config, const AdapterParts& parts) {
  const int64_t hidden = parts.encoder.hidden_size, heads = adapter_heads(config, config.size, 6);
  const std::string name = "adapters." + config.name;
  // Counted with the lowest block that uses them, so that a head on a low layer still trains them.
  const Linear encoder = Linear::create(parts.store, name + ".encoder", hidden, config.size, 1);
  const Linear decoder = Linear::create(parts.store, name + ".decoder", config.size, hidden, 1);
  EncoderHooks hooks;
  for (int64_t index = 0; index < parts.encoder.layers; ++index) {
    const SelfAttention attention =
        SelfAttention::create(parts.store, parts.layer_name(config, index), config.size, heads, index + 1);
    BlockHooks block;
    block.beside = [encoder, decoder, attention, gelu = config.output_gelu](const ForwardPass& pass, const PackedBatch& batch,
                                                                            const at::Tensor& hidden_TH, const at::Tensor&) {
      const at::Tensor extra_TH = decoder(pass, attention(pass, batch, encoder(pass, hidden_TH)));
      return gelu ? at::gelu(extra_TH) : extra_TH;
    };
    hooks.blocks.push_back(std::move(block));
  }
  return hooks;
}

}  // namespace strata
