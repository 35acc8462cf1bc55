// The low-rank layer that PALs are compared with (Stickland & Murray 2019, arXiv 1902.02671): V^D_l GELU(V^E_l h) is added before
// the block's last LayerNorm.
#include "core/adapters/adapter.h"

namespace strata {

EncoderHooks make_low_rank(const AdapterConfig& config, const AdapterParts& parts) {
  EncoderHooks hooks;
  for (int64_t index = 0; index < parts.encoder.layers; ++index) {
    const LowRank module =
        LowRank::create(parts.store, parts.layer_name(config, index), parts.encoder.hidden_size, config.size, index + 1);
    BlockHooks block;
    block.beside = [module](const ForwardPass& pass, const PackedBatch&, const at::Tensor& hidden_TH, const at::Tensor&) {
      return module(pass, hidden_TH);
    };
    hooks.blocks.push_back(std::move(block));
  }
  return hooks;
}

}  // namespace strata
