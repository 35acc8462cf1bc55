#include "core/kernels/pair_softmax.h"

#if defined(__AVX512BF16__)
#include "core/kernels/bf16_avx512.h"
#include "core/kernels/exponential_avx512.h"

namespace strata::kernels {
namespace {

constexpr int64_t kHeld = 512;  // exponentials that are kept between the two passes; those of longer rows are taken again

}  // namespace

// Lanes are summed in float: rows are at most some thousands long.
void softmax_to_bf16(const float* scores, int64_t count, float scale, Bf16* weights) {
  alignas(64) float held[kHeld];
  const __m512 none = _mm512_set1_ps(-3.4e38f), factor = _mm512_set1_ps(scale);
  __m512 maxima = none;
  for (int64_t i = 0; i < count; i += 16) maxima = _mm512_max_ps(maxima, _mm512_mask_loadu_ps(none, first_lanes(count - i), scores + i));
  const __m512 maximum = _mm512_set1_ps(_mm512_reduce_max_ps(maxima));
  const auto power = [&](int64_t i, __mmask16 lanes) __attribute__((always_inline)) {
    return _mm512_maskz_mov_ps(lanes, exponential(_mm512_mul_ps(factor, _mm512_sub_ps(_mm512_maskz_loadu_ps(lanes, scores + i), maximum))));
  };
  __m512 sums = _mm512_setzero_ps();
  for (int64_t i = 0; i < count; i += 16) {
    const __m512 e = power(i, first_lanes(count - i));
    if (i < kHeld) _mm512_store_ps(held + i, e);
    sums = _mm512_add_ps(sums, e);
  }
  const __m512 inverse = _mm512_set1_ps(1 / _mm512_reduce_add_ps(sums));
  for (int64_t i = 0; i < count; i += 16) {
    const __mmask16 lanes = first_lanes(count - i);
    store_bf16(weights + i, lanes, _mm512_mul_ps(inverse, i < kHeld ? _mm512_load_ps(held + i) : power(i, lanes)));
  }
}

void softmax_backward_to_bf16(const float* gradient, const Bf16* weight, int64_t count, float scale, Bf16* out) {
  __m512 sums = _mm512_setzero_ps();
  for (int64_t i = 0; i < count; i += 16) {
    const __mmask16 lanes = first_lanes(count - i);
    sums = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(lanes, gradient + i), load_bf16(weight + i, lanes), sums);
  }
  const __m512 dot = _mm512_set1_ps(_mm512_reduce_add_ps(sums)), factor = _mm512_set1_ps(scale);
  for (int64_t i = 0; i < count; i += 16) {
    const __mmask16 lanes = first_lanes(count - i);
    const __m512 centred = _mm512_sub_ps(_mm512_maskz_loadu_ps(lanes, gradient + i), dot);
    store_bf16(out + i, lanes, _mm512_mul_ps(_mm512_mul_ps(factor, load_bf16(weight + i, lanes)), centred));
  }
}

}  // namespace strata::kernels
#else
namespace strata::kernels {
void softmax_to_bf16(const float*, int64_t, float, Bf16*) {}
void softmax_backward_to_bf16(const float*, const Bf16*, int64_t, float, Bf16*) {}
}  // namespace strata::kernels
#endif
