#pragma once
// GELU of 16 values. For *_avx512*.cc only.
#include "core/kernels/inference_kernels.h"
#include "core/kernels/vector_math.h"

#include <immintrin.h>

namespace strata::kernels {
namespace {

// x Φ(x) = x / 2 + |x| (Φ(|x|) − 1/2). A NaN stays one.
STRATA_INLINE __m512 gelu_16(__m512 x, const GeluTable& table) {
  const __m512 size = _mm512_abs_ps(x);
  const __m512 place = _mm512_mul_ps(_mm512_min_ps(size, _mm512_set1_ps(kGeluReach * 0.9999999f)), _mm512_set1_ps(32 / kGeluReach));
  const __m512i piece = _mm512_cvttps_epi32(place);
  const __m512 u = _mm512_sub_ps(place, _mm512_cvtepi32_ps(piece));
  const auto coefficient = [&](int power) __attribute__((always_inline)) {
    return _mm512_permutex2var_ps(_mm512_load_ps(table.coefficients[power]), piece, _mm512_load_ps(table.coefficients[power] + 16));
  };
  __m512 q = coefficient(3);
  q = _mm512_fmadd_ps(q, u, coefficient(2));
  q = _mm512_fmadd_ps(q, u, coefficient(1));
  q = _mm512_fmadd_ps(q, u, coefficient(0));
  return _mm512_fmadd_ps(size, q, _mm512_mul_ps(x, _mm512_set1_ps(0.5f)));
}

STRATA_INLINE __mmask16 first_lanes(int64_t count) {
  return count >= 16 ? static_cast<__mmask16>(0xFFFF) : static_cast<__mmask16>((1u << count) - 1);
}

}  // namespace
}  // namespace strata::kernels
