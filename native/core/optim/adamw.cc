#include "core/optim/adamw.h"

#include "core/error.h"

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>

#include <cmath>
#include <set>

namespace strata {

AdamW::AdamW(Model& model, const AdamWConfig& config) : model_(model), config_(config) {
  const std::pair<const char*, double> betas[] = {{"beta1", config.beta1}, {"beta2", config.beta2}};
  for (const auto& [name, beta] : betas)
    if (!(beta >= 0 && beta < 1)) fail("BAD_ARGUMENT", name, " is ", beta, "; 0 ≤ ", name, " < 1 was expected");
  if (!(config.epsilon > 0 && std::isfinite(config.epsilon))) fail("BAD_ARGUMENT", "epsilon is ", config.epsilon, "; a number above 0 was expected");
  ParameterStore& store = model.parameters();
  std::map<const Parameter*, size_t> named_parts;
  for (const NamedPart& part : store.parts()) named_parts[part.owner.get()] += 1;
  std::set<std::string> seen;
  for (const AdamWGroup& group : config.groups) {
    if (!(group.weight_decay >= 0 && std::isfinite(group.weight_decay)))
      fail("BAD_ARGUMENT", "weightDecay of groups[", groups_.size(), "] is ", group.weight_decay, "; a finite number of at least 0 was expected");
    if (!(group.rate_factor >= 0 && std::isfinite(group.rate_factor)))
      fail("BAD_ARGUMENT", "learningRateFactor of groups[", groups_.size(), "] is ", group.rate_factor,
           "; a finite number of at least 0 was expected");
    Group made{group.weight_decay, group.rate_factor, {}};
    std::map<const Parameter*, size_t> parts_here;
    for (const std::string& name : group.names) {
      const NamedPart& part = store.part(name);
      if (!seen.insert(name).second) fail("BAD_ARGUMENT", "parameter ", name, " stands in two groups; one was expected");
      if (parts_here[part.owner.get()]++ > 0) continue;
      const auto options = part.owner->master.options().requires_grad(false);
      made.slots.push_back({part.owner, at::zeros(part.owner->master.sizes(), options), at::zeros(part.owner->master.sizes(), options),
                            at::zeros({}, options.dtype(at::kFloat))});
    }
    for (const auto& [owner, count] : parts_here)
      if (count != named_parts[owner])
        fail("BAD_ARGUMENT", "group names only some parts of ", owner->name, "; query, key and value share one group (or none)");
    groups_.push_back(std::move(made));
  }
  for (const ParameterRef& parameter : store.all()) parameter->master.requires_grad_(false);
  for (const Group& group : groups_)
    for (const Slot& slot : group.slots) slot.parameter->master.requires_grad_(true);
}

void AdamW::clip_tensors(double max_norm, double scale) {
  std::set<const Parameter*> trained;
  for (const Group& group : groups_)
    for (const Slot& slot : group.slots) trained.insert(slot.parameter.get());
  for (const NamedPart& part : model_.parameters().parts()) {
    const at::Tensor& gradient = part.owner->master.grad();
    if (!gradient.defined() || !trained.count(part.owner.get())) continue;
    at::Tensor own = part.of(gradient);
    own.mul_((max_norm * scale / (own.norm() + 1e-6)).clamp_max(1));
  }
}

OptimizerStep AdamW::step(double learning_rate, double max_norm, double max_tensor_norm) {
  const at::NoGradGuard no_grad;
  const double scale = model_.loss_scale;
  std::vector<at::Tensor> gradients;
  for (const Group& group : groups_)
    for (const Slot& slot : group.slots)
      if (slot.parameter->master.grad().defined()) gradients.push_back(slot.parameter->master.grad());
  if (gradients.empty()) fail("BAD_ARGUMENT", "no parameter has a gradient; call model.step(batch) before optimizer.step()");
  const at::Tensor norm = at::stack(at::_foreach_norm(gradients, 2)).norm() / scale;
  const at::Tensor not_finite = at::isfinite(norm).logical_not().to(at::kFloat);
  if (max_tensor_norm > 0) clip_tensors(max_tensor_norm, scale);
  // The fused kernel divides by grad_scale, which so carries both the loss scale and the global clip.
  std::optional<at::Tensor> grad_scale;
  if (max_norm > 0) {
    const at::Tensor clipped_norm = max_tensor_norm > 0 ? at::stack(at::_foreach_norm(gradients, 2)).norm() / scale : norm;
    grad_scale = ((clipped_norm + 1e-6) / max_norm).clamp_min(1) * scale;
  } else if (scale != 1) {
    grad_scale = at::full({}, scale, norm.options());
  }
  // On the CPU the scale is at hand, and dividing by 1 would be a pass over all gradients for nothing.
  if (grad_scale && norm.device().is_cpu() && grad_scale->item<double>() == 1) grad_scale.reset();
  if (grad_scale && grad_scale->scalar_type() != at::kFloat) {
    // The kernel reads the scale as one float, which would round double gradients.
    const at::Tensor factor = grad_scale->reciprocal();
    for (at::Tensor& gradient : gradients) gradient.mul_(factor);
    grad_scale.reset();
  }
  // The answer stays on the device: the kernel itself leaves a not finite update out, and such a step is not counted.
  const at::Tensor counted = 1 - not_finite;
  for (Group& group : groups_) {
    std::vector<at::Tensor> parameters, own, first, second, steps;
    for (Slot& slot : group.slots) {
      const at::Tensor& gradient = slot.parameter->master.grad();
      if (!gradient.defined()) continue;
      parameters.push_back(slot.parameter->master.detach());
      // The device's kernel demands equal strides, which autograd promises only up to dimensions of size 1.
      own.push_back(gradient.strides() == parameters.back().strides() ? gradient : gradient.clone(at::MemoryFormat::Contiguous));
      first.push_back(slot.first);
      second.push_back(slot.second);
      steps.push_back(slot.steps);
    }
    if (parameters.empty()) continue;
    at::_foreach_add_(steps, counted);
    at::_fused_adamw_(parameters, own, first, second, {}, steps, learning_rate * group.rate_factor, config_.beta1, config_.beta2,
                      group.weight_decay, config_.epsilon, false, false, grad_scale, not_finite);
  }
  if (scale != 1) {
    // fp16 with dynamic loss scaling as torch.amp.GradScaler: halve on overflow, double after 2000 good steps.
    if (not_finite.item<float>() != 0) {
      model_.loss_scale = std::max(1.0, scale / 2);
      good_steps_ = 0;
    } else if (++good_steps_ % 2000 == 0) {
      model_.loss_scale = scale * 2;
    }
  }
  model_.parameters().drop_gradients();
  model_.parameters().mark_updated();
  return {norm, not_finite, ++step_count};
}

std::vector<AdamW::NamedTensor> AdamW::state() const {
  std::vector<NamedTensor> tensors;
  for (const Group& group : groups_) {
    for (const Slot& slot : group.slots) {
      tensors.push_back({slot.parameter->name + ".first", slot.first});
      tensors.push_back({slot.parameter->name + ".second", slot.second});
      tensors.push_back({slot.parameter->name + ".steps", slot.steps});
    }
  }
  return tensors;
}

}  // namespace strata
