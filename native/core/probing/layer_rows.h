#pragma once
// The examples of one split on several layers, read block by block: from memory where they are few, else from where the features lie, so
// that a classifier that needs all layers at once takes no more memory with more examples.
// Legend: N examples, J layers, n of a block, W width of an example (its units side by side).
#include "core/probing/features.h"

#include <vector>

namespace strata {

// Of one split that are held in memory. Reading them again and again from the file costs page faults.
constexpr int64_t kHeldBytes = int64_t{512} << 20;

class LayerRows {
 public:
  // Features and split outlive it.
  LayerRows(const ProbeFeatures& features, const ProbeSplit& split, int64_t parts, std::vector<int64_t> layers, int64_t held_bytes = kHeldBytes);

  int64_t count() const { return split_.count(); }
  int64_t layers() const { return static_cast<int64_t>(layers_.size()); }
  int64_t width() const { return features_.width() * parts_; }

  // (J, n, W), to be read only.
  at::Tensor block(int64_t start, int64_t count) const;
  // (J, n, W) in the order of `examples`.
  at::Tensor chosen(const std::vector<int64_t>& examples) const;

 private:
  const ProbeFeatures& features_;
  const ProbeSplit& split_;
  int64_t parts_;
  std::vector<int64_t> layers_;
  at::Tensor held_JNW_;  // undefined when they are read anew each time
};

}  // namespace strata
