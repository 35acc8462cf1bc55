// AdamW (Loshchilov & Hutter 2019) as torch.optim.AdamW, and BERTAdam (the optimiser of Google's BERT and of PALs) as AdamW
// without bias correction; both by libtorch's fused kernel, which leaves out an update itself.
#include "core/optim/rules.h"

#include <ATen/ops/_fused_adamw.h>

#include <limits>

namespace strata {
namespace {

void fused(const RuleStep& step, const RuleTensors& tensors, const std::vector<at::Tensor>& steps) {
  const RuleSettings& settings = step.settings;
  at::_fused_adamw_(tensors.parameters, tensors.gradients, tensors.first, tensors.second, {}, steps, step.learning_rate, settings.beta1,
                    settings.beta2, step.weight_decay, settings.epsilon, false, false, step.gradient_divisor, step.not_finite);
}

}  // namespace

void update_adamw(const RuleStep& step, const RuleTensors& tensors) { fused(step, tensors, tensors.steps); }

void update_bert_adam(const RuleStep& step, const RuleTensors& tensors) {
  // The correction 1 - β^t is 1 after infinitely many steps.
  const at::Tensor for_ever = at::full({}, std::numeric_limits<float>::infinity(), tensors.steps[0].options());
  fused(step, tensors, std::vector<at::Tensor>(tensors.steps.size(), for_ever));
}

}  // namespace strata
