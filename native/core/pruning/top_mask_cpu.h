#pragma once
// The mask of top_share.h on the host, some times faster than a chain of operators.
#include <cstdint>

namespace strata {

// mask[i] = 1 for the `kept` (1 … count) largest scores, else 0; among equal scores the larger |weight| goes first, then the earlier place.
void top_mask_cpu(const float* scores, const float* weight, int64_t count, int64_t kept, float* mask);

}  // namespace strata
