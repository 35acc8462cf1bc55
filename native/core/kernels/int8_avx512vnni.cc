#include "core/kernels/inference_kernels.h"

#if defined(__AVX512VNNI__)
#include "core/kernels/gelu_avx512.h"

#include <cstring>
#include <limits>

namespace strata::kernels {
namespace {

template <int R>
STRATA_INLINE void panel_rows(const uint8_t* x, int64_t x_stride, const float* scale, const int32_t* zero, int64_t groups,
                              const Int8Columns& weight, const GeluTable* gelu, float* out, int64_t out_stride) {
  __m512i sums[R * 4];
#pragma GCC unroll 24
  for (int i = 0; i < R * 4; ++i) sums[i] = _mm512_setzero_si512();
  const int8_t* panel = weight.panel;
  for (int64_t g = 0; g < groups; ++g, panel += kPanel * kGroup) {
    __m512i w[4];
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) w[v] = _mm512_load_si512(panel + 64 * v);
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) {
      int32_t four;
      std::memcpy(&four, x + r * x_stride + g * kGroup, sizeof four);
      const __m512i a = _mm512_set1_epi32(four);
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) sums[r * 4 + v] = _mm512_dpbusd_epi32(sums[r * 4 + v], a, w[v]);
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < 4; ++v) {
    const int64_t column = 16 * v;
    if (column >= weight.columns) continue;
    const __mmask16 lanes = first_lanes(weight.columns - column);
    const __m512 scales = _mm512_loadu_ps(weight.scales + column);
    const __m512i columns = _mm512_loadu_si512(weight.sums + column);
    const __m512 bias = weight.bias == nullptr ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(lanes, weight.bias + column);
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) {
      const __m512i exact = _mm512_sub_epi32(sums[r * 4 + v], _mm512_mullo_epi32(_mm512_set1_epi32(zero[r]), columns));
      __m512 y = _mm512_fmadd_ps(_mm512_cvtepi32_ps(exact), _mm512_mul_ps(_mm512_set1_ps(scale[r]), scales), bias);
      if (gelu != nullptr) y = gelu_16(y, *gelu);
      _mm512_mask_storeu_ps(out + r * out_stride + column, lanes, y);
    }
  }
}

}  // namespace

void quantize_row(const float* x, int64_t size, uint8_t* out, float* scale, int32_t* zero) {
  __m512 low = _mm512_setzero_ps(), high = _mm512_setzero_ps();
  __mmask16 not_numbers = 0;
  for (int64_t i = 0; i < size; i += 16) {
    const __m512 value = _mm512_maskz_loadu_ps(first_lanes(size - i), x + i);
    low = _mm512_min_ps(low, value);
    high = _mm512_max_ps(high, value);
    not_numbers = _kor_mask16(not_numbers, _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q));
  }
  const float smallest = _mm512_reduce_min_ps(low), range = _mm512_reduce_max_ps(high) - smallest;
  const int64_t whole = (size + kGroup - 1) / kGroup * kGroup;
  if (not_numbers != 0 || !(range <= std::numeric_limits<float>::max())) {
    // What such a row gives is NaN, by its scale.
    std::memset(out, 0, static_cast<size_t>(whole));
    *scale = std::numeric_limits<float>::quiet_NaN();
    *zero = 0;
    return;
  }
  const float step = range > 1e-30f ? range / 255 : 1.0f, factor = 1 / step;
  const __m512 factors = _mm512_set1_ps(factor);
  const __m512i shift = _mm512_cvtps_epi32(_mm512_set1_ps(-smallest * factor));
  const __m512i most = _mm512_set1_epi32(255);
  *scale = step;
  *zero = _mm_cvtsi128_si32(_mm512_castsi512_si128(shift));
  for (int64_t i = 0; i < whole; i += 16) {
    const __m512 value = _mm512_maskz_loadu_ps(first_lanes(size - i < 0 ? 0 : size - i), x + i);
    __m512i q = _mm512_add_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(value, factors)), shift);
    q = _mm512_min_epi32(_mm512_max_epi32(q, _mm512_setzero_si512()), most);
    _mm_mask_storeu_epi8(out + i, first_lanes(whole - i), _mm512_cvtepi32_epi8(q));
  }
}

void int8_panel(const uint8_t* x, int64_t x_stride, const float* scale, const int32_t* zero, int64_t rows, int64_t groups,
                const Int8Columns& weight, const GeluTable* gelu, float* out, int64_t out_stride) {
  int64_t r = 0;
  for (; r + 6 <= rows; r += 6)
    panel_rows<6>(x + r * x_stride, x_stride, scale + r, zero + r, groups, weight, gelu, out + r * out_stride, out_stride);
  x += r * x_stride;
  scale += r;
  zero += r;
  out += r * out_stride;
  switch (rows - r) {
    case 5: return panel_rows<5>(x, x_stride, scale, zero, groups, weight, gelu, out, out_stride);
    case 4: return panel_rows<4>(x, x_stride, scale, zero, groups, weight, gelu, out, out_stride);
    case 3: return panel_rows<3>(x, x_stride, scale, zero, groups, weight, gelu, out, out_stride);
    case 2: return panel_rows<2>(x, x_stride, scale, zero, groups, weight, gelu, out, out_stride);
    case 1: return panel_rows<1>(x, x_stride, scale, zero, groups, weight, gelu, out, out_stride);
    default: return;
  }
}

}  // namespace strata::kernels
#else
namespace strata::kernels {
void quantize_row(const float*, int64_t, uint8_t*, float*, int32_t*) {}
void int8_panel(const uint8_t*, int64_t, const float*, const int32_t*, int64_t, int64_t, const Int8Columns&, const GeluTable*, float*,
                int64_t) {}
}  // namespace strata::kernels
#endif
