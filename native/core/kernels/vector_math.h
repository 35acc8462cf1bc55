#pragma once
// Row kernels that the compiler vectorises for several instruction sets; the loader picks one at run time.
#include <cstdint>
#include <cstring>

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define STRATA_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define STRATA_CLONES
#endif
#define STRATA_INLINE inline __attribute__((always_inline))

namespace strata::kernels {

constexpr int kLanes = 16;

// Sums are taken in 16 lanes: the compiler may not reorder a single running sum.
template <typename Wide, typename Term>
STRATA_INLINE Wide lane_sum(int64_t size, const Term& term) {
  Wide lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes)
    for (int l = 0; l < kLanes; ++l) lanes[l] += term(i + l);
  Wide total = 0;
  for (int l = 0; l < kLanes; ++l) total += lanes[l];
  for (; i < size; ++i) total += term(i);
  return total;
}

// e^x to about 2 units in the last place (range reduction and polynomial after Cephes' expf), without branches.
STRATA_INLINE float fast_exp(float x) {
  x = x < -87.3f ? -87.3f : x;
  x = x > 88.3f ? 88.3f : x;
  const float magic = 12582912.0f;  // 1.5 · 2^23: adding it rounds to an integer
  const float n = (x * 1.44269504f + magic) - magic;
  float r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const int32_t bits = (static_cast<int32_t>(n) + 127) << 23;
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return p * power;
}

}  // namespace strata::kernels
