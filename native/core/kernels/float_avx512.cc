#include "core/kernels/inference_kernels.h"

#if defined(__AVX512F__)
#include "core/kernels/gelu_avx512.h"

namespace strata::kernels {
namespace {

// Sums of 16 vectors, in order.
STRATA_INLINE __m512 sums_of(const __m512* v) {
  __m512 quads[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(v[4 * i], v[4 * i + 1]), _mm512_unpackhi_ps(v[4 * i], v[4 * i + 1]));
    const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(v[4 * i + 2], v[4 * i + 3]), _mm512_unpackhi_ps(v[4 * i + 2], v[4 * i + 3]));
    const __m512d ab2 = _mm512_castps_pd(ab), cd2 = _mm512_castps_pd(cd);
    quads[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(ab2, cd2)), _mm512_castpd_ps(_mm512_unpackhi_pd(ab2, cd2)));
  }
  const __m512 s01 = _mm512_add_ps(_mm512_shuffle_f32x4(quads[0], quads[1], 0x88), _mm512_shuffle_f32x4(quads[0], quads[1], 0xDD));
  const __m512 s23 = _mm512_add_ps(_mm512_shuffle_f32x4(quads[2], quads[3], 0x88), _mm512_shuffle_f32x4(quads[2], quads[3], 0xDD));
  return _mm512_add_ps(_mm512_shuffle_f32x4(s01, s23, 0x88), _mm512_shuffle_f32x4(s01, s23, 0xDD));
}

// Four rows of x times four rows of w: lane group r of the result holds row r's four products. kFetch: the four rows of w after these are on
// their way while they are not needed yet.
template <bool kFetch>
STRATA_INLINE __m512 four_by_four(const float* const* x, const float* const* w, int64_t in) {
  __m512 sums[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) sums[i] = _mm512_setzero_ps();
  int64_t k = 0;
  for (; k + 16 <= in; k += 16) {
    __m512 b[4];
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      b[c] = _mm512_loadu_ps(w[c] + k);
      if (kFetch) _mm_prefetch(reinterpret_cast<const char*>(w[c] + 4 * in + k), _MM_HINT_T0);
    }
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r) {
      const __m512 a = _mm512_loadu_ps(x[r] + k);
#pragma GCC unroll 4
      for (int c = 0; c < 4; ++c) sums[4 * r + c] = _mm512_fmadd_ps(a, b[c], sums[4 * r + c]);
    }
  }
  if (k < in) {
    const __mmask16 rest = first_lanes(in - k);
    __m512 b[4];
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) b[c] = _mm512_maskz_loadu_ps(rest, w[c] + k);
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r) {
      const __m512 a = _mm512_maskz_loadu_ps(rest, x[r] + k);
#pragma GCC unroll 4
      for (int c = 0; c < 4; ++c) sums[4 * r + c] = _mm512_fmadd_ps(a, b[c], sums[4 * r + c]);
    }
  }
  return sums_of(sums);
}

}  // namespace

void gelu_rows(float* x, const float* bias, int64_t rows, int64_t size, const GeluTable& table) {
  for (int64_t r = 0; r < rows; ++r) {
    float* row = x + r * size;
    for (int64_t i = 0; i < size; i += 16) {
      const __mmask16 lanes = first_lanes(size - i);
      __m512 value = _mm512_maskz_loadu_ps(lanes, row + i);
      if (bias != nullptr) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(lanes, bias + i));
      _mm512_mask_storeu_ps(row + i, lanes, gelu_16(value, table));
    }
  }
}

void dot_columns(const float* x, int64_t rows, int64_t in, const float* weight, int64_t begin, int64_t end, const float* bias,
                 const GeluTable* gelu, float* out, int64_t out_stride) {
  for (int64_t column = begin; column < end; column += 4) {
    const int64_t columns = end - column < 4 ? end - column : 4;
    // Rows that do not exist are the last one again, and are not stored.
    const float* w[4];
    for (int64_t c = 0; c < 4; ++c) w[c] = weight + (column + (c < columns ? c : columns - 1)) * in;
    const __mmask8 stored = static_cast<__mmask8>((1u << columns) - 1);
    const __m512 shift = bias == nullptr ? _mm512_setzero_ps() : _mm512_broadcast_f32x4(_mm_maskz_loadu_ps(stored, bias + column));
    for (int64_t row = 0; row < rows; row += 4) {
      const int64_t count = rows - row < 4 ? rows - row : 4;
      const float* a[4];
      for (int64_t r = 0; r < 4; ++r) a[r] = x + (row + (r < count ? r : count - 1)) * in;
      __m512 y = _mm512_add_ps((row == 0 ? four_by_four<true>(a, w, in) : four_by_four<false>(a, w, in)), shift);
      if (gelu != nullptr) y = gelu_16(y, *gelu);
      alignas(64) float values[16];
      _mm512_store_ps(values, y);
      for (int64_t r = 0; r < count; ++r)
        _mm_mask_storeu_ps(out + (row + r) * out_stride + column, stored, _mm_load_ps(values + 4 * r));
    }
  }
}

}  // namespace strata::kernels
#else
namespace strata::kernels {
void gelu_rows(float*, const float*, int64_t, int64_t, const GeluTable&) {}
void dot_columns(const float*, int64_t, int64_t, const float*, int64_t, int64_t, const float*, const GeluTable*, float*, int64_t) {}
}  // namespace strata::kernels
#endif
