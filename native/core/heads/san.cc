// Stochastic answer network (Liu et al. 2018, arXiv 1804.07888, as the answer module of Liu et al. 2019, arXiv 1901.11504,
// section 3). A state made of the hypothesis reads the premise K times; each reading gives a distribution, and their mean is the
// answer. Order and dropout are those of the published code: a distribution pairs a state with what that same state has read.
// The hypothesis is segment 0, the premise segment 1, each with its special tokens.
//
// Legend: B labelled sequences, S places of the longest, H hidden size, K steps, C classes. Sequences are padded in here only.
#include "core/error.h"
#include "core/heads/pooler.h"

#include <algorithm>
#include <limits>

namespace strata {
namespace {

// One mask a sequence and feature, shared by all its tokens ("variational"), makes a product with every token the same as one with
// the vector on the other side: the (B, S, H) states themselves are never copied for dropout.
at::Tensor scores_of(const at::Tensor& states_BSH, const at::Tensor& vector_BH) {
  return at::bmm(states_BSH, vector_BH.to(states_BSH.scalar_type()).unsqueeze(2)).squeeze(2).to(vector_BH.scalar_type());
}

// Sum of the states by a softmax over the places that are not `empty`; in the scores' type.
at::Tensor attend(const at::Tensor& states_BSH, const at::Tensor& scores_BS, const at::Tensor& empty_BS) {
  const at::Tensor weights_BS = at::softmax(scores_BS.masked_fill(empty_BS, -std::numeric_limits<double>::infinity()), 1);
  return at::bmm(weights_BS.to(states_BSH.scalar_type()).unsqueeze(1), states_BSH).squeeze(1).to(scores_BS.scalar_type());
}

// The states of one segment's tokens, a row a sequence.
struct Padded {
  at::Tensor states_BSH;
  at::Tensor empty_BS;  // bool: no token here
};

struct San {
  HeadConfig config;
  Linear start;       // (1, H)
  Linear attention;   // (H, H)
  Linear gru_input;   // (3H, H): reset, update, new
  Linear gru_hidden;  // (3H, H)
  Linear classifier;  // (C, 4H)

  at::ScalarType master() const { return classifier.weight->master.scalar_type(); }

  // A product of a (B, n) matrix in the pass's type, back in the master's.
  at::Tensor product(const HeadInput& input, const Linear& layer, const at::Tensor& x_Bn) const {
    return layer(input.pass, x_Bn.to(input.pass.type)).to(master());
  }

  Padded padded(const HeadInput& input, const std::vector<int64_t>& sequences, int32_t segment) const {
    std::vector<std::vector<int64_t>> tokens;
    size_t longest = 0;
    for (const int64_t b : sequences) {
      tokens.emplace_back();
      for (int64_t t = input.batch.offsets[b]; t < input.batch.offsets[b + 1]; ++t)
        if (input.batch.segments[t] == segment) tokens.back().push_back(t);
      longest = std::max(longest, tokens.back().size());
    }
    const auto count = static_cast<int64_t>(sequences.size()), places = static_cast<int64_t>(longest);
    std::vector<int64_t> token_of(sequences.size() * longest, 0);
    at::Tensor empty = at::ones({count, places}, at::kBool);
    bool* empty_data = empty.mutable_data_ptr<bool>();
    for (size_t row = 0; row < tokens.size(); ++row) {
      std::copy(tokens[row].begin(), tokens[row].end(), token_of.begin() + static_cast<int64_t>(row * longest));
      std::fill_n(empty_data + row * longest, tokens[row].size(), false);
    }
    const at::Tensor& states_TH = input.states(config);
    return {states_TH.index_select(0, input.batch.index(token_of)).view({count, places, states_TH.size(1)}), empty.to(input.batch.device)};
  }

  // s0 = sum_j alpha_j d_j over the hypothesis, alpha = softmax(w d_j + b), d the dropped-out states.
  at::Tensor first_state(const HeadInput& input, const Padded& hypothesis) const {
    const int64_t count = hypothesis.states_BSH.size(0), hidden = hypothesis.states_BSH.size(2);
    const at::Tensor mask_BH = drop(input.pass, at::ones({count, hidden}, start.bias->master.options().requires_grad(false)), config.dropout);
    const at::Tensor scores_BS = scores_of(hypothesis.states_BSH, mask_BH * start.weight->master) + start.bias->master;
    return mask_BH * attend(hypothesis.states_BSH, scores_BS, hypothesis.empty_BS);
  }

  // x = sum_j beta_j p_j over the premise, beta = softmax(drop(p_j) (W drop(s) + b)).
  at::Tensor read(const HeadInput& input, const Padded& premise, const at::Tensor& state_BH) const {
    const at::Tensor wanted_BH = product(input, attention, drop(input.pass, state_BH, config.dropout));
    return attend(premise.states_BSH, scores_of(premise.states_BSH, drop(input.pass, wanted_BH, config.dropout)), premise.empty_BS);
  }

