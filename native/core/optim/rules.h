#pragma once
// An update rule: how parameters move, given gradients and the moments kept so far. All of them are element by element.
#include "core/ops.h"

#include <optional>
#include <string>
#include <vector>

namespace strata {

// A rule reads what it knows and ignores the rest.
struct RuleSettings {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double momentum = 0;
  double dampening = 0;
  bool nesterov = false;
};

// The tensors of a group that have a gradient; the lists run alongside. A rule may write to all of them.
struct RuleTensors {
  std::vector<at::Tensor> parameters, gradients;
  std::vector<at::Tensor> first, second;  // empty where the rule keeps none
  std::vector<at::Tensor> steps;          // scalar float each: updates applied, this one included when it is applied
  std::vector<at::Tensor> low;            // the copies that products use, of the old values; entries are undefined where there is none
  bool low_is_renewed = false;            // set by a rule that has written the new values to all of `low`
};

struct RuleStep {
  const RuleSettings& settings;
  double learning_rate;  // of the group
  double weight_decay;
  std::optional<at::Tensor> gradient_divisor;  // scalar float on the device: loss scale and global clip
  at::Tensor not_finite;                       // scalar float on the device; 1 leaves the update out
  bool may_be_not_finite;                      // false where the host knows better
};

struct Rule {
  const char* kind;
  const char* variant;  // empty where there is one only
  int (*moments)(const RuleSettings&);
  void (*update)(const RuleStep&, RuleTensors&);
};

// Kinds: adamw, adamax (variants torch and mt-dnn), bert-adam, sgd. Throws UNSUPPORTED or BAD_ARGUMENT for any other.
const Rule& find_rule(const std::string& kind, const std::string& variant);

void update_adamw(const RuleStep& step, RuleTensors& tensors);
void update_bert_adam(const RuleStep& step, RuleTensors& tensors);
void update_adamax(const RuleStep& step, RuleTensors& tensors);
void update_adamax_mt_dnn(const RuleStep& step, RuleTensors& tensors);
void update_sgd(const RuleStep& step, RuleTensors& tensors);

}  // namespace strata
