#pragma once
// Dropout factors from Philox, many counters side by side. Draws are those of philox4x32, one after the other.
#include "core/philox.h"

#include <cstdint>

namespace strata::kernels {

constexpr int64_t kDropoutBlock = 64;

// out[i] = 0 where draw i is below `threshold`, else `keep`; draw i is word i % 4 of counter `counter` + i / 4. `count` is a multiple of
// kDropoutBlock.
void dropout_blocks(float* out, int64_t count, PhiloxKey key, uint64_t counter, uint32_t threshold, float keep);

}  // namespace strata::kernels
