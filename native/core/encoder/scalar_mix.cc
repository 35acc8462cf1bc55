#include "core/encoder/scalar_mix.h"

#include "core/error.h"

namespace strata {

ScalarMix ScalarMix::create(const MixConfig& config, ParameterStore& store, int64_t layers) {
  if (config.init != "uniform" && config.init != "last")
    fail("BAD_ARGUMENT", "init of mix '", config.name, "' is '", config.init, "'; uniform or last was expected");
  ScalarMix mix;
  mix.config = config;
  mix.first = config.include_embeddings ? 0 : 1;
  const std::string name = "mixes." + config.name;
  mix.weights = store.create(name + ".weights", {layers + 1 - mix.first}, Init::zeros, false, layers + 1);
  mix.gamma = store.create(name + ".gamma", {1}, Init::ones, false, layers + 1);
  if (config.init == "last") {
    // softmax gives the top layer nearly all, so that a trained encoder's heads find what they know.
    const at::NoGradGuard no_grad;
    mix.weights->master.select(0, layers - mix.first).fill_(4);
  }
  return mix;
}

at::Tensor ScalarMix::operator()(const ForwardPass& pass, const std::vector<at::Tensor>& hidden) const {
  const at::Tensor factors_J = at::softmax(weights->master, 0) * gamma->master;
  at::Tensor sum_TH;
  for (int64_t j = 0; j < factors_J.size(0); ++j) {
    at::Tensor state_TH = hidden[static_cast<size_t>(first + j)];
    if (config.layer_norm) state_TH = at::layer_norm(state_TH, {state_TH.size(1)}, {}, {}, 1e-12);
    const at::Tensor part_TH = state_TH * factors_J.select(0, j).to(state_TH.scalar_type());
    sum_TH = sum_TH.defined() ? sum_TH + part_TH : part_TH;
  }
  return sum_TH.to(pass.type);
}

}  // namespace strata
