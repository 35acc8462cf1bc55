#pragma once
// An encoder with its heads, and what can be done with one packed batch: a training step, an evaluation, a look inside.
#include "core/adapters/adapter.h"
#include "core/agreements/agreements.h"
#include "core/analysis/attention_statistics.h"
#include "core/batch.h"
#include "core/config.h"
#include "core/dropout.h"
#include "core/encoder/encoder.h"
#include "core/heads/head.h"
#include "core/inference/questions.h"
#include "core/parameters.h"
#include "core/pruning/pruning.h"
#include "core/storage/tensor_file.h"

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace strata {

struct HeadLoss {
  std::string head;
  at::Tensor sum;  // scalar on the device
  int64_t count = 0;
};

struct HeadEvaluation {
  std::string head;
  double loss_sum = 0;
  int64_t count = 0;
  int64_t correct = 0;
  std::vector<int64_t> confusion;  // [label * classes + prediction] for heads of at most 16 classes
  at::Tensor scores;               // on the host; undefined unless the head returns them
};

// What a model is made for. One that only answers has no gradients and uses its weights as it likes them best (core/inference/).
struct ModelUse {
  bool inference = false;
  bool int8 = false;   // linear layers of the blocks; for inference on the CPU
  bool drawn = true;   // false: all matrices will be loaded
};

struct MaskedPrediction {
  at::Tensor token_ids_MK;      // int32
  at::Tensor probabilities_MK;  // float
};

class Model {
 public:
  Model(const ModelConfig& config, Precision precision, at::Device device, uint64_t seed, Kernels kernels, ModelUse use = {});

  // Forward to the highest layer any labelled head needs, weighted losses, backward; gradients add up. A head's loss is
  // weight * sum / divisor; the divisor defaults to the head's own count.
  // The masks of dropout follow from `dropout` alone.
  std::vector<HeadLoss> step(const HostBatch& batch, const std::map<std::string, double>& divisors, DropoutState dropout);
  std::vector<HeadEvaluation> evaluate(const HostBatch& batch) const;
  // (T, H) each, on the host in the master type.
  std::vector<at::Tensor> hidden_states(const HostBatch& batch, const std::vector<int64_t>& layers) const;
  // `separator`: a token id; -1 = none.
  AttentionStatistics attention_statistics(const HostBatch& batch, int64_t separator) const;
  // (B, H) float on the host.
  at::Tensor embed(const HostBatch& batch, int64_t layer, Pooling pooling, bool normalize) const;
  // `layer`: whose states stand in for those of the head's own layer; without it, its own.
  MaskedPrediction predict_masked(const HostBatch& batch, const std::string& head, const std::vector<int32_t>& positions, int64_t top,
                                  std::optional<int64_t> layer = {}) const;
  // Threshold and penalty of the passes that follow. Throws BAD_ARGUMENT for a model that is not pruned.
  void set_pruning(PruningState state);
  Pruning::Report pruning_report() const;
  // A weight as evaluations use it: masked, if it is pruned.
  at::Tensor effective(const NamedPart& part) const;
  at::Tensor head_logits(const HostBatch& batch, const std::string& head, std::optional<int64_t> layer = {}) const;
  // One pass for all questions, up to the highest layer that one of them reads. Each answer is what the method above says of a batch of the
  // question's sequences alone.
  std::vector<Answer> answer(const HostBatch& batch, const std::vector<Question>& questions) const;
  // Throws BAD_ARGUMENT for a model without agreements.
  AgreementProbabilities agreements(const HostBatch& batch) const;

  const ModelConfig& config() const { return config_; }
  Kernels kernels() const { return kernels_; }
  bool inference() const { return use_.inference; }
  // Fills weights from a file. Those of a model that only answers may lie in memory that other processes share.
  void load(const std::string& path, const std::vector<std::pair<std::string, StoredTensor>>& by_parameter);
  // Brings the weights of a model that only answers into the form that its products use, if they changed; else does nothing.
  void pack_weights() const;
  ParameterStore& parameters() { return store_; }
  const ParameterStore& parameters() const { return store_; }
  double hidden_dropout;
  double attention_dropout;
  // Factor of the losses before the backward pass; 1 unless precision is fp16.
  double loss_scale = 1;

 private:
  struct ActiveHead {
    const Head* head;
    const HeadLabels* labels;
    int64_t count;
  };
  // What a pass gives to the heads.
  struct States {
    AgreementStates agreements;
    std::vector<at::Tensor> hidden;  // by layer; empty when no head reads one
  };
  struct Part;
  // Runs the submodels that are needed, then the encoder up to `highest`; -1: not at all. `relations`: those that agreement heads train.
  States states(const ForwardPass& pass, const PackedBatch& batch, const HostBatch& host, int64_t highest,
                const std::set<std::string>& relations = {}) const;
  HeadInput head_input(const ForwardPass& pass, const PackedBatch& batch, const States& states) const;
  // Of the heads that train one.
  static std::set<std::string> relations_of(const std::vector<ActiveHead>& active);
  // What holds of every batch, whatever is asked of it.
  void check(const HostBatch& batch) const;
  // Checks everything on the host; heads without a single label are left out, and at least one must remain.
  std::vector<ActiveHead> active_heads(const HostBatch& batch) const;
  static int64_t highest_layer(const std::vector<ActiveHead>& active);
  const Head& find_head(const std::string& name) const;
  // Of the adapter that the batch names; null when it names none.
  const EncoderHooks* hooks_of(const HostBatch& batch) const;
  // Puts the evaluation's masks on pruned weights.
  ForwardPass evaluation_pass() const;
  Pruning& pruning() const;
  int64_t check_layer(int64_t layer) const;
  // Scores of the labelled places, on the host.
  static at::Tensor scores_of(const Head& head, const HeadInput& input, const HeadLabels& labels);
  // Checks the question; labels that say where to read.
  HeadLabels masked_labels(const MasksQuestion& asked) const;
  static MaskedPrediction most_probable(const at::Tensor& logits_MV, int64_t top);
  // Checks a question about sequences of `host`; the highest layer that it reads.
  int64_t depth_of(const Question& question, const HostBatch& host) const;
  Answer answer_of(const Question& question, Part& part) const;

  ModelConfig config_;
  Kernels kernels_;
  ParameterStore store_;
  Encoder encoder_;
  std::unique_ptr<Agreements> agreements_;  // null: none
  std::map<std::string, EncoderHooks> adapters_;
  std::map<std::string, ScalarMix> mixes_;
  std::shared_ptr<Linear> shared_pooler_;
  std::map<std::string, HeadRef> heads_;
  std::vector<HeadRef> ordered_heads_;
  std::unique_ptr<Pruning> pruning_;  // null: the weights are used as they are
  ModelUse use_;
  mutable std::optional<uint64_t> packed_version_;  // of the store, when weights were last packed
};

}  // namespace strata
