#include "core/error.h"
#include "core/heads/head.h"

namespace strata {

const at::Tensor& HeadInput::states(const HeadConfig& head) const {
  if (head.mix.empty()) return hidden_[static_cast<size_t>(head.layer)];
  const auto found = mixed_.find(head.mix);
  if (found != mixed_.end()) return found->second;
  return mixed_[head.mix] = mixes_.at(head.mix)(pass, hidden_);
}

HeadRef make_head(const HeadConfig& config, const HeadParts& parts) {
  static const std::map<std::string, HeadRef (*)(const HeadConfig&, const HeadParts&)> factories{
      {"masked-lm", make_masked_lm},
      {"next-sentence", make_next_sentence},
      {"bigram-shift", make_bigram_shift},
      {"classifier", make_classifier},
      {"regressor", make_regressor},
      {"san", make_san},
      {"ranker", make_ranker},
      {"span", make_span},
      {"tagger", make_tagger},
      {"parser", make_parser},
      {"agreement", make_agreement},
  };
  const auto factory = factories.find(config.kind);
  if (factory == factories.end()) {
    std::string known;
    for (const auto& [kind, make] : factories) known += (known.empty() ? "" : ", ") + kind;
    fail("UNSUPPORTED", "head '", config.name, "' has kind '", config.kind, "'; one of ", known, " was expected");
  }
  const int64_t layers = parts.encoder.config().layers;
  if (config.layer < 0 || config.layer > layers)
    fail("BAD_ARGUMENT", "head '", config.name, "' taps layer ", config.layer, "; 0 to ", layers, " was expected");
  check_rate(config, "dropout", config.dropout);
  return factory->second(config, parts);
}

}  // namespace strata
