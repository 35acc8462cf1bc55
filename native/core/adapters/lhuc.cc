// Learning hidden unit contributions (Swietojanski & Renals 2014) as in the code of Stickland & Murray 2019 (arXiv 1902.02671): a
// block's output times 2 sigmoid(r), r = 0 at the start.
#include "core/adapters/adapter.h"

namespace strata {

EncoderHooks make_lhuc(const AdapterConfig& config, const AdapterParts& parts) {
  EncoderHooks hooks;
  for (int64_t index = 0; index < parts.encoder.layers; ++index) {
    const ParameterRef scale =
        parts.store.create(parts.layer_name(config, index) + ".scale", {parts.encoder.hidden_size}, Init::zeros, true, index + 1);
    BlockHooks block;
    block.output = [scale](const ForwardPass& pass, const at::Tensor& output_TH) {
      return output_TH * (2 * at::sigmoid(scale->master)).to(pass.type);
    };
    hooks.blocks.push_back(std::move(block));
  }
  return hooks;
}

}  // namespace strata
