#pragma once
// The same logistic regression as logistic.h on sparse counts: a bag of words.
// Legend: N examples, V features, C classes.
#include "core/probing/logistic.h"

namespace strata {

// Rows in compressed form: the entries of example i are offsets[i] … offsets[i + 1].
struct SparseSplit {
  std::vector<int32_t> offsets;   // (N + 1)
  std::vector<int32_t> features;  // index into V
  std::vector<float> values;
  std::vector<int32_t> labels;    // (N)
  int64_t count() const { return static_cast<int64_t>(labels.size()); }
};

struct SparseExamples {
  SparseSplit train, dev, test;
  int64_t width = 0;  // V
};

LogisticResult fit_sparse_logistic(const SparseExamples& examples, const LogisticSettings& settings);

}  // namespace strata
