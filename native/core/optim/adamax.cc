// Adamax (Kingma & Ba 2015, §7.1) as torch.optim.Adamax, with coupled decay; and as MT-DNN (Liu et al. 2019) runs it: no bias
// correction, epsilon in the divisor as well, decoupled decay.
#include "core/optim/slices.h"

#include <ATen/ops/_foreach_abs.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_div.h>
#include <ATen/ops/_foreach_maximum.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_sub.h>

namespace strata {
namespace {

struct Moments {
  at::Tensor keep_first, keep_second, epsilon;
  double gain;

  Moments(const RuleSettings& settings, const at::Tensor& applied)
      : keep_first(keeping(settings.beta1, applied)), keep_second(keeping(settings.beta2, applied)), epsilon(applied * settings.epsilon),
        gain(1 - settings.beta1) {}

  // m = β₁ m + (1 − β₁) g; u = max(β₂ u, |g| + ε). The gradients are used up.
  void update(Slices& slices) const {
    at::_foreach_mul_(slices.first, keep_first);
    at::_foreach_add_(slices.first, slices.gradients, gain);
    at::_foreach_abs_(slices.gradients);
    at::_foreach_add_(slices.gradients, epsilon);
    at::_foreach_mul_(slices.second, keep_second);
    at::_foreach_maximum_(slices.second, slices.gradients);
  }
};

}  // namespace

void update_adamax(const RuleStep& step, RuleTensors& tensors) {
  const RuleSettings& settings = step.settings;
  const Moments moments(settings, applied(step, tensors));
  const at::Tensor correction = 1 - at::pow(settings.beta1, at::stack(tensors.steps).to(at::kDouble));
  // A tensor that was never updated has no correction yet.
  const at::Tensor rates = (step.learning_rate / correction).masked_fill(step.not_finite.to(at::kBool), 0);
  const at::Tensor left_out = step.not_finite.to(tensors.parameters[0].scalar_type());
  in_slices(step, tensors, rates.to(tensors.parameters[0].scalar_type()).unbind(), step.weight_decay, [&](Slices& slices) {
    moments.update(slices);
    std::vector<at::Tensor>& moves = slices.gradients;
    at::_foreach_copy_(moves, slices.first);
    at::_foreach_div_(moves, at::_foreach_add(slices.second, left_out));  // u may still be 0 when the first update is left out
    at::_foreach_mul_(moves, slices.scalars);
    at::_foreach_sub_(slices.parameters, moves);
  });
}

void update_adamax_mt_dnn(const RuleStep& step, RuleTensors& tensors) {
  const at::Tensor applies = applied(step, tensors);
  const Moments moments(step.settings, applies);
  const at::Tensor rate = applies * step.learning_rate;
  in_slices(step, tensors, {}, 0, [&](Slices& slices) {
    moments.update(slices);
    std::vector<at::Tensor>& moves = slices.gradients;
    at::_foreach_copy_(moves, slices.first);
    at::_foreach_div_(moves, at::_foreach_add(slices.second, step.settings.epsilon));
    if (step.weight_decay != 0) at::_foreach_add_(moves, slices.parameters, step.weight_decay);
    at::_foreach_mul_(moves, rate);
    at::_foreach_sub_(slices.parameters, moves);
  });
}

}  // namespace strata
