#pragma once
// The masks of a model that is pruned while it is fine-tuned. Scores are parameters like any other, `pruning.<weight's name>.scores`, and
// the loss reaches them through the masked weights.
#include "core/dropout.h"
#include "core/parameters.h"
#include "core/pruning/method.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace strata {

// What holds for the passes that follow.
struct PruningState {
  double threshold = 0;
  double penalty = 0;                        // factor of the penalty in an update's loss
  std::map<std::string, at::Tensor> noise;  // by weight's name, in place of what a method draws
};

struct PrunedMatrix {
  std::string name;
  int64_t layer = 0;
  int64_t size = 0;
  int64_t kept = 0;  // weights that are not 0
};

class Pruning {
 public:
  // Of the whole `weights`, each with its named parts; a part has a mask and a share of its own.
  Pruning(const std::string& method, const std::vector<ParameterRef>& weights, ParameterStore& store);

  // Throws BAD_ARGUMENT for noise that the method does not draw, or that fits no weight.
  void set(PruningState state);
  // Gives the weights their masked value for a training pass: dL/dW = dL/dW' ⊙ M, dL/dS = dL/dW' ⊙ W ⊙ slope. What a method draws follows
  // from `pass` alone.
  void mask_for_training(DropoutState pass);
  // The same without a gradient and without noise.
  void mask_for_evaluation();
  // penalty × mean of the matrices' penalties, once an update: undefined when a score has a gradient already, and where the method has none.
  at::Tensor penalty_due() const;

  struct Report {
    std::vector<PrunedMatrix> matrices;
    double penalty = 0;  // mean of the matrices' penalties
  };
  Report report();

 private:
  struct Masked {
    ParameterRef weight, scores;  // scores: null where the method has none
    std::vector<NamedPart> parts;
    at::Tensor mask, slope, product;
  };
  struct Job {
    Masked* masked;
    const NamedPart* part;
  };
  void refresh(const DropoutState* pass);
  void mask_part(const Job& job, const DropoutState* pass) const;
  at::Tensor mean_penalty() const;

  const PruningMethod& method_;
  ParameterStore& store_;
  PruningState state_;
  std::vector<Masked> masked_;
  std::vector<Job> jobs_;
  std::optional<uint64_t> version_;  // of the weights that the masks stand for; none: the masks are out of date
};

}  // namespace strata
