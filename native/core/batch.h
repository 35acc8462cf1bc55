#pragma once
// One packed batch: B sequences laid end to end, T tokens, no padding. Checked on the host, then moved to the device.
#include "core/config.h"
#include "core/ops.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace strata {

constexpr int32_t kNoLabel = -100;

struct HeadLabels {
  std::vector<int32_t> labels;
  std::vector<int32_t> positions;    // (M) index into T
  std::vector<int32_t> span_starts;  // (S)
  std::vector<int32_t> span_ends;    // (S), exclusive
  std::vector<float> values;         // (B) regression targets
  std::vector<int32_t> groups;       // (B) which question a candidate belongs to
  std::vector<int32_t> heads;        // (M) number of a word's head in its sentence, from 1; 0 = root
  std::vector<int32_t> tags;         // (M) part of speech of a word
};

struct HostChunks {
  std::vector<int32_t> ids;        // (T) chunk of each token; -1 = none
  std::vector<int32_t> sentences;  // (C) sentence of each chunk, ascending
};

struct HostBatch {
  std::vector<int32_t> token_ids;         // (T)
  std::vector<int32_t> segment_ids;       // (T)
  std::vector<int32_t> sequence_offsets;  // (B + 1)
  std::map<std::string, HeadLabels> labels;
  std::optional<HostChunks> chunks;  // what agreements read
  std::string adapter;  // name of the adapter that the whole batch runs through; empty = none

  int64_t tokens() const { return static_cast<int64_t>(token_ids.size()); }
  int64_t sequences() const { return static_cast<int64_t>(sequence_offsets.size()) - 1; }
};

// Throws BAD_ARGUMENT naming the field, the index and what was expected.
void check_batch(const HostBatch& batch, const EncoderConfig& encoder);

// The same batch laid out as B rows of `longest` places, for attention without a kernel for packed sequences. P = B * longest places.
struct Padding {
  at::Tensor token_of_P;   // int64: the token at each place, 0 where there is none
  at::Tensor place_of_T;   // int64: the place of each token
  at::Tensor mask_B11S;    // float: 0 at a token's place, -inf elsewhere
};

// What the layers read. Index tensors are int64 on the model's device.
struct PackedBatch {
  at::Tensor token_ids_T;
  at::Tensor segment_ids_T;
  at::Tensor position_ids_T;
  std::vector<int64_t> offsets;      // (B + 1), host
  std::vector<int64_t> sequence_of;  // (T), host
  std::vector<int32_t> segments;     // (T), host
  int64_t longest = 0;
  at::Device device = at::kCPU;

  PackedBatch(const HostBatch& host, at::Device device);
  int64_t tokens() const { return offsets.back(); }
  int64_t sequences() const { return static_cast<int64_t>(offsets.size()) - 1; }
  at::Tensor index(const std::vector<int64_t>& values) const;  // a host list on the device

  // Made at the first use, then shared by all layers: each costs a copy to the device. One thread computes with a batch.
  const at::Tensor& cumulative_lengths() const;  // (B + 1) int32 on the device
  const Padding& padding() const;

 private:
  mutable at::Tensor cumulative_lengths_;
  mutable std::optional<Padding> padding_;
};

}  // namespace strata
