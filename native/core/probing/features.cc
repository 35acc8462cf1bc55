#include "core/probing/features.h"

#include "core/error.h"
#include "platform/file.h"

#include <cerrno>
#include <cstring>
#include <limits>

namespace strata {
namespace {

constexpr uint64_t kMostNumbers = uint64_t{1} << 48;
// Rows of a file that are read before its pages are given back; each may bring in much more than itself.
constexpr int64_t kRowsHeld = 128;

uint64_t number_count(int64_t units, int64_t layers, int64_t width) {
  if (units < 1 || layers < 1 || width < 1)
    fail("BAD_ARGUMENT", "features have shape (", units, ", ", layers, ", ", width, "); sizes of at least 1 were expected");
  const auto u = static_cast<uint64_t>(units), l = static_cast<uint64_t>(layers), w = static_cast<uint64_t>(width);
  if (u > kMostNumbers / l || u * l > kMostNumbers / w) fail("BAD_ARGUMENT", "features of shape (", units, ", ", layers, ", ", width, ") are too many");
  return u * l * w;
}

}  // namespace

ProbeFeatures ProbeFeatures::map(const std::string& path, uint64_t offset, int64_t units, int64_t layers, int64_t width) {
  const uint64_t bytes = number_count(units, layers, width) * sizeof(float);
  if (offset % sizeof(float) != 0) fail("BAD_ARGUMENT", "offset is ", offset, "; a multiple of 4 was expected");
  const platform::File file(path, platform::File::Access::Read);
  if (!file) fail(errno == ENOENT ? "NOT_FOUND" : "IO_ERROR", "cannot open the features ", path, ": ", std::strerror(errno));
  platform::FileStatus status;
  if (!file.status(status) || offset > status.bytes || status.bytes - offset < bytes)
    fail("BAD_FILE", path, " has ", status.bytes, " bytes; features of shape (", units, ", ", layers, ", ", width, ") from byte ", offset,
         " on take ", bytes);
  ProbeFeatures features;
  features.units_ = units;
  features.layers_ = layers;
  features.width_ = width;
  features.mapped_bytes_ = static_cast<size_t>(offset + bytes);
  void* mapped = file.map(features.mapped_bytes_, platform::File::Pages::Shared);
  if (mapped == nullptr) fail("IO_ERROR", "cannot map the features ", path, ": ", std::strerror(errno));
  features.mapped_ = mapped;
  features.data_ = reinterpret_cast<const float*>(static_cast<const char*>(mapped) + offset);
  return features;
}

ProbeFeatures::ProbeFeatures(std::vector<float> values, int64_t units, int64_t layers, int64_t width)
    : values_(std::move(values)), data_(values_.data()), units_(units), layers_(layers), width_(width) {
  if (number_count(units, layers, width) != values_.size())
    fail("BAD_ARGUMENT", "values has ", values_.size(), " numbers; ", units, " · ", layers, " · ", width, " were expected");
}

ProbeFeatures::ProbeFeatures(ProbeFeatures&& other) noexcept
    : values_(std::move(other.values_)), mapped_(other.mapped_), mapped_bytes_(other.mapped_bytes_), data_(other.data_), units_(other.units_),
      layers_(other.layers_), width_(other.width_) {
  other.mapped_ = nullptr;
}

ProbeFeatures::~ProbeFeatures() {
  if (mapped_ != nullptr) platform::unmap(mapped_, mapped_bytes_);
}

at::Tensor ProbeFeatures::gather(const std::vector<int32_t>& rows, int64_t parts, const std::vector<int64_t>& layers) const {
  for (const int64_t layer : layers)
    if (layer < 0 || layer >= layers_) fail("BAD_ARGUMENT", "layer ", layer, " was asked for; the features hold ", layers_, " (from 0)");
  const auto count = static_cast<int64_t>(rows.size());
  for (int64_t i = 0; i < count; ++i)
    if (rows[i] < 0 || rows[i] >= units_) fail("BAD_ARGUMENT", "rows[", i, "] is ", rows[i], "; 0 to ", units_ - 1, " was expected");
  at::Tensor gathered = at::empty({static_cast<int64_t>(layers.size()), count / parts, parts * width_}, at::kFloat);
  float* out = gathered.mutable_data_ptr<float>();
  for (int64_t i = 0; i < count; ++i) {
    for (size_t j = 0; j < layers.size(); ++j)
      std::memcpy(out + (static_cast<int64_t>(j) * count + i) * width_, data_ + (rows[i] * layers_ + layers[j]) * width_,
                  static_cast<size_t>(width_) * sizeof(float));
    // What was read stays in the page cache; this process need not hold it.
    if (mapped_ != nullptr && (i % kRowsHeld == kRowsHeld - 1 || i == count - 1)) platform::release_pages(mapped_, mapped_bytes_);
  }
  return gathered;
}

void check_labels(const std::vector<int32_t>& labels, const char* split, int64_t classes) {
  if (classes < 2) fail("BAD_ARGUMENT", "classes is ", classes, "; at least 2 were expected");
  for (size_t i = 0; i < labels.size(); ++i)
    if (labels[i] < 0 || labels[i] >= classes)
      fail("BAD_ARGUMENT", "labels[", i, "] of ", split, " is ", labels[i], "; a class from 0 to ", classes - 1, " was expected");
}

void check_examples(const ProbeExamples& examples, int64_t units, int64_t classes) {
  if (examples.parts < 1 || examples.parts > 8) fail("BAD_ARGUMENT", "parts is ", examples.parts, "; 1 to 8 was expected");
  const std::pair<const char*, const ProbeSplit*> splits[] = {{"train", &examples.train}, {"dev", &examples.dev}, {"test", &examples.test}};
  for (const auto& [name, split] : splits) {
    check_labels(split->labels, name, classes);
    if (static_cast<int64_t>(split->rows.size()) != split->count() * examples.parts)
      fail("BAD_ARGUMENT", "rows of ", name, " has ", split->rows.size(), " entries; ", examples.parts, " for each of ", split->count(),
           " labels were expected");
    for (size_t i = 0; i < split->rows.size(); ++i)
      if (split->rows[i] < 0 || split->rows[i] >= units)
        fail("BAD_ARGUMENT", "rows[", i, "] of ", name, " is ", split->rows[i], "; a unit from 0 to ", units - 1, " was expected");
  }
  if (examples.train.count() == 0 || examples.dev.count() == 0)
    fail("BAD_ARGUMENT", "train has ", examples.train.count(), " examples and dev ", examples.dev.count(), "; at least one each was expected");
}

}  // namespace strata
