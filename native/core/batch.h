#pragma once
// One packed batch: B sequences laid end to end, T tokens, no padding. Checked on the host, then moved to the device.
#include "core/config.h"
#include "core/ops.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace strata {

constexpr int32_t kNoLabel = -100;

struct HeadLabels {
  std::vector<int32_t> labels;
  std::vector<int32_t> positions;    // (M) index into T
  std::vector<int32_t> span_starts;  // (S)
  std::vector<int32_t> span_ends;    // (S), exclusive
};

struct HostBatch {
  std::vector<int32_t> token_ids;         // (T)
  std::vector<int32_t> segment_ids;       // (T)
  std::vector<int32_t> sequence_offsets;  // (B + 1)
  std::map<std::string, HeadLabels> labels;

  int64_t tokens() const { return static_cast<int64_t>(token_ids.size()); }
  int64_t sequences() const { return static_cast<int64_t>(sequence_offsets.size()) - 1; }
};

// Throws BAD_ARGUMENT naming the field, the index and what was expected.
void check_batch(const HostBatch& batch, const EncoderConfig& encoder);

// What the layers read. Index tensors are int64 on the model's device.
struct PackedBatch {
  at::Tensor token_ids_T;
  at::Tensor segment_ids_T;
  at::Tensor position_ids_T;
  std::vector<int64_t> offsets;      // (B + 1), host
  std::vector<int64_t> sequence_of;  // (T), host
  int64_t longest = 0;
  at::Device device = at::kCPU;

  PackedBatch(const HostBatch& host, at::Device device);
  int64_t tokens() const { return offsets.back(); }
  int64_t sequences() const { return static_cast<int64_t>(offsets.size()) - 1; }
  at::Tensor index(const std::vector<int64_t>& values) const;  // a host list on the device
};

}  // namespace strata
