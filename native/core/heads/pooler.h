#pragma once
// What classifier, regressor and ranker have in common: a linear layer on the dropped-out, pooled first state of a sequence
// (Devlin et al. 2018, section 4.1; Liu et al. 2019, arXiv 1901.11504, equations 6 to 8).
#include "core/heads/head.h"

#include <memory>

namespace strata {

struct PooledScorer {
  HeadConfig config;
  std::shared_ptr<Linear> pooler;  // null: the state itself
  Linear classifier;               // (outputs, P), P the pooler's size

  // Throws BAD_ARGUMENT for an unknown `pooler`, and for a size where it is not the head's own. A shared pooler is made by the first head that asks for it.
  static PooledScorer create(const HeadConfig& config, const HeadParts& parts, int64_t outputs);
  // Scores of some sequences in the master type, (rows, outputs). No other state is touched.
  at::Tensor operator()(const HeadInput& input, const std::vector<int64_t>& sequences) const;
};

// Dropout at a head's own rate; nothing in evaluation.
inline at::Tensor drop(const ForwardPass& pass, const at::Tensor& x, double rate) {
  return pass.dropout ? pass.dropout->apply(x, rate) : x;
}

}  // namespace strata
