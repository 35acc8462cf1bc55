#include "core/optim/rules.h"

#include "core/error.h"

namespace strata {
namespace {

int two_moments(const RuleSettings&) { return 2; }
int momentum_only(const RuleSettings& settings) { return settings.momentum == 0 ? 0 : 1; }

constexpr Rule kRules[] = {
    {"adamw", "", two_moments, update_adamw},
    {"adamax", "torch", two_moments, update_adamax},
    {"adamax", "mt-dnn", two_moments, update_adamax_mt_dnn},
    {"bert-adam", "", two_moments, update_bert_adam},
    {"sgd", "", momentum_only, update_sgd},
};

}  // namespace

const Rule& find_rule(const std::string& kind, const std::string& variant) {
  for (const Rule& rule : kRules)
    if (kind == rule.kind && variant == rule.variant) return rule;
  if (kind == "adamax") fail("BAD_ARGUMENT", "variant is '", variant, "'; torch or mt-dnn was expected");
  fail("UNSUPPORTED", "optimizer kind is '", kind, "'; adamw, adamax, bert-adam or sgd was expected");
}

}  // namespace strata
