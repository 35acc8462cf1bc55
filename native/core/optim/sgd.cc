// Stochastic gradient descent as torch.optim.SGD: momentum, dampening, Nesterov's momentum, coupled decay.
#include "core/optim/slices.h"

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_sub.h>

namespace strata {

void update_sgd(const RuleStep& step, RuleTensors& tensors) {
  const RuleSettings& settings = step.settings;
  if (settings.momentum == 0) {
    in_slices(step, tensors, {}, step.weight_decay,
              [&](Slices& slices) { at::_foreach_add_(slices.parameters, slices.gradients, -step.learning_rate); });
    return;
  }
  const at::Tensor applies = applied(step, tensors);
  const at::Tensor keep = keeping(settings.momentum, applies), rate = applies * step.learning_rate;
  std::vector<at::Tensor> gains;
  if (settings.dampening != 0) {
    // The first gradient fills the buffer undampened.
    const at::Tensor first = at::stack(tensors.steps).le(1);
    gains = at::full_like(first, 1 - settings.dampening, applies.options()).masked_fill(first, 1).unbind();
  }
  in_slices(step, tensors, gains, step.weight_decay, [&](Slices& slices) {
    at::_foreach_mul_(slices.first, keep);
    at::_foreach_add_(slices.first, gains.empty() ? slices.gradients : at::_foreach_mul(slices.gradients, slices.scalars));
    std::vector<at::Tensor>& moves = slices.gradients;
    if (settings.nesterov) {
      at::_foreach_add_(moves, slices.first, settings.momentum);
    } else {
      at::_foreach_copy_(moves, slices.first);
    }
    at::_foreach_mul_(moves, rate);
    at::_foreach_sub_(slices.parameters, moves);
  });
}

}  // namespace strata
