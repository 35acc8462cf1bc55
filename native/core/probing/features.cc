#include "core/probing/features.h"

#include "core/error.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

namespace strata {
namespace {

constexpr uint64_t kMostNumbers = uint64_t{1} << 48;

uint64_t number_count(int64_t units, int64_t layers, int64_t width) {
  if (units < 1 || layers < 1 || width < 1)
    fail("BAD_ARGUMENT", "features have shape (", units, ", ", layers, ", ", width, "); sizes of at least 1 were expected");
  const auto u = static_cast<uint64_t>(units), l = static_cast<uint64_t>(layers), w = static_cast<uint64_t>(width);
  if (u > kMostNumbers / l || u * l > kMostNumbers / w) fail("BAD_ARGUMENT", "features of shape (", units, ", ", layers, ", ", width, ") are too many");
  return u * l * w;
}

// All bits of the exponent are set in a NaN and an infinity alone.
bool all_finite(const float* values, int64_t count) {
  constexpr uint32_t kExponent = 0x7f800000;
  uint32_t found = 0;
  for (int64_t i = 0; i < count; ++i) {
    uint32_t bits;
    std::memcpy(&bits, values + i, sizeof bits);
    found |= (bits & kExponent) == kExponent ? 1u : 0u;
  }
  return found == 0;
}

}  // namespace

ProbeFeatures ProbeFeatures::open(const std::string& path, uint64_t offset, int64_t units, int64_t layers, int64_t width) {
  const uint64_t bytes = number_count(units, layers, width) * sizeof(float);
  auto file = std::make_unique<const platform::File>(path, platform::File::Access::Read);
  if (!*file) fail(errno == ENOENT ? "NOT_FOUND" : "IO_ERROR", "cannot open the features ", path, ": ", std::strerror(errno));
  platform::FileStatus status;
  if (!file->status(status) || offset > status.bytes || status.bytes - offset < bytes)
    fail("BAD_FILE", path, " has ", status.bytes, " bytes; features of shape (", units, ", ", layers, ", ", width, ") from byte ", offset,
         " on take ", bytes);
  ProbeFeatures features;
  features.file_ = std::move(file);
  features.path_ = path;
  features.offset_ = offset;
  features.units_ = units;
  features.layers_ = layers;
  features.width_ = width;
  return features;
}

ProbeFeatures::ProbeFeatures(std::vector<float> values, int64_t units, int64_t layers, int64_t width)
    : values_(std::move(values)), units_(units), layers_(layers), width_(width) {
  if (number_count(units, layers, width) != values_.size())
    fail("BAD_ARGUMENT", "values has ", values_.size(), " numbers; ", units, " · ", layers, " · ", width, " were expected");
}

const float* ProbeFeatures::unit(int64_t unit, int64_t first, int64_t last, std::vector<float>& room) const {
  const int64_t begin = (unit * layers_ + first) * width_;
  if (!file_) return values_.data() + begin;
  room.resize(static_cast<size_t>((last - first + 1) * width_));
  auto* bytes = reinterpret_cast<char*>(room.data());
  const size_t count = room.size() * sizeof(float);
  const uint64_t from = offset_ + static_cast<uint64_t>(begin) * sizeof(float);
  for (size_t done = 0; done < count;) {
    const int64_t got = file_->read(bytes + done, count - done, from + done);
    if (got < 0) fail("IO_ERROR", "cannot read the features ", path_, ": ", std::strerror(errno));
    if (got == 0) fail("BAD_FILE", "the features ", path_, " end at byte ", from + done, "; they were cut short after they had been opened");
    done += static_cast<size_t>(got);
  }
  return room.data();
}

at::Tensor ProbeFeatures::gather(const std::vector<int32_t>& rows, int64_t parts, const std::vector<int64_t>& layers) const {
  for (const int64_t layer : layers)
    if (layer < 0 || layer >= layers_) fail("BAD_ARGUMENT", "layer ", layer, " was asked for; the features hold ", layers_, " (from 0)");
  const auto count = static_cast<int64_t>(rows.size());
  for (int64_t i = 0; i < count; ++i)
    if (rows[i] < 0 || rows[i] >= units_) fail("BAD_ARGUMENT", "rows[", i, "] is ", rows[i], "; 0 to ", units_ - 1, " was expected");
  at::Tensor gathered = at::empty({static_cast<int64_t>(layers.size()), count / parts, parts * width_}, at::kFloat);
  if (layers.empty()) return gathered;
  float* out = gathered.mutable_data_ptr<float>();
  const auto [first, last] = std::minmax_element(layers.begin(), layers.end());
  std::vector<float> room;
  for (int64_t i = 0; i < count; ++i) {
    const float* numbers = unit(rows[i], *first, *last, room);
    for (size_t j = 0; j < layers.size(); ++j) {
      const float* from = numbers + (layers[j] - *first) * width_;
      if (!all_finite(from, width_))
        fail("NON_FINITE", "the features of unit ", rows[i], " on layer ", layers[j], " hold NaN or an infinity; finite numbers were expected");
      std::memcpy(out + (static_cast<int64_t>(j) * count + i) * width_, from, static_cast<size_t>(width_) * sizeof(float));
    }
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
