// One number a sequence: w x + b, x the pooled first state; loss (y - w x - b)^2 (Liu et al. 2019, arXiv 1901.11504, equation 7).
#include "core/error.h"
#include "core/heads/pooler.h"

#include <cmath>

namespace strata {

HeadRef make_regressor(const HeadConfig& config, const HeadParts& parts) {
  auto scorer = std::make_shared<PooledScorer>(PooledScorer::create(config, parts, 1));
  auto head = std::make_shared<Head>();
  head->config = config;
  head->highest_layer = config.layer;
  head->chooses_class = false;
  head->returns_scores = true;
  head->check = [config](const HostBatch& batch, const HeadLabels& labels) {
    check_class_labels(config, labels.labels, static_cast<size_t>(batch.sequences()), "sequence", 1);
    check_length(config, "values", labels.values.size(), batch.sequences(), "sequence");
    for (const int64_t row : labelled_rows(labels.labels))
      if (!std::isfinite(labels.values[row]))
        fail("BAD_ARGUMENT", "values[", row, "] of head '", config.name, "' is ", labels.values[row],
             "; a finite number was expected, or label ", kNoLabel, " for no value");
    return count_labels(labels.labels);
  };
  head->logits = [scorer](const HeadInput& input, const HeadLabels& labels, std::vector<int64_t>& targets) {
    const std::vector<int64_t> rows = labelled_rows(labels.labels);
    targets.assign(rows.size(), 0);
    return (*scorer)(input, rows);
  };
  head->loss_of = [](const HeadInput&, const HeadLabels& labels, const at::Tensor& predicted_B1, const std::vector<int64_t>& targets) {
    at::Tensor values = at::empty({predicted_B1.size(0), 1}, at::kFloat);
    float* data = values.mutable_data_ptr<float>();
    for (const int64_t row : labelled_rows(labels.labels)) *data++ = labels.values[row];
    const at::Tensor values_B1 = values.to(predicted_B1.device(), predicted_B1.scalar_type());
    return LossSum{(predicted_B1 - values_B1).square().sum(), static_cast<int64_t>(targets.size())};
  };
  return head;
}

}  // namespace strata
