#pragma once
// 16 values of bf16 to and from float. For *_avx512bf16.cc only.
#include "core/kernels/bf16.h"
#include "core/kernels/gelu_avx512.h"

#include <immintrin.h>

namespace strata::kernels {
namespace {

// Lanes that do not exist are 0.
STRATA_INLINE __m512 load_bf16(const Bf16* x, __mmask16 lanes) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, x)), 16));
}

STRATA_INLINE void store_bf16(Bf16* out, __mmask16 lanes, __m512 x) { _mm256_mask_storeu_epi16(out, lanes, (__m256i)_mm512_cvtneps_pbh(x)); }

}  // namespace
}  // namespace strata::kernels
