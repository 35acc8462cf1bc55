// Next-sentence prediction (Devlin et al. 2018, section 3.1): tanh pooler on the first state, then two classes. Reading the mean of a
// sequence's states instead is our choice for encoders whose [CLS] says nothing at the tapped layer.
// Label 0: the second segment follows the first; 1: it is random (the convention of transformers).
#include "core/error.h"
#include "core/heads/head.h"

namespace strata {
namespace {

struct NextSentence {
  HeadConfig config;
  Linear pooler;
  Linear classifier;

  // Each sequence's [CLS] state, or the mean of its states, (B, H).
  at::Tensor read_BH(const HeadInput& input) const {
    const at::Tensor& hidden_TH = input.states(config);
    if (config.read == "cls") {
      const std::vector<int64_t> first(input.batch.offsets.begin(), input.batch.offsets.end() - 1);
      return hidden_TH.index_select(0, input.batch.index(first));
    }
    const int64_t sequences = input.batch.sequences();
    at::Tensor lengths_B1 = at::empty({sequences, 1}, at::kFloat);
    float* lengths = lengths_B1.mutable_data_ptr<float>();
    for (int64_t b = 0; b < sequences; ++b) lengths[b] = static_cast<float>(input.batch.offsets[b + 1] - input.batch.offsets[b]);
    const at::Tensor states = hidden_TH.to(classifier.weight->master.scalar_type());
    const at::Tensor sums = at::zeros({sequences, hidden_TH.size(1)}, states.options().requires_grad(false))
                                .index_add(0, input.batch.index(input.batch.sequence_of), states);
    return (sums / lengths_B1.to(sums.device(), sums.scalar_type())).to(input.pass.type);
  }
  at::Tensor pooled_BH(const HeadInput& input) const { return at::tanh(pooler(input.pass, read_BH(input))); }
  at::Tensor logits_B2(const HeadInput& input, const at::Tensor& pooled_BH) const {
    return classifier(input.pass, pooled_BH).to(classifier.weight->master.scalar_type());
  }
  at::Tensor labelled(const HeadInput& input, const HeadLabels& labels, std::vector<int64_t>& targets) const {
    std::vector<int64_t> rows;
    targets.clear();
    for (size_t b = 0; b < labels.labels.size(); ++b) {
      if (labels.labels[b] == kNoLabel) continue;
      rows.push_back(static_cast<int64_t>(b));
      targets.push_back(labels.labels[b]);
    }
    return logits_B2(input, pooled_BH(input)).index_select(0, input.batch.index(rows));
  }
};

}  // namespace

HeadRef make_next_sentence(const HeadConfig& config, const HeadParts& parts) {
  const EncoderConfig& encoder = parts.encoder.config();
  const std::string name = "heads." + config.name;
  auto module = std::make_shared<NextSentence>();
  module->config = config;
  if (config.read.empty()) module->config.read = "cls";
  if (module->config.read != "cls" && module->config.read != "mean")
    fail("BAD_ARGUMENT", "read of head '", config.name, "' is '", config.read, "'; cls or mean was expected");
  module->pooler = Linear::create(parts.store, name + ".pooler", encoder.hidden_size, encoder.hidden_size, encoder.layers + 1);
  module->classifier = Linear::create(parts.store, name + ".classifier", encoder.hidden_size, 2, encoder.layers + 1);

  auto head = std::make_shared<Head>();
  head->config = config;
  head->highest_layer = config.layer;
  head->check = [config](const HostBatch& batch, const HeadLabels& labels) {
    check_class_labels(config, labels.labels, static_cast<size_t>(batch.sequences()), "sequence", 2);
    return count_labels(labels.labels);
  };
  head->logits = [module](const HeadInput& input, const HeadLabels& labels, std::vector<int64_t>& targets) {
    return module->labelled(input, labels, targets);
  };
  use_cross_entropy(*head);
  head->returns_scores = true;
  head->pooled = [module](const HeadInput& input) { return module->pooled_BH(input); };
  head->pooled_probabilities = [module](const HeadInput& input, const at::Tensor& pooled_BH) {
    return at::softmax(module->logits_B2(input, pooled_BH), -1);
  };
  return head;
}

}  // namespace strata
