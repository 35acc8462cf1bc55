#include "core/heads/pooler.h"

#include "core/error.h"

namespace strata {

PooledScorer PooledScorer::create(const HeadConfig& config, const HeadParts& parts, int64_t outputs) {
  const int64_t hidden = parts.encoder.config().hidden_size, layer = parts.encoder.config().layers + 1;
  const std::string name = "heads." + config.name;
  PooledScorer scorer;
  scorer.config = config;
  if (config.pooler_size > 0 && config.pooler != "own")
    fail("BAD_ARGUMENT", "poolerSize of head '", config.name, "' is ", config.pooler_size, " with pooler '", config.pooler, "'; it is for a pooler of the head's own");
  const int64_t pooled = config.pooler_size > 0 ? config.pooler_size : hidden;
  if (config.pooler == "own") {
    scorer.pooler = std::make_shared<Linear>(Linear::create(parts.store, name + ".pooler", hidden, pooled, layer));
  } else if (config.pooler == "shared") {
    if (!parts.shared_pooler) parts.shared_pooler = std::make_shared<Linear>(Linear::create(parts.store, "pooler.dense", hidden, hidden, layer));
    scorer.pooler = parts.shared_pooler;
  } else if (config.pooler != "none") {
    fail("BAD_ARGUMENT", "pooler of head '", config.name, "' is '", config.pooler, "'; own, shared or none was expected");
  }
  scorer.classifier = Linear::create(parts.store, name + ".classifier", pooled, outputs, layer);
  return scorer;
}

at::Tensor PooledScorer::operator()(const HeadInput& input, const std::vector<int64_t>& sequences) const {
  std::vector<int64_t> first;
  for (const int64_t sequence : sequences) first.push_back(input.batch.offsets[static_cast<size_t>(sequence)]);
  at::Tensor states_BH = input.states(config).index_select(0, input.batch.index(first));
  if (pooler) states_BH = at::tanh((*pooler)(input.pass, states_BH));
  return classifier(input.pass, drop(input.pass, states_BH, config.dropout)).to(classifier.weight->master.scalar_type());
}

}  // namespace strata
