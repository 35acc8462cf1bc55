// Two low-rank modules a block, after Houlsby et al. 2019 (arXiv 1902.00751) as the code of Stickland & Murray 2019 (arXiv 1902.02671)
// has them: one residual on the attention sublayer's projected output, one beside the feed-forward sublayer, from its input.
#include "core/adapters/adapter.h"

namespace strata {

EncoderHooks make_houlsby(const AdapterConfig& config, const AdapterParts& parts) {
  EncoderHooks hooks;
  for (int64_t index = 0; index < parts.encoder.layers; ++index) {
    const std::string name = parts.layer_name(config, index);
    const LowRank first = LowRank::create(parts.store, name + ".attention", parts.encoder.hidden_size, config.size, index + 1);
    const LowRank second = LowRank::create(parts.store, name + ".output", parts.encoder.hidden_size, config.size, index + 1);
    BlockHooks block;
    block.projected = [first](const ForwardPass& pass, const at::Tensor& projected_TH) {
      return projected_TH + first(pass, projected_TH);
    };
    block.beside = [second](const ForwardPass& pass, const PackedBatch&, const at::Tensor&, const at::Tensor& attended_TH) {
      return second(pass, attended_TH);
    };
    hooks.blocks.push_back(std::move(block));
  }
  return hooks;
}

}  // namespace strata
