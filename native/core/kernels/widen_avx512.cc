#include "core/kernels/widen.h"

#if defined(__AVX512F__)
#include <immintrin.h>

namespace strata::kernels {

void widen_past_cache(const Bf16* in, int64_t size, float* out) {
  int64_t i = 0;
  for (; i < size && reinterpret_cast<uintptr_t>(out + i) % 64 != 0; ++i) out[i] = widen(in[i]);
  for (; i + 16 <= size; i += 16) {
    const __m512i words = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(in + i)));
    _mm512_stream_ps(out + i, _mm512_castsi512_ps(_mm512_slli_epi32(words, 16)));
  }
  for (; i < size; ++i) out[i] = widen(in[i]);
  _mm_sfence();  // what goes past the cache is seen by whoever comes after
}

}  // namespace strata::kernels
#else
namespace strata::kernels {
void widen_past_cache(const Bf16*, int64_t, float*) {}
}  // namespace strata::kernels
#endif
