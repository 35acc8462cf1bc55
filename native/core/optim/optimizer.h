#pragma once
// What every update rule shares: parameter groups with their own decay and rate factor, global and per-tensor clipping, the
// loss scale of fp16, an update that is left out when a gradient is not finite, and the state as named tensors.
#include "core/optim/rules.h"
#include "core/parameters.h"
#include "core/training/model.h"

#include <map>
#include <string>
#include <vector>

namespace strata {

struct OptimizerGroup {
  std::vector<std::string> names;  // of parameter parts; a stacked parameter must be named as a whole
  double weight_decay = 0;
  double rate_factor = 1;
};

struct OptimizerConfig {
  const Rule* rule = nullptr;
  RuleSettings settings;
  std::vector<OptimizerGroup> groups;
};

struct OptimizerStep {
  at::Tensor gradient_norm;  // before clipping, without the loss scale
  at::Tensor not_finite;     // 1 when the update was left out
  int64_t step_count = 0;    // updates asked for so far, left-out ones included
};

class Optimizer {
 public:
  // Parameters in no group are frozen: they get no gradient.
  Optimizer(Model& model, const OptimizerConfig& config);

  // 0 means no limit. Gradients are dropped afterwards.
  OptimizerStep step(double learning_rate, double max_norm, double max_tensor_norm);

  struct NamedTensor {
    std::string name;
    at::Tensor tensor;
  };
  // Norms of the last step's gradients by layer (see Parameter::layer), before clipping and without the loss scale; a layer
  // without a gradient is left out. Throws BAD_ARGUMENT before the first step.
  std::map<int64_t, double> gradient_norms() const;
  int64_t layers() const { return model_.config().encoder.layers; }

  // Moments and step counts, to be saved and loaded in place.
  std::vector<NamedTensor> state() const;
  int64_t step_count = 0;
  int64_t good_steps = 0;  // fp16: updates applied since the loss scale last changed
  double loss_scale() const { return model_.loss_scale; }
  // Only fp16 has a scale to go on with.
  void restore_loss_scale(double scale, int64_t steps);

 private:
  struct Slot {
    ParameterRef parameter;
    at::Tensor first, second;  // the rule's moments; undefined where it keeps none
    at::Tensor steps;          // scalar float, updates applied
  };
  struct Group {
    double weight_decay;
    double rate_factor;
    std::vector<Slot> slots;
  };
  void check_settings() const;
  void clip_tensors(double max_norm, double scale);

  Model& model_;
  const Rule& rule_;
  RuleSettings settings_;
  std::vector<Group> groups_;
  // Of the last step, with its loss scale: taken for the global norm anyway, left on the device until asked for.
  struct {
    std::vector<int64_t> layers;
    std::vector<at::Tensor> norms;
    double scale = 1;
  } last_;
};

}  // namespace strata
