// Bigram shift: were two neighbouring words swapped? Named as a pre-training task by Aksoy et al. 2020 (arXiv 2011.04451); the
// sentence-level definition is SentEval's probe (Conneau et al. 2018). Level, place and reading are our choice.
#include "core/error.h"
#include "core/heads/head.h"

#include <algorithm>

namespace strata {
namespace {

struct BigramShift {
  HeadConfig config;
  Linear classifier;

  // (S, H): mean of each labelled span's states, or the first state of its sequence.
  at::Tensor span_states(const HeadInput& input, const HeadLabels& labels, const std::vector<int64_t>& spans) const {
    const at::Tensor& hidden_TH = input.states(config);
    std::vector<int64_t> tokens, span_of;
    if (config.read == "cls") {
      for (const int64_t s : spans) tokens.push_back(input.batch.offsets[input.batch.sequence_of[labels.span_starts[s]]]);
      return hidden_TH.index_select(0, input.batch.index(tokens));
    }
    at::Tensor lengths = at::empty({static_cast<int64_t>(spans.size()), 1}, at::kFloat);
    float* length_data = lengths.mutable_data_ptr<float>();
    for (size_t i = 0; i < spans.size(); ++i) {
      for (int32_t t = labels.span_starts[spans[i]]; t < labels.span_ends[spans[i]]; ++t) {
        tokens.push_back(t);
        span_of.push_back(static_cast<int64_t>(i));
      }
      length_data[i] = static_cast<float>(labels.span_ends[spans[i]] - labels.span_starts[spans[i]]);
    }
    const at::ScalarType type = classifier.weight->master.scalar_type();
    const at::Tensor states = hidden_TH.index_select(0, input.batch.index(tokens)).to(type);
    const at::Tensor sums = at::zeros({static_cast<int64_t>(spans.size()), hidden_TH.size(1)}, states.options().requires_grad(false))
                                .index_add(0, input.batch.index(span_of), states);
    return (sums / lengths.to(sums.device(), type)).to(input.pass.type);
  }

  at::Tensor labelled(const HeadInput& input, const HeadLabels& labels, std::vector<int64_t>& targets) const {
    std::vector<int64_t> rows;
    targets.clear();
    for (size_t i = 0; i < labels.labels.size(); ++i) {
      if (labels.labels[i] == kNoLabel) continue;
      rows.push_back(config.level == "token" ? labels.positions[i] : static_cast<int64_t>(i));
      targets.push_back(labels.labels[i]);
    }
    const at::Tensor states = config.level == "token" ? input.states(config).index_select(0, input.batch.index(rows))
                                                      : span_states(input, labels, rows);
    return classifier(input.pass, states).to(classifier.weight->master.scalar_type());
  }
};

void check_spans(const HeadConfig& config, const HostBatch& batch, const HeadLabels& labels) {
  if (labels.span_ends.size() != labels.span_starts.size())
    fail("BAD_ARGUMENT", "spanEnds of head '", config.name, "' has ", labels.span_ends.size(), " entries, spanStarts ",
         labels.span_starts.size(), "; equal lengths were expected");
  for (size_t i = 0; i < labels.span_starts.size(); ++i) {
    const int32_t start = labels.span_starts[i], end = labels.span_ends[i];
    const auto next = std::upper_bound(batch.sequence_offsets.begin(), batch.sequence_offsets.end(), start);
    if (start < 0 || end <= start || next == batch.sequence_offsets.end() || end > *next)
      fail("BAD_ARGUMENT", "span ", i, " of head '", config.name, "' is [", start, ", ", end,
           "); a non-empty span within one sequence was expected");
  }
}

}  // namespace

HeadRef make_bigram_shift(const HeadConfig& config, const HeadParts& parts) {
  if (config.level != "sentence" && config.level != "token")
    fail("BAD_ARGUMENT", "level of head '", config.name, "' is '", config.level, "'; sentence or token was expected");
  if (config.level == "sentence" && !config.read.empty() && config.read != "mean" && config.read != "cls")
    fail("BAD_ARGUMENT", "read of head '", config.name, "' is '", config.read, "'; mean or cls was expected");
  auto module = std::make_shared<BigramShift>();
  module->config = config;
  module->classifier = Linear::create(parts.store, "heads." + config.name + ".classifier", parts.encoder.config().hidden_size, 2,
                                      parts.encoder.config().layers + 1);
  auto head = std::make_shared<Head>();
  head->config = config;
  head->highest_layer = config.layer;
  head->check = [config](const HostBatch& batch, const HeadLabels& labels) {
    if (config.level == "token") {
      check_positions(config, batch, labels);
      check_class_labels(config, labels.labels, labels.positions.size(), "position", 2);
    } else {
      check_spans(config, batch, labels);
      check_class_labels(config, labels.labels, labels.span_starts.size(), "span", 2);
    }
    return count_labels(labels.labels);
  };
  head->logits = [module](const HeadInput& input, const HeadLabels& labels, std::vector<int64_t>& targets) {
    return module->labelled(input, labels, targets);
  };
  use_cross_entropy(*head);
  head->returns_scores = true;
  return head;
}

}  // namespace strata
