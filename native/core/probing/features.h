#pragma once
// States of a frozen encoder that probes read: U units (a pooled sentence, a word), each with L' layers of H numbers, row-major
// (U, L', H) float32, in memory or in a file.
#include "core/ops.h"
#include "platform/file.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace strata {

class ProbeFeatures {
 public:
  // The file may be unlinked afterwards. It is read and not mapped: one that is cut short then is an error and no signal.
  // Throws NOT_FOUND, IO_ERROR, BAD_FILE when it is too short.
  static ProbeFeatures open(const std::string& path, uint64_t offset, int64_t units, int64_t layers, int64_t width);
  ProbeFeatures(std::vector<float> values, int64_t units, int64_t layers, int64_t width);

  int64_t units() const { return units_; }
  int64_t layers() const { return layers_; }
  int64_t width() const { return width_; }

  // N examples on each of J layers, (J, N, parts * H): an example is `parts` units side by side. Throws NON_FINITE naming unit and layer for a
  // NaN or an infinity, of which a classifier would learn nothing without a word; BAD_FILE, IO_ERROR.
  at::Tensor gather(const std::vector<int32_t>& rows, int64_t parts, const std::vector<int64_t>& layers) const;
  // On one layer, (N, parts * H).
  at::Tensor gather(const std::vector<int32_t>& rows, int64_t parts, int64_t layer) const { return gather(rows, parts, std::vector<int64_t>{layer})[0]; }

 private:
  ProbeFeatures() = default;
  // The numbers of a unit on layers `first` to `last`, in memory or read into `room`.
  const float* unit(int64_t unit, int64_t first, int64_t last, std::vector<float>& room) const;

  std::vector<float> values_;
  std::unique_ptr<const platform::File> file_;
  std::string path_;
  uint64_t offset_ = 0;
  int64_t units_ = 0, layers_ = 0, width_ = 0;
};

// One split as the classifiers take it: `parts` units an example, one class each.
struct ProbeSplit {
  std::vector<int32_t> rows;    // (N * parts) index into U
  std::vector<int32_t> labels;  // (N)
  int64_t count() const { return static_cast<int64_t>(labels.size()); }
};

struct ProbeExamples {
  ProbeSplit train, dev, test;
  int64_t parts = 1;
};

// Throws BAD_ARGUMENT naming split, place, what came and what was expected. Train and dev must not be empty.
void check_examples(const ProbeExamples& examples, int64_t units, int64_t classes);
void check_labels(const std::vector<int32_t>& labels, const char* split, int64_t classes);

}  // namespace strata
