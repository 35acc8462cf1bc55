#pragma once
// 16 × 16 values turned in registers. For sources that are compiled for AVX-512.
#include "core/kernels/gelu_avx512.h"

#include <immintrin.h>

#include <cstdint>

namespace strata::kernels {
namespace {

// out (16 columns of `out_stride`) <- transposed 16 rows of `stride`; rows from `rows` on count as 0.
STRATA_INLINE void transpose_16(const float* in, int64_t stride, int64_t rows, float* out, int64_t out_stride) {
  __m512 a[16], b[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) a[i] = i < rows ? _mm512_loadu_ps(in + i * stride) : _mm512_setzero_ps();
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    b[2 * i] = _mm512_unpacklo_ps(a[2 * i], a[2 * i + 1]);
    b[2 * i + 1] = _mm512_unpackhi_ps(a[2 * i], a[2 * i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const auto low = [&](int x, int y) { return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(b[x]), _mm512_castps_pd(b[y]))); };
    const auto high = [&](int x, int y) { return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(b[x]), _mm512_castps_pd(b[y]))); };
    a[4 * i] = low(4 * i, 4 * i + 2);
    a[4 * i + 1] = high(4 * i, 4 * i + 2);
    a[4 * i + 2] = low(4 * i + 1, 4 * i + 3);
    a[4 * i + 3] = high(4 * i + 1, 4 * i + 3);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    b[i] = _mm512_shuffle_f32x4(a[i], a[i + 4], 0x88);
    b[i + 4] = _mm512_shuffle_f32x4(a[i], a[i + 4], 0xDD);
    b[i + 8] = _mm512_shuffle_f32x4(a[i + 8], a[i + 12], 0x88);
    b[i + 12] = _mm512_shuffle_f32x4(a[i + 8], a[i + 12], 0xDD);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    const int row = i % 4 + (i / 4) * 4;  // columns 0-3 and 4-7
    _mm512_storeu_ps(out + row * out_stride, _mm512_shuffle_f32x4(b[i], b[i + 8], 0x88));
    _mm512_storeu_ps(out + (row + 8) * out_stride, _mm512_shuffle_f32x4(b[i], b[i + 8], 0xDD));
  }
}

}  // namespace
}  // namespace strata::kernels
