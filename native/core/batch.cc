#include "core/batch.h"

#include "core/error.h"

#include <algorithm>
#include <limits>

namespace strata {

void check_batch(const HostBatch& batch, const EncoderConfig& encoder) {
  const auto& offsets = batch.sequence_offsets;
  const int64_t tokens = batch.tokens();
  if (offsets.size() < 2) fail("BAD_ARGUMENT", "sequenceOffsets has ", offsets.size(), " entries, at least 2 were expected (one sequence)");
  if (offsets.front() != 0) fail("BAD_ARGUMENT", "sequenceOffsets[0] is ", offsets.front(), ", 0 was expected");
  if (offsets.back() != tokens)
    fail("BAD_ARGUMENT", "the last of sequenceOffsets is ", offsets.back(), ", the number of tokens (", tokens, ") was expected");
  for (size_t i = 0; i + 1 < offsets.size(); ++i) {
    const int64_t length = int64_t{offsets[i + 1]} - offsets[i];
    if (length <= 0) fail("BAD_ARGUMENT", "sequence ", i, " has ", length, " tokens, at least 1 was expected");
    if (length > encoder.max_positions)
      fail("BAD_ARGUMENT", "sequence ", i, " has ", length, " tokens, at most ", encoder.max_positions, " (maxPositions) were expected");
  }
  if (batch.segment_ids.size() != batch.token_ids.size())
    fail("BAD_ARGUMENT", "segmentIds has ", batch.segment_ids.size(), " entries, ", tokens, " (one a token) were expected");
  for (int64_t i = 0; i < tokens; ++i) {
    if (batch.token_ids[i] < 0 || batch.token_ids[i] >= encoder.vocab_size)
      fail("BAD_ARGUMENT", "tokenIds[", i, "] is ", batch.token_ids[i], ", 0 to ", encoder.vocab_size - 1, " was expected");
    if (batch.segment_ids[i] < 0 || batch.segment_ids[i] >= encoder.segment_types)
      fail("BAD_ARGUMENT", "segmentIds[", i, "] is ", batch.segment_ids[i], ", 0 to ", encoder.segment_types - 1, " was expected");
  }
}

PackedBatch::PackedBatch(const HostBatch& host, at::Device target) : device(target) {
  const int64_t count = host.tokens();
  offsets.assign(host.sequence_offsets.begin(), host.sequence_offsets.end());
  sequence_of.resize(static_cast<size_t>(count));
  segments = host.segment_ids;
  at::Tensor rows = at::empty({3, count}, at::kLong);
  int64_t* tokens = rows.mutable_data_ptr<int64_t>();
  int64_t* segment_row = tokens + count;
  int64_t* positions = segment_row + count;
  std::copy(host.token_ids.begin(), host.token_ids.end(), tokens);
  std::copy(host.segment_ids.begin(), host.segment_ids.end(), segment_row);
  for (int64_t b = 0; b + 1 < static_cast<int64_t>(offsets.size()); ++b) {
    longest = std::max(longest, offsets[b + 1] - offsets[b]);
    for (int64_t t = offsets[b]; t < offsets[b + 1]; ++t) {
      positions[t] = t - offsets[b];
      sequence_of[t] = b;
    }
  }
  rows = rows.to(device);
  token_ids_T = rows.select(0, 0);
  segment_ids_T = rows.select(0, 1);
  position_ids_T = rows.select(0, 2);
}

at::Tensor PackedBatch::index(const std::vector<int64_t>& values) const {
  at::Tensor tensor = at::empty({static_cast<int64_t>(values.size())}, at::kLong);
  std::copy(values.begin(), values.end(), tensor.mutable_data_ptr<int64_t>());
  return tensor.to(device);
}

const at::Tensor& PackedBatch::cumulative_lengths() const {
  if (!cumulative_lengths_.defined()) cumulative_lengths_ = index(offsets).to(at::kInt);
  return cumulative_lengths_;
}

const Padding& PackedBatch::padding() const {
  if (padding_) return *padding_;
  std::vector<int64_t> token_of(static_cast<size_t>(sequences() * longest), 0), place_of(static_cast<size_t>(tokens()));
  at::Tensor mask = at::full({sequences(), 1, 1, longest}, -std::numeric_limits<float>::infinity(), at::kFloat);
  float* mask_data = mask.mutable_data_ptr<float>();
  for (int64_t b = 0; b < sequences(); ++b) {
    for (int64_t t = offsets[b]; t < offsets[b + 1]; ++t) {
      const int64_t place = b * longest + t - offsets[b];
      token_of[place] = t;
      place_of[t] = place;
      mask_data[place] = 0;
    }
  }
  padding_ = Padding{index(token_of), index(place_of), mask.to(device)};
  return *padding_;
}

}  // namespace strata
