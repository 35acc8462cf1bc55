#include "core/inference/questions.h"

#include "core/error.h"
#include "core/training/model.h"

#include <algorithm>
#include <map>
#include <numeric>

namespace strata {
namespace {

void check_sequences(const std::vector<int32_t>& sequences, const HostBatch& host) {
  if (sequences.empty()) fail("BAD_ARGUMENT", "a question's sequences are empty; at least one was expected");
  for (const int32_t b : sequences)
    if (b < 0 || b >= host.sequences())
      fail("BAD_ARGUMENT", "a question is about sequence ", b, "; 0 to ", host.sequences() - 1, " was expected");
}

// The batch of some of its sequences, in their order; without labels and chunks.
HostBatch chosen_sequences(const HostBatch& batch, const std::vector<int32_t>& sequences) {
  HostBatch chosen;
  chosen.sequence_offsets.push_back(0);
  for (const int32_t b : sequences) {
    const auto begin = batch.sequence_offsets[b], end = batch.sequence_offsets[b + 1];
    chosen.token_ids.insert(chosen.token_ids.end(), batch.token_ids.begin() + begin, batch.token_ids.begin() + end);
    chosen.segment_ids.insert(chosen.segment_ids.end(), batch.segment_ids.begin() + begin, batch.segment_ids.begin() + end);
    chosen.sequence_offsets.push_back(static_cast<int32_t>(chosen.tokens()));
  }
  return chosen;
}

}  // namespace

// Some sequences of a pass as a batch of their own. The states of a layer are taken out when they are first asked for.
struct Model::Part {
  Part(const ForwardPass& pass, const HostBatch& host, const std::vector<int32_t>& sequences, const PackedBatch& all,
       const std::vector<at::Tensor>& states, const std::map<std::string, ScalarMix>& mixes)
      : batch(chosen_sequences(host, sequences), all.device), hidden(states.size()), input(pass, batch, hidden, mixes, nullptr), states_(states) {
    std::vector<int32_t> every(static_cast<size_t>(all.sequences()));
    std::iota(every.begin(), every.end(), 0);
    if (sequences == every) return;
    std::vector<int64_t> tokens;
    for (const int32_t b : sequences)
      for (int64_t t = all.offsets[b]; t < all.offsets[b + 1]; ++t) tokens.push_back(t);
    tokens_ = all.index(tokens);
  }
  Part(const Part&) = delete;

  const at::Tensor& state(int64_t layer) {
    at::Tensor& state = hidden[static_cast<size_t>(layer)];
    if (!state.defined()) {
      const at::Tensor& all = states_[static_cast<size_t>(layer)];
      state = tokens_.defined() ? all.index_select(0, tokens_) : all;
    }
    return state;
  }

  void read_for(const Head& head) {
    if (head.config.mix.empty()) state(head.config.layer);
    if (head.config.mix.empty() && !head.config.transfer) return;
    for (int64_t layer = 0; layer <= head.highest_layer; ++layer) state(layer);
  }

  const PackedBatch batch;
  std::vector<at::Tensor> hidden;  // by layer
  const HeadInput input;

 private:
  const std::vector<at::Tensor>& states_;  // of the pass, by layer
  at::Tensor tokens_;                      // of the pass; undefined: all, in their order
};

int64_t Model::depth_of(const Question& question, const HostBatch& host) const {
  if (const auto* vectors = std::get_if<VectorsQuestion>(&question.asked)) return check_layer(vectors->layer);
  if (const auto* states = std::get_if<StatesQuestion>(&question.asked)) {
    int64_t highest = 0;
    for (const int64_t layer : states->layers) highest = std::max(highest, check_layer(layer));
    return highest;
  }
  const auto* masks = std::get_if<MasksQuestion>(&question.asked);
  const auto* scores = std::get_if<ScoresQuestion>(&question.asked);
  const Head& head = find_head(masks ? masks->head : scores->head);
  if (head.highest_layer < 0) fail("UNSUPPORTED", "head '", head.config.name, "' reads no layer of the encoder; a head on a layer was expected");
  const HeadLabels labels = masks ? masked_labels(*masks) : scores->labels;
  if (head.check(chosen_sequences(host, question.sequences), labels) == 0)
    fail("BAD_ARGUMENT", "a question to head '", head.config.name, "' has no label; labels say where it is to read");
  return std::max(head.highest_layer, masks ? masks->layer.value_or(-1) : -1);
}

Answer Model::answer_of(const Question& question, Part& part) const {
  const at::ScalarType master = master_type(store_.precision());
  const ForwardPass& pass = part.input.pass;
  if (const auto* vectors = std::get_if<VectorsQuestion>(&question.asked))
    return {pooled_states(pass, part.state(vectors->layer).to(master), part.batch.offsets, vectors->pooling, vectors->normalize)};
  if (const auto* states = std::get_if<StatesQuestion>(&question.asked)) {
    Answer answer;
    for (const int64_t layer : states->layers) answer.push_back(part.state(layer).to(at::kCPU, master).contiguous());
    return answer;
  }
  if (const auto* scores = std::get_if<ScoresQuestion>(&question.asked)) {
    const Head& head = find_head(scores->head);
    part.read_for(head);
    return {scores_of(head, part.input, scores->labels)};
  }
  const auto& masks = std::get<MasksQuestion>(question.asked);
  const Head& head = find_head(masks.head);
  part.read_for(head);
  std::vector<at::Tensor> hidden = part.hidden;
  if (masks.layer) hidden[static_cast<size_t>(head.config.layer)] = part.state(*masks.layer);
  const HeadInput input(pass, part.batch, hidden, mixes_, nullptr);
  const MaskedPrediction prediction = most_probable(scores_of(head, input, masked_labels(masks)), masks.top);
  return {prediction.token_ids_MK, prediction.probabilities_MK};
}

std::vector<Answer> Model::answer(const HostBatch& host, const std::vector<Question>& questions) const {
  check(host);
  int64_t highest = 0;
  for (const Question& question : questions) {
    check_sequences(question.sequences, host);
    highest = std::max(highest, depth_of(question, host));
  }
  const at::NoGradGuard no_grad;
  const PackedBatch batch(host, store_.device());
  const ForwardPass pass = evaluation_pass();
  const States below = states(pass, batch, host, highest);
  std::map<std::vector<int32_t>, Part> parts;  // several heads may ask about the same sequences
  std::vector<Answer> answers;
  for (const Question& question : questions) {
    const auto [part, made] = parts.try_emplace(question.sequences, pass, host, question.sequences, batch, below.hidden, mixes_);
    answers.push_back(answer_of(question, part->second));
  }
  return answers;
}

}  // namespace strata
