#include "core/encoder/scalar_mix.h"

#include "core/error.h"
#include "core/kernels/scalar_mix_cpu.h"

#include <ATen/ops/native_layer_norm.h>
#include <ATen/ops/native_layer_norm_backward.h>
#include <torch/csrc/autograd/custom_function.h>

namespace strata {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr double kNormEpsilon = 1e-12;

// sum_j c_j N(h_j) with operators of libtorch: layer after layer into one tensor, without a stack and without the products as nodes of
// their own. What backward needs is the states, which the blocks keep anyway.
struct WeightedSum : torch::autograd::Function<WeightedSum> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& factors_J, const at::TensorList& states, bool normalize) {
    const at::ScalarType wide = factors_J.scalar_type();
    variable_list saved{factors_J};
    at::Tensor sum_TH = at::empty(states[0].sizes(), states[0].options().dtype(wide).requires_grad(false));
    for (size_t j = 0; j < states.size(); ++j) {
      saved.push_back(states[j]);
      at::Tensor state_TH = states[j].to(wide);
      if (normalize) {
        at::Tensor mean, rstd;
        std::tie(state_TH, mean, rstd) = at::native_layer_norm(state_TH, {state_TH.size(1)}, {}, {}, kNormEpsilon);
        saved.push_back(mean);
        saved.push_back(rstd);
      }
      const at::Tensor factor = factors_J.select(0, static_cast<int64_t>(j));
      if (j == 0) {
        at::mul_out(sum_TH, state_TH, factor);
      } else {
        sum_TH.addcmul_(state_TH, factor);  // the factor stays on its device
      }
    }
    context->save_for_backward(saved);
    context->saved_data["normalize"] = normalize;
    context->saved_data["type"] = static_cast<int64_t>(states[0].scalar_type());
    return sum_TH.to(states[0].scalar_type());
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const bool normalize = context->saved_data["normalize"].toBool();
    const size_t stride = normalize ? 3 : 1, count = (saved.size() - 1) / stride;
    const at::Tensor& factors_J = saved[0];
    const at::ScalarType wide = factors_J.scalar_type();
    const auto type = static_cast<at::ScalarType>(context->saved_data["type"].toInt());
    const at::Tensor given_TH = gradients[0].to(wide).contiguous();
    variable_list results(count + 2);
    std::vector<at::Tensor> products;
    for (size_t j = 0; j < count; ++j) {
      const at::Tensor* kept = &saved[1 + j * stride];
      const bool factor_wanted = context->needs_input_grad(0), state_wanted = context->needs_input_grad(1 + j);
      if (!factor_wanted && !state_wanted) continue;
      const at::Tensor state_TH = kept[0].to(wide).contiguous();
      if (factor_wanted) {
        const at::Tensor normal_TH = normalize ? (state_TH - kept[1]) * kept[2] : state_TH;
        products.push_back(at::dot(given_TH.view({-1}), normal_TH.view({-1})));
      }
      if (!state_wanted) continue;
      at::Tensor slope_TH = given_TH * factors_J.select(0, static_cast<int64_t>(j));
      if (normalize)
        slope_TH = std::get<0>(at::native_layer_norm_backward(slope_TH, state_TH, {state_TH.size(1)}, kept[1], kept[2], {}, {},
                                                              {true, false, false}));
      results[1 + j] = slope_TH.to(type);
    }
    if (!products.empty()) results[0] = at::stack(products);
    return results;
  }
};

// The same with operators of libtorch, a node a product.
at::Tensor plain_sum(const at::Tensor& factors_J, const std::vector<at::Tensor>& states, bool normalize) {
  at::Tensor sum_TH;
  for (size_t j = 0; j < states.size(); ++j) {
    at::Tensor state_TH = states[j].to(factors_J.scalar_type());
    if (normalize) state_TH = at::layer_norm(state_TH, {state_TH.size(1)}, {}, {}, kNormEpsilon);
    const at::Tensor part_TH = state_TH * factors_J.select(0, static_cast<int64_t>(j));
    sum_TH = sum_TH.defined() ? sum_TH + part_TH : part_TH;
  }
  return sum_TH.to(states[0].scalar_type());
}

}  // namespace

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
  // In the master's type whatever the states' type is.
  const at::Tensor factors_J = at::softmax(weights->master, 0) * gamma->master;
  const std::vector<at::Tensor> states(hidden.begin() + first, hidden.begin() + first + factors_J.size(0));
  if (pass.kernels == Kernels::reference) return plain_sum(factors_J, states, config.layer_norm);
  if (pass.kernels == Kernels::fast && states[0].is_cpu() && states[0].scalar_type() != at::kHalf)
    return scalar_mix_cpu(factors_J, states, config.layer_norm, kNormEpsilon);
  return WeightedSum::apply(factors_J, at::TensorList(states), config.layer_norm);
}

}  // namespace strata
