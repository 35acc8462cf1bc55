// AdamW (Loshchilov & Hutter 2019) as torch.optim.AdamW, and BERTAdam (the optimiser of Google's BERT and of PALs) as AdamW
// without bias correction. float32 on the CPU goes through our own pass over memory, everything else through libtorch's fused kernel,
// which leaves out an update itself.
#include "core/optim/rules.h"

#include "core/kernels/gradient_cpu.h"
#include "core/kernels/update_rows.h"
#include "core/parallel.h"

#include <ATen/ops/_fused_adamw.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace strata {
namespace {

constexpr int64_t kGrain = 32768;  // elements that are worth a thread

void fused(const RuleStep& step, const RuleTensors& tensors, const std::vector<at::Tensor>& steps) {
  const RuleSettings& settings = step.settings;
  at::_fused_adamw_(tensors.parameters, tensors.gradients, tensors.first, tensors.second, {}, steps, step.learning_rate, settings.beta1,
                    settings.beta2, step.weight_decay, settings.epsilon, false, false, step.gradient_divisor, step.not_finite);
}

bool fits(const RuleTensors& tensors) {
  const auto all = [](const std::vector<at::Tensor>& list) { return std::all_of(list.begin(), list.end(), fits_own_passes); };
  return all(tensors.parameters) && all(tensors.gradients) && all(tensors.first) && all(tensors.second);
}

// Once over the memory: libtorch's kernel writes a gradient that it has divided back, and leaves the copies in bf16 to a pass of their own.
void own(const RuleStep& step, RuleTensors& tensors, bool is_corrected) {
  if (step.may_be_not_finite && step.not_finite.item<float>() != 0) return;
  const RuleSettings& settings = step.settings;
  const double divisor = step.gradient_divisor ? step.gradient_divisor->item<double>() : 1;
  const bool can_renew = std::all_of(tensors.low.begin(), tensors.low.end(), [](const at::Tensor& low) {
    return !low.defined() || (low.scalar_type() == at::kBFloat16 && low.is_contiguous());
  });
  for (size_t i = 0; i < tensors.parameters.size(); ++i) {
    const double updates = tensors.steps[i].item<double>();
    const auto correction = [&](double beta) { return is_corrected ? 1 - std::pow(beta, updates) : 1; };
    const kernels::AdamwUpdate update{static_cast<float>(1 / divisor),
                                      static_cast<float>(1 - step.learning_rate * step.weight_decay),
                                      static_cast<float>(1 - settings.beta1),
                                      static_cast<float>(settings.beta2),
                                      static_cast<float>(1 - settings.beta2),
                                      static_cast<float>(step.learning_rate / correction(settings.beta1)),
                                      static_cast<float>(std::sqrt(correction(settings.beta2))),
                                      static_cast<float>(settings.epsilon)};
    const float* gradient = tensors.gradients[i].const_data_ptr<float>();
    float *parameter = tensors.parameters[i].mutable_data_ptr<float>(), *first = tensors.first[i].mutable_data_ptr<float>(),
          *second = tensors.second[i].mutable_data_ptr<float>();
    auto* low = can_renew && tensors.low[i].defined() ? static_cast<kernels::Bf16*>(tensors.low[i].mutable_data_ptr()) : nullptr;
    parallel_for(tensors.parameters[i].numel(), kGrain, [&](int64_t begin, int64_t end) {
      kernels::adamw_row(update, gradient + begin, end - begin, parameter + begin, first + begin, second + begin, low ? low + begin : nullptr);
    });
  }
  tensors.low_is_renewed = can_renew;
}

}  // namespace

void update_adamw(const RuleStep& step, RuleTensors& tensors) {
  if (fits(tensors)) return own(step, tensors, true);
  fused(step, tensors, tensors.steps);
}

void update_bert_adam(const RuleStep& step, RuleTensors& tensors) {
  if (fits(tensors)) return own(step, tensors, false);
  // The correction 1 - β^t is 1 after infinitely many steps.
  const at::Tensor for_ever = at::full({}, std::numeric_limits<float>::infinity(), tensors.steps[0].options());
  fused(step, tensors, std::vector<at::Tensor>(tensors.steps.size(), for_ever));
}

}  // namespace strata
