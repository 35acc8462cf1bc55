#pragma once
// What masks a matrix of weights while it is fine-tuned: the methods that Sanh, Wolf & Rush 2020 (arXiv 2005.07683) compare. Each has
// one file; registry.cc maps a method's name to it.
#include "core/ops.h"

#include <optional>
#include <string>

namespace strata {

struct MaskInput {
  const at::Tensor& weight;
  const at::Tensor& scores;  // undefined where the method has none
  double threshold;          // what it means is the method's own affair
  const at::Tensor& noise;   // uniform in (0, 1); undefined outside training, and where the method draws nothing
};

// The products use W ⊙ values.
struct Mask {
  at::Tensor values;
  at::Tensor slope;  // d values / d scores for the backward pass; undefined = 1: straight through
};

struct PruningMethod {
  const char* name;
  std::optional<double> initial_score;            // none: no scores
  bool draws;                                     // training masks are drawn anew in every pass
  double dense;                                   // threshold at which nothing is pruned
  Mask (*mask)(const MaskInput&);
  at::Tensor (*penalty)(const at::Tensor& scores);  // mean over the scores, differentiable; null: none
};

extern const PruningMethod kMagnitude;
extern const PruningMethod kMovement;
extern const PruningMethod kSoftMovement;
extern const PruningMethod kHardConcrete;

// magnitude, movement, soft-movement or l0. Throws UNSUPPORTED for any other.
const PruningMethod& find_pruning_method(const std::string& name);

}  // namespace strata
