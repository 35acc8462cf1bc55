// Start and end of an answer (Devlin et al. 2018, section 4.2): two scores a token, each a softmax over the tokens of its own
// sequence. "No answer" is the first token (section 4.3). The loss is the mean of both cross-entropies.
#include "core/error.h"
#include "core/heads/pooler.h"

namespace strata {
namespace {

void check_answers(const HeadConfig& config, const HostBatch& batch, const HeadLabels& labels) {
  check_length(config, "spanStarts", labels.span_starts.size(), batch.sequences(), "sequence");
  check_length(config, "spanEnds", labels.span_ends.size(), batch.sequences(), "sequence");
  for (const int64_t b : labelled_rows(labels.labels)) {
    const int32_t first = batch.sequence_offsets[b], last = batch.sequence_offsets[b + 1];
    const int32_t start = labels.span_starts[b], end = labels.span_ends[b];
    if (start < first || end <= start || end > last)
      fail("BAD_ARGUMENT", "spanStarts[", b, "] and spanEnds[", b, "] of head '", config.name, "' are [", start, ", ", end,
           "); a non-empty span within its sequence [", first, ", ", last, ") was expected");
  }
}

}  // namespace

HeadRef make_span(const HeadConfig& config, const HeadParts& parts) {
  const EncoderConfig& encoder = parts.encoder.config();
  const Linear classifier = Linear::create(parts.store, "heads." + config.name + ".classifier", encoder.hidden_size, 2, encoder.layers + 1);
  auto head = std::make_shared<Head>();
  head->config = config;
  head->highest_layer = config.layer;
  head->chooses_class = false;
  head->returns_scores = true;
  head->check = [config](const HostBatch& batch, const HeadLabels& labels) {
    check_class_labels(config, labels.labels, static_cast<size_t>(batch.sequences()), "sequence", 1);
    check_answers(config, batch, labels);
    return count_labels(labels.labels);
  };
  head->logits = [config, classifier](const HeadInput& input, const HeadLabels&, std::vector<int64_t>& targets) {
    targets.clear();
    return classifier(input.pass, drop(input.pass, input.states(config), config.dropout)).to(classifier.weight->master.scalar_type());
  };
  head->loss_of = [](const HeadInput& input, const HeadLabels& labels, const at::Tensor& logits_T2, const std::vector<int64_t>&) {
    const std::vector<int64_t> rows = labelled_rows(labels.labels);
    const int64_t tokens = input.batch.tokens();
    std::vector<Segment> segments;
    for (const int64_t b : rows) {
      const int64_t first = input.batch.offsets[b], last = input.batch.offsets[b + 1];
      segments.push_back({first, last, labels.span_starts[b]});
      segments.push_back({tokens + first, tokens + last, tokens + labels.span_ends[b] - 1});
    }
    const at::Tensor both = segment_cross_entropy_sum(input.batch, logits_T2.t().reshape(-1), segments);
    return LossSum{both * 0.5, static_cast<int64_t>(rows.size())};
  };
  return head;
}

}  // namespace strata
