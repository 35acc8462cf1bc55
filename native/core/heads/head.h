#pragma once
// A head is a task's own module on a tap. Each kind has one file; registry.cc maps a kind's name to its factory.
#include "core/batch.h"
#include "core/config.h"
#include "core/encoder/encoder.h"
#include "core/encoder/scalar_mix.h"
#include "core/layers.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace strata {

struct AgreementStates;
class Agreements;

// What a head sees of one forward pass.
class HeadInput {
 public:
  // hidden: by layer, (T, H) each.
  HeadInput(const ForwardPass& pass, const PackedBatch& batch, const std::vector<at::Tensor>& hidden,
            const std::map<std::string, ScalarMix>& mixes, const AgreementStates* agreements)
      : pass(pass), batch(batch), agreements(agreements), hidden_(hidden), mixes_(mixes) {}

  const ForwardPass& pass;
  const PackedBatch& batch;
  const AgreementStates* agreements;  // null in a model without
  // What the head's tap reads: a layer or a mix, (T, H). A mix that several heads read is made once.
  const at::Tensor& states(const HeadConfig& head) const;

 private:
  const std::vector<at::Tensor>& hidden_;
  const std::map<std::string, ScalarMix>& mixes_;
  mutable std::map<std::string, at::Tensor> mixed_;
};

struct LossSum {
  at::Tensor sum;  // scalar in the master type
  int64_t count = 0;
};

struct Head {
  HeadConfig config;
  // The highest layer that this head reads, transfers included; -1: none, not even the embeddings.
  int64_t highest_layer = 0;
  // Checks labels against the batch on the host; throws BAD_ARGUMENT. Returns how many labels count in the loss.
  std::function<int64_t(const HostBatch&, const HeadLabels&)> check;
  // Scores of the labelled places: (labels, classes), in the master type, but where reads_narrow_logits. `targets` gets the class of each row.
  std::function<at::Tensor(const HeadInput&, const HeadLabels&, std::vector<int64_t>& targets)> logits;
  // Sum of the labelled places' losses, out of their scores.
  std::function<LossSum(const HeadInput&, const HeadLabels&, const at::Tensor& logits, const std::vector<int64_t>& targets)> loss_of;
  // Whether a row of scores chooses one of its columns; evaluation counts hits then.
  bool chooses_class = true;
  // Whether a column is the same class in every batch; evaluation counts a confusion of few classes then.
  bool columns_are_classes = true;
  // Whether evaluation hands the scores out; not those of a vocabulary.
  bool returns_scores = false;
  // What evaluation hands out in place of `logits`, (rows, columns); empty: the scores themselves.
  std::function<at::Tensor(const HeadInput&, const HeadLabels&)> answers;
  // A vector a sequence that other heads may read, (B, H); only next-sentence heads have one.
  std::function<at::Tensor(const HeadInput&)> pooled;
  // (B, 2) probabilities belonging to `pooled`.
  std::function<at::Tensor(const HeadInput&, const at::Tensor& pooled_BH)> pooled_probabilities;
};
using HeadRef = std::shared_ptr<Head>;

struct HeadParts {
  ParameterStore& store;
  const Encoder& encoder;
  // The submodels of the model, or null.
  const Agreements* agreements;
  // Heads made before this one, by name.
  const std::map<std::string, HeadRef>& earlier;
  // The pooler of all heads whose `pooler` is `shared`; made by the first of them.
  std::shared_ptr<Linear>& shared_pooler;
};

HeadRef make_masked_lm(const HeadConfig& config, const HeadParts& parts);
HeadRef make_next_sentence(const HeadConfig& config, const HeadParts& parts);
HeadRef make_bigram_shift(const HeadConfig& config, const HeadParts& parts);
HeadRef make_classifier(const HeadConfig& config, const HeadParts& parts);
HeadRef make_regressor(const HeadConfig& config, const HeadParts& parts);
HeadRef make_san(const HeadConfig& config, const HeadParts& parts);
HeadRef make_ranker(const HeadConfig& config, const HeadParts& parts);
HeadRef make_span(const HeadConfig& config, const HeadParts& parts);
HeadRef make_tagger(const HeadConfig& config, const HeadParts& parts);
HeadRef make_parser(const HeadConfig& config, const HeadParts& parts);
HeadRef make_agreement(const HeadConfig& config, const HeadParts& parts);

// By config.kind; throws UNSUPPORTED for an unknown one.
HeadRef make_head(const HeadConfig& config, const HeadParts& parts);

// Whether cross_entropy_sum reads these logits in bf16 as they are (fast kernels, training); it is given the master type else.
bool reads_narrow_logits(const ForwardPass& pass, const at::Tensor& logits_NC);

// Sum of -log softmax(logits)[target] over rows. With fast kernels the gradient takes the logits' place: at once, or backwards if they are
// narrow.
at::Tensor cross_entropy_sum(const ForwardPass& pass, const at::Tensor& logits_NC, const at::Tensor& targets_N,
                             const std::vector<int64_t>& targets);

// head.loss_of for every head that chooses among classes.
void use_cross_entropy(Head& head);

// Scores begin to end, exclusive, compete in one softmax; target is the place of the right one.
struct Segment {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t target = 0;
};

// Sum over segments of -log softmax(scores of the segment)[target]. Segments are padded in here only.
at::Tensor segment_cross_entropy_sum(const PackedBatch& batch, const at::Tensor& scores_N, const std::vector<Segment>& segments);

// Shared checks of label arrays.
int64_t count_labels(const std::vector<int32_t>& labels);  // without kNoLabel
std::vector<int64_t> labelled_rows(const std::vector<int32_t>& labels);
void check_length(const HeadConfig& head, const char* field, size_t length, int64_t expected, const char* unit);
void check_class_labels(const HeadConfig& head, const std::vector<int32_t>& labels, size_t expected, const char* unit, int32_t classes);
void check_positions(const HeadConfig& head, const HostBatch& batch, const HeadLabels& labels);

// Checks of a task head's own switches.
void check_classes(const HeadConfig& head);
void check_rate(const HeadConfig& head, const char* field, double rate);

}  // namespace strata
