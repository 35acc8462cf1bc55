#pragma once
// Element-wise work on lists of tensors, in pieces that stay in a core's cache.
#include "core/optim/rules.h"

#include <functional>

namespace strata {

// What a foreach rule writes: parameters, gradients, moments and, where it has one, a scalar tensor for each parameter.
struct Slices {
  std::vector<at::Tensor> parameters, gradients, first, second, scalars;
};

// On the CPU calls `body` for pieces of the tensors, on all threads; on a device once with the whole lists. The gradients come
// with divisor and coupled decay applied, and zero when the update is left out.
void in_slices(const RuleStep& step, const RuleTensors& tensors, const std::vector<at::Tensor>& scalars, double coupled_decay,
               const std::function<void(Slices&)>& body);

// 1, or 0 when the update is left out, in the parameters' type.
at::Tensor applied(const RuleStep& step, const RuleTensors& tensors);
// beta, or 1 when the update is left out.
at::Tensor keeping(double beta, const at::Tensor& applied);

}  // namespace strata
