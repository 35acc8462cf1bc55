// Classes of a sequence: softmax(W x + b), x the pooled first state (Liu et al. 2019, arXiv 1901.11504, equation 6).
#include "core/heads/pooler.h"

namespace strata {

HeadRef make_classifier(const HeadConfig& config, const HeadParts& parts) {
  check_classes(config);
  auto scorer = std::make_shared<PooledScorer>(PooledScorer::create(config, parts, config.classes));
  auto head = std::make_shared<Head>();
  head->config = config;
  head->highest_layer = config.layer;
  head->returns_scores = true;
  head->check = [config](const HostBatch& batch, const HeadLabels& labels) {
    check_class_labels(config, labels.labels, static_cast<size_t>(batch.sequences()), "sequence", static_cast<int32_t>(config.classes));
    return count_labels(labels.labels);
  };
  head->logits = [scorer](const HeadInput& input, const HeadLabels& labels, std::vector<int64_t>& targets) {
    const std::vector<int64_t> rows = labelled_rows(labels.labels);
    targets.clear();
    for (const int64_t row : rows) targets.push_back(labels.labels[row]);
    return (*scorer)(input, rows);
  };
  use_cross_entropy(*head);
  return head;
}

}  // namespace strata
