#include "core/kernels/dropout_rows.h"

#include "core/kernels/vector_math.h"

namespace strata::kernels {
namespace {

constexpr int kCounters = kDropoutBlock / 4;

}  // namespace

STRATA_CLONES void dropout_blocks(float* out, int64_t count, PhiloxKey key, uint64_t counter, uint32_t threshold, float keep) {
  for (int64_t first = 0; first < count; first += kDropoutBlock, counter += kCounters) {
    uint32_t c0[kCounters], c1[kCounters], c2[kCounters] = {}, c3[kCounters] = {};
    for (int l = 0; l < kCounters; ++l) {
      c0[l] = static_cast<uint32_t>(counter + static_cast<uint64_t>(l));
      c1[l] = static_cast<uint32_t>((counter + static_cast<uint64_t>(l)) >> 32);
    }
    uint32_t k0 = key.low, k1 = key.high;
    for (int round = 0; round < 10; ++round) {
      for (int l = 0; l < kCounters; ++l) {
        const uint64_t p0 = uint64_t{0xD2511F53u} * c0[l], p1 = uint64_t{0xCD9E8D57u} * c2[l];
        c0[l] = static_cast<uint32_t>(p1 >> 32) ^ c1[l] ^ k0;
        c2[l] = static_cast<uint32_t>(p0 >> 32) ^ c3[l] ^ k1;
        c1[l] = static_cast<uint32_t>(p1);
        c3[l] = static_cast<uint32_t>(p0);
      }
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    float* block = out + first;
    for (int l = 0; l < kCounters; ++l) {
      block[4 * l] = c0[l] < threshold ? 0.0f : keep;
      block[4 * l + 1] = c1[l] < threshold ? 0.0f : keep;
      block[4 * l + 2] = c2[l] < threshold ? 0.0f : keep;
      block[4 * l + 3] = c3[l] < threshold ? 0.0f : keep;
    }
  }
}

}  // namespace strata::kernels
