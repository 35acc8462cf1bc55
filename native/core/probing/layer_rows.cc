#include "core/probing/layer_rows.h"

#include <algorithm>
#include <utility>

namespace strata {

LayerRows::LayerRows(const ProbeFeatures& features, const ProbeSplit& split, int64_t parts, std::vector<int64_t> layers, int64_t held_bytes)
    : features_(features), split_(split), parts_(parts), layers_(std::move(layers)) {
  const double bytes = static_cast<double>(count()) * static_cast<double>(this->layers() * width()) * sizeof(float);
  if (bytes <= static_cast<double>(held_bytes)) held_JNW_ = features_.gather(split_.rows, parts_, layers_);
}

at::Tensor LayerRows::block(int64_t start, int64_t count) const {
  if (held_JNW_.defined()) return held_JNW_.narrow(1, start, count);
  const auto first = split_.rows.begin() + start * parts_;
  return features_.gather({first, first + count * parts_}, parts_, layers_);
}

at::Tensor LayerRows::chosen(const std::vector<int64_t>& examples) const {
  std::vector<int32_t> rows;
  rows.reserve(examples.size() * static_cast<size_t>(parts_));
  if (!held_JNW_.defined()) {
    for (const int64_t example : examples)
      for (int64_t part = 0; part < parts_; ++part) rows.push_back(split_.rows[static_cast<size_t>(example * parts_ + part)]);
    return features_.gather(rows, parts_, layers_);
  }
  at::Tensor index = at::empty({static_cast<int64_t>(examples.size())}, at::kLong);
  std::copy(examples.begin(), examples.end(), index.mutable_data_ptr<int64_t>());
  return held_JNW_.index_select(1, index);
}

}  // namespace strata
