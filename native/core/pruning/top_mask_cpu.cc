#include "core/pruning/top_mask_cpu.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <vector>

namespace strata {
namespace {

// A number whose order is that of the floats.
uint32_t ordered(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

float unordered(uint32_t key) { return std::bit_cast<float>(key & 0x80000000u ? key & 0x7FFFFFFFu : ~key); }

// The value at a place of the ascending order, by a histogram of its highest bits, then of the next ones among those that share them.
float value_at(const float* values, int64_t count, int64_t place) {
  constexpr int kBits = 11;
  std::array<int64_t, 1 << kBits> histogram{};
  const auto bucket_of = [&] {
    size_t bucket = 0;
    while (place >= histogram[bucket]) place -= histogram[bucket++];
    return static_cast<uint32_t>(bucket);
  };
  for (int64_t i = 0; i < count; ++i) ++histogram[ordered(values[i]) >> (32 - kBits)];
  const uint32_t highest = bucket_of();
  std::vector<uint32_t> rest;
  rest.reserve(static_cast<size_t>(histogram[highest]));
  for (int64_t i = 0; i < count; ++i)
    if (const uint32_t key = ordered(values[i]); key >> (32 - kBits) == highest) rest.push_back(key);
  std::nth_element(rest.begin(), rest.begin() + place, rest.end());
  return unordered(rest[static_cast<size_t>(place)]);
}

}  // namespace

void top_mask_cpu(const float* scores, const float* weight, int64_t count, int64_t kept, float* mask) {
  const float border = value_at(scores, count, count - kept);
  int64_t missing = kept;
  std::vector<int64_t> equal;
  for (int64_t i = 0; i < count; ++i) {
    const bool above = scores[i] > border;
    mask[i] = above ? 1.0f : 0.0f;
    missing -= above;
    if (scores[i] == border) equal.push_back(i);
  }
  if (static_cast<int64_t>(equal.size()) > missing)
    std::stable_sort(equal.begin(), equal.end(), [&](int64_t a, int64_t b) { return std::abs(weight[a]) > std::abs(weight[b]); });
  const auto places = std::min<int64_t>(missing, static_cast<int64_t>(equal.size()));
  for (int64_t i = 0; i < places; ++i) mask[equal[static_cast<size_t>(i)]] = 1;
}

}  // namespace strata