  // GRUCell as in torch.
  at::Tensor next_state(const HeadInput& input, const at::Tensor& x_BH, const at::Tensor& state_BH) const {
    const auto from_input = product(input, gru_input, x_BH).chunk(3, 1);
    const auto from_state = product(input, gru_hidden, state_BH).chunk(3, 1);
    const at::Tensor reset = at::sigmoid(from_input[0] + from_state[0]);
    const at::Tensor update = at::sigmoid(from_input[1] + from_state[1]);
    const at::Tensor fresh = at::tanh(from_input[2] + reset * from_state[2]);
    return fresh + update * (state_BH - fresh);
  }

  // (B, K): 0 or 1 / (1 - p); one step a sequence, drawn evenly, is kept for sure.
  at::Tensor step_mask(DropoutPass& dropout, int64_t count, at::Device device) const {
    const double rate = config.prediction_dropout;
    at::Tensor mask_BK = dropout_mask({count, config.steps}, rate, 1 / (1 - rate), dropout.next_site(), at::TensorOptions(at::kFloat));
    const PhiloxKey key = dropout.next_site();
    float* data = mask_BK.mutable_data_ptr<float>();
    for (int64_t b = 0; b < count; ++b) {
      const uint64_t draw = philox4x32(key, static_cast<uint64_t>(b))[0];
      data[b * config.steps + static_cast<int64_t>(draw * static_cast<uint64_t>(config.steps) >> 32)] = static_cast<float>(1 / (1 - rate));
    }
    return mask_BK.to(device, master());
  }

  // log of the mean distribution, (B, C) in the master type. Clamped: a step that is sure of one class gives the others 0.
  at::Tensor scores_BC(const HeadInput& input, const std::vector<int64_t>& sequences) const {
    const Padded premise = padded(input, sequences, 1);
    at::Tensor state_BH = first_state(input, padded(input, sequences, 0));
    std::vector<at::Tensor> distributions;
    for (int64_t step = 0; step < config.steps; ++step) {
      const at::Tensor x_BH = read(input, premise, state_BH);
      const at::Tensor merged = at::cat({x_BH, state_BH, (x_BH - state_BH).abs(), x_BH * state_BH}, 1);
      distributions.push_back(at::softmax(product(input, classifier, drop(input.pass, merged, config.dropout)), 1));
      if (step + 1 < config.steps) state_BH = next_state(input, x_BH, drop(input.pass, state_BH, config.dropout));
    }
    at::Tensor stacked_BKC = at::stack(distributions, 1);
    if (input.pass.dropout && config.prediction_dropout > 0)
      stacked_BKC = stacked_BKC * step_mask(*input.pass.dropout, stacked_BKC.size(0), stacked_BKC.device()).unsqueeze(2);
    return stacked_BKC.mean(1).clamp_min(1e-7).log();
  }
};

void check_segments(const HeadConfig& config, const HostBatch& batch, const HeadLabels& labels) {
  for (const int64_t b : labelled_rows(labels.labels)) {
    bool found[2] = {false, false};
    for (int32_t t = batch.sequence_offsets[b]; t < batch.sequence_offsets[b + 1]; ++t)
      if (batch.segment_ids[t] < 2) found[batch.segment_ids[t]] = true;
    if (!found[0] || !found[1])
      fail("BAD_ARGUMENT", "sequence ", b, " has no token of segment ", found[0] ? 1 : 0, "; head '", config.name,
           "' reads pairs: a hypothesis as segment 0 and a premise as segment 1 were expected");
  }
}

}  // namespace

HeadRef make_san(const HeadConfig& config, const HeadParts& parts) {
  constexpr int64_t kMostSteps = 1000;  // far above any use; each step keeps its states for the backward pass
  check_classes(config);
  check_rate(config, "predictionDropout", config.prediction_dropout);
  if (config.steps < 1 || config.steps > kMostSteps)
    fail("BAD_ARGUMENT", "steps of head '", config.name, "' is ", config.steps, "; 1 to ", kMostSteps, " was expected");
  const int64_t hidden = parts.encoder.config().hidden_size, layer = parts.encoder.config().layers + 1;
  const std::string name = "heads." + config.name;
  auto module = std::make_shared<San>();
  module->config = config;
  module->start = Linear::create(parts.store, name + ".start", hidden, 1, layer);
  module->attention = Linear::create(parts.store, name + ".attention", hidden, hidden, layer);
  module->gru_input = Linear::create(parts.store, name + ".gru.input", hidden, 3 * hidden, layer);
  module->gru_hidden = Linear::create(parts.store, name + ".gru.hidden", hidden, 3 * hidden, layer);
  module->classifier = Linear::create(parts.store, name + ".classifier", 4 * hidden, config.classes, layer);

  auto head = std::make_shared<Head>();
  head->config = config;
  head->highest_layer = config.layer;
  head->returns_scores = true;
  head->check = [config](const HostBatch& batch, const HeadLabels& labels) {
    check_class_labels(config, labels.labels, static_cast<size_t>(batch.sequences()), "sequence", static_cast<int32_t>(config.classes));
    check_segments(config, batch, labels);
    return count_labels(labels.labels);
  };
  head->logits = [module](const HeadInput& input, const HeadLabels& labels, std::vector<int64_t>& targets) {
    const std::vector<int64_t> rows = labelled_rows(labels.labels);
    targets.clear();
    for (const int64_t row : rows) targets.push_back(labels.labels[row]);
    return module->scores_BC(input, rows);
  };
  use_cross_entropy(*head);
  return head;
}

}  // namespace strata
