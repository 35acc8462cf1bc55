// To which chunk of its sentence a chunk stands in one relation, or that it does in none (core/agreements/agreements.h): cross-entropy
// of each labelled chunk over its candidates. The scores are the submodel's own; this head has no parameters and reads no layer.
#include "core/agreements/agreements.h"
#include "core/error.h"
#include "core/heads/head.h"

namespace strata {
namespace {

void check_targets(const HeadConfig& config, const HostBatch& batch, const HeadLabels& labels) {
  const SentenceBounds bounds(batch.chunks->sentences);
  check_length(config, "labels", labels.labels.size(), static_cast<int64_t>(bounds.begin.size()), "chunk");
  for (size_t c = 0; c < labels.labels.size(); ++c) {
    const int64_t target = labels.labels[c];
    if (target == kNoLabel || target == -1) continue;
    if (target < bounds.begin[c] || target >= bounds.end[c] || target == static_cast<int64_t>(c))
      fail("BAD_ARGUMENT", "labels[", c, "] of head '", config.name, "' is ", target, "; another chunk of its sentence (", bounds.begin[c], " to ",
           bounds.end[c] - 1, "), -1 (none) or ", kNoLabel, " (no label) was expected");
  }
}

}  // namespace

HeadRef make_agreement(const HeadConfig& config, const HeadParts& parts) {
  if (!parts.agreements)
    fail("BAD_ARGUMENT", "head '", config.name, "' trains the relation '", config.relation, "'; the model has no agreements");
  if (!parts.agreements->knows(config.relation)) {
    std::string known;
    for (const std::string& relation : parts.agreements->config().relations) known += (known.empty() ? "" : ", ") + relation;
    fail("BAD_ARGUMENT", "head '", config.name, "' trains the relation '", config.relation, "'; one of ", known, " was expected");
  }
  auto head = std::make_shared<Head>();
  head->config = config;
  head->highest_layer = -1;
  head->columns_are_classes = false;
  head->check = [config](const HostBatch& batch, const HeadLabels& labels) {
    check_targets(config, batch, labels);
    return count_labels(labels.labels);
  };
  head->logits = [config](const HeadInput& input, const HeadLabels& labels, std::vector<int64_t>& targets) {
    const ChunkLayout& layout = *input.agreements->layout;
    const std::vector<int64_t> chunks = labelled_rows(labels.labels);
    targets.clear();
    for (const int64_t chunk : chunks) {
      const int64_t target = labels.labels[chunk];
      targets.push_back(target < 0 ? layout.longest : target - layout.bounds.begin[chunk]);
    }
    return agreement_scores(*input.agreements, config.relation, input.batch.index(chunks));
  };
  use_cross_entropy(*head);
  return head;
}

}  // namespace strata
