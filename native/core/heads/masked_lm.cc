// Masked language modelling (Devlin et al. 2018, section 3.1): transform, then the word embeddings as decoder plus a bias.
// Logits are made at the labelled positions only. Crammed BERT (arXiv 2212.14034) decodes states as they are: no transform, no bias.
// The transfer of next-sentence information into the transform is our design for Aksoy et al. 2020 (arXiv 2011.04451), whose own
// way is not public.
#include "core/error.h"
#include "core/heads/head.h"

namespace strata {
namespace {

struct Rows {
  std::vector<int64_t> positions;
  std::vector<int64_t> targets;
  std::vector<int64_t> sequences;
};

Rows labelled_rows(const PackedBatch& batch, const HeadLabels& labels) {
  Rows rows;
  for (size_t i = 0; i < labels.labels.size(); ++i) {
    if (labels.labels[i] == kNoLabel) continue;
    rows.positions.push_back(labels.positions[i]);
    rows.targets.push_back(labels.labels[i]);
    rows.sequences.push_back(batch.sequence_of[static_cast<size_t>(labels.positions[i])]);
  }
  return rows;
}

struct MaskedLm {
  HeadConfig config;
  std::string activation;
  HeadRef source;  // of the transfer; null without one
  Linear transform;
  LayerNorm norm;
  ParameterRef decoder;           // (V, H), the word embeddings
  ParameterRef bias;              // (V), or null without a transform
  ParameterRef transfer_weight;   // add: (H, H)
  ParameterRef transfer_labels;   // label: (2, H)

  // What the transform reads for each labelled token: (M, H), or (M, 2H) when something stands beside the state.
  at::Tensor transform_input(const HeadInput& input, const Rows& rows) const {
    const at::Tensor state_MH = input.states(config).index_select(0, input.batch.index(rows.positions));
    if (!source) return state_MH;
    at::Tensor pooled_BH = source->pooled(input);
    if (config.transfer->stop_gradient) pooled_BH = pooled_BH.detach();
    const at::Tensor sequence_M = input.batch.index(rows.sequences);
    if (config.transfer->mode == "concat") return at::cat({state_MH, pooled_BH.index_select(0, sequence_M)}, 1);
    if (config.transfer->mode == "add") {
      const at::Tensor moved_BH = pooled_BH.matmul(transfer_weight->master.to(input.pass.type).t());
      return state_MH + moved_BH.index_select(0, sequence_M);
    }
    at::Tensor probabilities_B2 = source->pooled_probabilities(input, pooled_BH);
    if (config.transfer->stop_gradient) probabilities_B2 = probabilities_B2.detach();
    const at::Tensor label_BH = probabilities_B2.matmul(transfer_labels->master).to(input.pass.type);
    return at::cat({state_MH, label_BH.index_select(0, sequence_M)}, 1);
  }

  at::Tensor logits_MV(const HeadInput& input, const Rows& rows) const {
    const at::Tensor logits = linear(input.pass, config.transform ? transformed(input, rows) : transform_input(input, rows), decoder, bias);
    // The largest matrix of a step: in training the loss reads it as it is.
    return reads_narrow_logits(input.pass, logits) ? logits : logits.to(decoder->master.scalar_type());
  }

  at::Tensor transformed(const HeadInput& input, const Rows& rows) const {
    return norm(input.pass, activate(activation, transform(input.pass, transform_input(input, rows))));
  }
};

}  // namespace

HeadRef make_masked_lm(const HeadConfig& config, const HeadParts& parts) {
  const EncoderConfig& encoder = parts.encoder.config();
  const int64_t hidden = encoder.hidden_size, layer = encoder.layers + 1;
  const std::string name = "heads." + config.name;
  auto module = std::make_shared<MaskedLm>();
  module->config = config;
  module->activation = encoder.activation;
  module->decoder = parts.encoder.words();
  bool beside = false;
  if (config.transfer) {
    if (!config.transform)
      fail("BAD_ARGUMENT", "head '", config.name, "' has a transfer and no transform that could take it; transform: true was expected");
    const auto found = parts.earlier.find(config.transfer->from);
    if (found == parts.earlier.end() || !found->second->pooled)
      fail("BAD_ARGUMENT", "head '", config.name, "' takes a transfer from '", config.transfer->from,
           "', which is no next-sentence head of this model");
    module->source = found->second;
    if (module->source->config.layer > config.layer)
      fail("BAD_ARGUMENT", "head '", config.name, "' at layer ", config.layer, " takes a transfer from '", config.transfer->from,
           "' at layer ", module->source->config.layer, "; a layer not above its own was expected");
    const std::string& mode = config.transfer->mode;
    if (mode != "concat" && mode != "add" && mode != "label")
      fail("BAD_ARGUMENT", "transfer mode of head '", config.name, "' is '", mode, "'; concat, add or label was expected");
    beside = mode != "add";
    // Starts at zero, so that the first step equals the one without a transfer; what it is multiplied with is drawn.
    if (mode == "add") module->transfer_weight = parts.store.create(name + ".transfer.weight", {hidden, hidden}, Init::zeros, true, layer);
    if (mode == "label") module->transfer_labels = parts.store.create(name + ".transfer.labels", {2, hidden}, Init::normal, true, layer);
  }
  if (config.transform) {
    module->transform = Linear::create(parts.store, name + ".transform.dense", beside ? 2 * hidden : hidden, hidden, layer);
    if (beside) {
      // Left block: the very draw of a head without transfer. Right block: zero.
      at::NoGradGuard no_grad;
      at::Tensor weight = module->transform.weight->master;
      at::Tensor left = at::empty({hidden, hidden}, weight.options().requires_grad(false));
      parts.store.draw(module->transform.weight->name, left, Init::normal);
      weight.zero_();
      weight.narrow(1, 0, hidden).copy_(left);
    }
    module->norm = LayerNorm::create(parts.store, name + ".transform.LayerNorm", hidden, encoder.layer_norm_epsilon, layer);
    module->bias = parts.store.create(name + ".bias", {encoder.vocab_size}, Init::zeros, false, layer);
  }

  auto head = std::make_shared<Head>();
  head->config = config;
  head->highest_layer = config.layer;  // a transfer comes from no higher one
  const auto classes = static_cast<int32_t>(encoder.vocab_size);
  head->check = [config, classes](const HostBatch& batch, const HeadLabels& labels) {
    check_positions(config, batch, labels);
    check_class_labels(config, labels.labels, labels.positions.size(), "position", classes);
    return count_labels(labels.labels);
  };
  head->logits = [module](const HeadInput& input, const HeadLabels& labels, std::vector<int64_t>& targets) {
    Rows rows = labelled_rows(input.batch, labels);
    targets = rows.targets;
    return module->logits_MV(input, rows);
  };
  use_cross_entropy(*head);
  return head;
}

}  // namespace strata
