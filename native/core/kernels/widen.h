#pragma once
// bf16 to float for values that are read much later. For AVX-512 (has_avx512() of inference_kernels.h); elsewhere it does nothing.
#include "core/kernels/bf16.h"

namespace strata::kernels {

// out <- in, written to memory itself: a cache would fetch each line first and give up others for it.
void widen_past_cache(const Bf16* in, int64_t size, float* out);

}  // namespace strata::kernels
