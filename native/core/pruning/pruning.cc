#include "core/pruning/pruning.h"

#include "core/error.h"
#include "core/parallel.h"
#include "core/pruning/noise.h"

#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

namespace strata {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct MaskTensors {
  const at::Tensor& mask;
  const at::Tensor& slope;
  const at::Tensor& product;
};

// W ⊙ M, computed beforehand, with the gradients of both.
struct MaskedWeight : torch::autograd::Function<MaskedWeight> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& weight, const std::optional<at::Tensor>& scores,
                            const MaskTensors& tensors) {
    context->saved_data["scores"] = scores.has_value();
    context->save_for_backward({weight, tensors.mask, tensors.slope});
    return tensors.product.variable_data();
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor& weight = saved[0];
    const at::Tensor& mask = saved[1];
    const at::Tensor& slope = saved[2];
    at::Tensor dw, ds;
    if (context->needs_input_grad(0)) dw = gradients[0] * mask;
    if (context->saved_data["scores"].toBool() && context->needs_input_grad(1)) {
      ds = gradients[0] * weight;
      if (slope.defined()) ds.mul_(slope);
    }
    return {dw, ds, at::Tensor()};
  }
};

}  // namespace

Pruning::Pruning(const std::string& method, const std::vector<ParameterRef>& weights, ParameterStore& store)
    : method_(find_pruning_method(method)), store_(store) {
  state_.threshold = method_.dense;
  std::map<const Parameter*, std::vector<NamedPart>> parts;
  for (const NamedPart& part : store.parts()) parts[part.owner.get()].push_back(part);
  for (const ParameterRef& weight : weights) {
    Masked masked{weight, nullptr, parts[weight.get()], {}, {}, {}};
    if (method_.initial_score) {
      const auto name = [](const std::string& of) { return "pruning." + of + ".scores"; };
      std::vector<std::string> names;
      for (const NamedPart& part : masked.parts) names.push_back(name(part.name));
      const at::Tensor first = masked.parts[0].of(weight->master);
      masked.scores = names.size() == 1 ? store.create(names[0], first.sizes(), Init::zeros, false, weight->layer)
                                        : store.create_stacked(name(weight->name), names, first.sizes(), Init::zeros, false, weight->layer);
      const at::NoGradGuard no_grad;
      masked.scores->master.fill_(*method_.initial_score);
    }
    masked_.push_back(std::move(masked));
  }
  for (Masked& masked : masked_)
    for (const NamedPart& part : masked.parts) jobs_.push_back({&masked, &part});
}

void Pruning::set(PruningState state) {
  if (!(state.threshold >= 0 && state.threshold <= 1))
    fail("BAD_ARGUMENT", "threshold of pruning is ", state.threshold, "; 0 to 1 was expected");
  if (!(state.penalty >= 0 && std::isfinite(state.penalty)))
    fail("BAD_ARGUMENT", "penalty of pruning is ", state.penalty, "; a finite number of at least 0 was expected");
  if (!state.noise.empty() && !method_.draws) fail("BAD_ARGUMENT", "noise was given, but pruning by ", method_.name, " draws nothing");
  for (const auto& [name, noise] : state.noise) {
    int64_t size = -1;
    for (const Job& job : jobs_)
      if (job.part->name == name) size = job.part->of(job.masked->weight->master).numel();
    if (noise.numel() != size)
      fail("BAD_ARGUMENT", "noise of ", name, " has ", noise.numel(), " numbers; ",
           size < 0 ? "the name of a pruned weight was expected" : std::to_string(size) + " were expected");
  }
  if (state.threshold != state_.threshold) version_.reset();
  state_ = std::move(state);
}

void Pruning::mask_part(const Job& job, const DropoutState* pass) const {
  const at::NoGradGuard no_grad;  // a thread's own
  Masked& masked = *job.masked;
  const at::Tensor weight = job.part->of(masked.weight->master);
  const at::Tensor scores = masked.scores ? job.part->of(masked.scores->master) : at::Tensor();
  at::Tensor noise;
  if (pass && method_.draws) {
    const auto given = state_.noise.find(job.part->name);
    noise = given != state_.noise.end()
                ? given->second.to(weight.options().requires_grad(false)).view(weight.sizes())
                : uniform_noise(weight.sizes(), philox_key(pass->seed, pass->counter, name_hash(job.part->name)), weight.options());
  }
  const Mask mask = method_.mask({weight, scores, state_.threshold, noise});
  const at::Tensor own = job.part->of(masked.mask);
  own.copy_(mask.values);
  at::Tensor product = job.part->of(masked.product);
  at::mul_out(product, weight, own);
  if (mask.slope.defined()) job.part->of(masked.slope).copy_(mask.slope);
}

void Pruning::refresh(const DropoutState* pass) {
  const bool drawn = pass && method_.draws;
  if (!drawn && version_ == store_.version()) return;
  const at::NoGradGuard no_grad;
  version_.reset();  // until all of them are filled
  for (Masked& masked : masked_) {
    // New tensors: a graph that has not run backward yet keeps the old ones.
    masked.mask = at::empty_like(masked.weight->master).requires_grad_(false);
    masked.product = at::empty_like(masked.mask);
    masked.slope = drawn ? at::empty_like(masked.mask) : at::Tensor();
    masked.weight->low_is_stale = true;
  }
  const auto range = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) mask_part(jobs_[static_cast<size_t>(i)], pass);
  };
  const auto count = static_cast<int64_t>(jobs_.size());
  if (store_.device().is_cpu()) {
    parallel_for(count, 1, range);
  } else {
    range(0, count);
  }
  version_ = drawn ? std::nullopt : std::optional<uint64_t>(store_.version());
}

void Pruning::mask_for_training(DropoutState pass) {
  refresh(&pass);
  for (Masked& masked : masked_) {
    const auto scores = masked.scores ? std::optional<at::Tensor>(masked.scores->master) : std::nullopt;
    masked.weight->masked = MaskedWeight::apply(masked.weight->master, scores, MaskTensors{masked.mask, masked.slope, masked.product});
  }
}

void Pruning::mask_for_evaluation() {
  refresh(nullptr);
  for (Masked& masked : masked_) masked.weight->masked = masked.product;
}

at::Tensor Pruning::mean_penalty() const {
  at::Tensor sum;
  for (const Masked& masked : masked_) {
    // The parts of a stack are of one size.
    const at::Tensor own = method_.penalty(masked.scores->master) * static_cast<double>(masked.parts.size());
    sum = sum.defined() ? sum + own : own;
  }
  return sum / static_cast<double>(jobs_.size());
}

at::Tensor Pruning::penalty_due() const {
  if (!method_.penalty || state_.penalty == 0) return {};
  for (const Masked& masked : masked_)
    if (masked.scores->master.grad().defined()) return {};
  return mean_penalty() * state_.penalty;
}

Pruning::Report Pruning::report() {
  const at::NoGradGuard no_grad;
  mask_for_evaluation();
  Report report;
  for (const Job& job : jobs_) {
    const at::Tensor own = job.part->of(job.masked->product);
    report.matrices.push_back({job.part->name, job.masked->weight->layer, own.numel(), at::count_nonzero(own).item<int64_t>()});
  }
  if (method_.penalty) report.penalty = mean_penalty().item<double>();
  return report;
}

}  // namespace strata
