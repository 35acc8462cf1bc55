#pragma once
// AdamW (Loshchilov & Hutter 2019) as torch.optim.AdamW, over groups with their own decay and rate factor, with global and
// per-tensor clipping and an update that is left out when a gradient is not finite.
#include "core/parameters.h"
#include "core/training/model.h"

#include <map>
#include <string>
#include <vector>

namespace strata {

struct AdamWGroup {
  std::vector<std::string> names;  // of parameter parts; a stacked parameter must be named as a whole
  double weight_decay = 0;
  double rate_factor = 1;
};

struct AdamWConfig {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  std::vector<AdamWGroup> groups;
};

struct OptimizerStep {
  at::Tensor gradient_norm;  // before clipping, without the loss scale
  at::Tensor not_finite;     // 1 when the update was left out
  int64_t step_count = 0;    // updates asked for so far, left-out ones included
};

class AdamW {
 public:
  // Parameters in no group are frozen: they get no gradient.
  AdamW(Model& model, const AdamWConfig& config);

  // 0 means no limit. Gradients are dropped afterwards.
  OptimizerStep step(double learning_rate, double max_norm, double max_tensor_norm);

  struct NamedTensor {
    std::string name;
    at::Tensor tensor;
  };
  // Moments and step counts, to be saved and loaded in place.
  std::vector<NamedTensor> state() const;
  int64_t step_count = 0;

 private:
  struct Slot {
    ParameterRef parameter;
    at::Tensor first;   // running mean of the gradient
    at::Tensor second;  // running mean of its square
    at::Tensor steps;   // scalar float, updates applied
  };
  struct Group {
    double weight_decay;
    double rate_factor;
    std::vector<Slot> slots;
  };
  void clip_tensors(double max_norm, double scale);

  Model& model_;
  AdamWConfig config_;
  std::vector<Group> groups_;
  int64_t good_steps_ = 0;
};

}  // namespace strata
