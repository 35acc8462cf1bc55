// Classes of labelled tokens (Devlin et al. 2018, section 5.3): dropout and one linear layer on each one's state.
#include "core/heads/pooler.h"

namespace strata {

HeadRef make_tagger(const HeadConfig& config, const HeadParts& parts) {
  check_classes(config);
  const EncoderConfig& encoder = parts.encoder.config();
  const Linear classifier =
      Linear::create(parts.store, "heads." + config.name + ".classifier", encoder.hidden_size, config.classes, encoder.layers + 1);
  auto head = std::make_shared<Head>();
  head->config = config;
  head->highest_layer = config.layer;
  head->returns_scores = true;
  head->check = [config](const HostBatch& batch, const HeadLabels& labels) {
    check_positions(config, batch, labels);
    check_class_labels(config, labels.labels, labels.positions.size(), "position", static_cast<int32_t>(config.classes));
    return count_labels(labels.labels);
  };
  head->logits = [config, classifier](const HeadInput& input, const HeadLabels& labels, std::vector<int64_t>& targets) {
    std::vector<int64_t> tokens;
    targets.clear();
    for (const int64_t row : labelled_rows(labels.labels)) {
      tokens.push_back(labels.positions[row]);
      targets.push_back(labels.labels[row]);
    }
    const at::Tensor states_MH = input.states(config).index_select(0, input.batch.index(tokens));
    return classifier(input.pass, drop(input.pass, states_MH, config.dropout)).to(classifier.weight->master.scalar_type());
  };
  use_cross_entropy(*head);
  return head;
}

}  // namespace strata
