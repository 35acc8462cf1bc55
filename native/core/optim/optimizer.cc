#include "core/optim/optimizer.h"

#include "core/error.h"
#include "core/kernels/gradient_cpu.h"

#include <ATen/ops/_foreach_add.h>

#include <cmath>
#include <set>

namespace strata {

void Optimizer::check_settings() const {
  const std::pair<const char*, double> betas[] = {{"beta1", settings_.beta1}, {"beta2", settings_.beta2}, {"momentum", settings_.momentum}};
  for (const auto& [name, beta] : betas)
    if (!(beta >= 0 && beta < 1)) fail("BAD_ARGUMENT", name, " is ", beta, "; 0 ≤ ", name, " < 1 was expected");
  if (!(settings_.epsilon > 0 && std::isfinite(settings_.epsilon)))
    fail("BAD_ARGUMENT", "epsilon is ", settings_.epsilon, "; a number above 0 was expected");
  if (!(settings_.dampening >= 0 && settings_.dampening <= 1))
    fail("BAD_ARGUMENT", "dampening is ", settings_.dampening, "; 0 ≤ dampening ≤ 1 was expected");
  if (settings_.nesterov && (settings_.momentum == 0 || settings_.dampening != 0))
    fail("BAD_ARGUMENT", "nesterov is true with momentum ", settings_.momentum, " and dampening ", settings_.dampening,
         "; momentum above 0 and dampening 0 were expected");
}

Optimizer::Optimizer(Model& model, const OptimizerConfig& config) : model_(model), rule_(*config.rule), settings_(config.settings) {
  check_settings();
  const int moments = rule_.moments(settings_);
  ParameterStore& store = model.parameters();
  std::map<const Parameter*, size_t> named_parts;
  for (const NamedPart& part : store.parts()) named_parts[part.owner.get()] += 1;
  std::set<std::string> seen;
  for (const OptimizerGroup& group : config.groups) {
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
      const auto moment = [&](int number) { return moments < number ? at::Tensor() : at::zeros(part.owner->master.sizes(), options); };
      made.slots.push_back({part.owner, moment(1), moment(2), at::zeros({}, options.dtype(at::kFloat))});
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

void Optimizer::clip_tensors(double max_norm, double scale) {
  std::set<const Parameter*> trained;
  for (const Group& group : groups_)
    for (const Slot& slot : group.slots) trained.insert(slot.parameter.get());
  for (const NamedPart& part : model_.parameters().parts()) {
    const at::Tensor& gradient = part.owner->master.grad();
    if (!gradient.defined() || !trained.count(part.owner.get())) continue;
    at::Tensor own = part.of(gradient);
    const at::Tensor factor = (max_norm * scale / (own.norm() + 1e-6)).clamp_max(1);
    // Most tensors stay below the limit; on the CPU that is known at once.
    if (!factor.device().is_cpu() || factor.item<double>() != 1) own.mul_(factor);
  }
}

OptimizerStep Optimizer::step(double learning_rate, double max_norm, double max_tensor_norm) {
  const at::NoGradGuard no_grad;
  const double scale = model_.loss_scale;
  std::vector<at::Tensor> gradients;
  std::vector<int64_t> layers;
  for (const Group& group : groups_)
    for (const Slot& slot : group.slots)
      if (slot.parameter->master.grad().defined()) {
        gradients.push_back(slot.parameter->master.grad());
        layers.push_back(slot.parameter->layer);
      }
  if (gradients.empty()) fail("BAD_ARGUMENT", "no parameter has a gradient; call model.step(batch) before optimizer.step()");
  last_ = {std::move(layers), norms_of(gradients), scale};
  const at::Tensor norm = at::stack(last_.norms).norm() / scale;
  const at::Tensor not_finite = at::isfinite(norm).logical_not().to(at::kFloat);
  if (max_tensor_norm > 0) clip_tensors(max_tensor_norm, scale);
  // A rule divides by grad_scale, which so carries both the loss scale and the global clip.
  std::optional<at::Tensor> grad_scale;
  if (max_norm > 0) {
    const at::Tensor clipped_norm = max_tensor_norm > 0 ? at::stack(norms_of(gradients)).norm() / scale : norm;
    grad_scale = ((clipped_norm + 1e-6) / max_norm).clamp_min(1) * scale;
  } else if (scale != 1) {
    grad_scale = at::full({}, scale, norm.options());
  }
  // On the CPU the scale is at hand, and dividing by 1 would be a pass over all gradients for nothing.
  if (grad_scale && norm.device().is_cpu() && grad_scale->item<double>() == 1) grad_scale.reset();
  if (grad_scale && grad_scale->scalar_type() != at::kFloat) {
    // The fused kernel reads the scale as one float, which would round double gradients.
    const at::Tensor factor = grad_scale->reciprocal();
    for (at::Tensor& gradient : gradients) gradient.mul_(factor);
    grad_scale.reset();
  }
  // The answer stays on the device: the rule itself leaves a not finite update out, and such a step is not counted.
  const at::Tensor counted = 1 - not_finite;
  // An update that fails half-way is over as well: its gradients must not be applied twice, nor copies of the old weights be used.
  struct UpdateEnds {
    ParameterStore& store;
    std::vector<Parameter*> renewed;  // whose copy in bf16 the rule has made along with them
    ~UpdateEnds() {
      store.drop_gradients();
      store.mark_updated();
      for (Parameter* parameter : renewed) parameter->low_is_stale = false;
    }
  } ends{model_.parameters(), {}};
  const bool may_be_not_finite = !norm.device().is_cpu() || not_finite.item<float>() != 0;
  for (Group& group : groups_) {
    RuleTensors tensors;
    std::vector<Parameter*> updated;
    for (Slot& slot : group.slots) {
      const at::Tensor& gradient = slot.parameter->master.grad();
      if (!gradient.defined()) continue;
      const at::Tensor parameter = slot.parameter->master.detach();
      tensors.parameters.push_back(parameter);
      // The device's kernel demands equal strides, which autograd promises only up to dimensions of size 1.
      tensors.gradients.push_back(gradient.strides() == parameter.strides() ? gradient : gradient.clone(at::MemoryFormat::Contiguous));
      if (slot.first.defined()) tensors.first.push_back(slot.first);
      if (slot.second.defined()) tensors.second.push_back(slot.second);
      tensors.steps.push_back(slot.steps);
      // A pruned parameter's copy is that of its masked value.
      const bool follows = !slot.parameter->masked.defined() && slot.parameter->low.defined();
      tensors.low.push_back(follows ? slot.parameter->low : at::Tensor());
      updated.push_back(slot.parameter.get());
    }
    if (tensors.parameters.empty()) continue;
    at::_foreach_add_(tensors.steps, counted);
    rule_.update({settings_, learning_rate * group.rate_factor, group.weight_decay, grad_scale, not_finite, may_be_not_finite}, tensors);
    if (tensors.low_is_renewed)
      for (size_t i = 0; i < updated.size(); ++i)
        if (tensors.low[i].defined()) ends.renewed.push_back(updated[i]);
  }
  if (scale != 1) {
    // fp16 with dynamic loss scaling as torch.amp.GradScaler: halve on overflow, double after 2000 good steps.
    if (not_finite.item<float>() != 0) {
      model_.loss_scale = std::max(1.0, scale / 2);
      good_steps = 0;
    } else if (++good_steps % 2000 == 0) {
      model_.loss_scale = scale * 2;
    }
  }
  return {norm, not_finite, ++step_count};
}

std::map<int64_t, double> Optimizer::gradient_norms() const {
  if (last_.norms.empty()) fail("BAD_ARGUMENT", "there are no gradient norms before the first step of the optimizer");
  const at::Tensor norms = at::stack(last_.norms).to(at::kCPU, at::kDouble);
  std::map<int64_t, double> by_layer;
  for (size_t i = 0; i < last_.layers.size(); ++i) {
    const double norm = norms.const_data_ptr<double>()[i] / last_.scale;
    by_layer[last_.layers[i]] += norm * norm;
  }
  for (auto& [layer, sum] : by_layer) sum = std::sqrt(sum);
  return by_layer;
}

void Optimizer::restore_loss_scale(double scale, int64_t steps) {
  if (model_.parameters().precision() != Precision::fp16) return;
  model_.loss_scale = scale;
  good_steps = steps;
}

std::vector<Optimizer::NamedTensor> Optimizer::state() const {
  std::vector<NamedTensor> tensors;
  for (const Group& group : groups_) {
    for (const Slot& slot : group.slots) {
      if (slot.first.defined()) tensors.push_back({slot.parameter->name + ".first", slot.first});
      if (slot.second.defined()) tensors.push_back({slot.parameter->name + ".second", slot.second});
      tensors.push_back({slot.parameter->name + ".steps", slot.steps});
    }
  }
  return tensors;
}

}  // namespace strata
