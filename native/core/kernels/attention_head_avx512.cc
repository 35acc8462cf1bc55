#include "core/kernels/inference_kernels.h"

namespace strata::kernels {
namespace {

constexpr int64_t kRows = 8;  // queries at a time

int64_t padded(int64_t length) { return (length + 15) / 16 * 16; }

}  // namespace

// The keys transposed (size, length), then the scores of kRows queries.
int64_t attention_scratch(int64_t length, int64_t size) { return (size + kRows) * padded(length); }

}  // namespace strata::kernels

#if defined(__AVX512F__)
#include "core/kernels/exponential_avx512.h"
#include "core/kernels/gelu_avx512.h"
#include "core/kernels/transpose_avx512.h"

namespace strata::kernels {
namespace {

// out (R rows, 16 V columns) = a (R rows, `inner`) · b (inner, 16 V columns), each row times its factor.
template <int R, int V>
STRATA_INLINE void product(const float* a, int64_t a_stride, const float* b, int64_t b_stride, int64_t inner, const float* factors,
                           float* out, int64_t out_stride) {
  __m512 sums[R * V];
#pragma GCC unroll 16
  for (int i = 0; i < R * V; ++i) sums[i] = _mm512_setzero_ps();
  for (int64_t k = 0; k < inner; ++k) {
    __m512 row[V];
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) row[v] = _mm512_loadu_ps(b + k * b_stride + 16 * v);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const __m512 value = _mm512_set1_ps(a[r * a_stride + k]);
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) sums[r * V + v] = _mm512_fmadd_ps(value, row[v], sums[r * V + v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v)
      _mm512_storeu_ps(out + r * out_stride + 16 * v, _mm512_mul_ps(sums[r * V + v], _mm512_set1_ps(factors[r])));
}

template <int R>
STRATA_INLINE void product_rows(const float* a, int64_t a_stride, const float* b, int64_t b_stride, int64_t inner, int64_t columns,
                                const float* factors, float* out, int64_t out_stride) {
  int64_t c = 0;
  for (; c + 32 <= columns; c += 32) product<R, 2>(a, a_stride, b + c, b_stride, inner, factors, out + c, out_stride);
  if (c < columns) product<R, 1>(a, a_stride, b + c, b_stride, inner, factors, out + c, out_stride);
}

void product_of(int64_t rows, const float* a, int64_t a_stride, const float* b, int64_t b_stride, int64_t inner, int64_t columns,
                const float* factors, float* out, int64_t out_stride) {
  switch (rows) {
    case 8: return product_rows<8>(a, a_stride, b, b_stride, inner, columns, factors, out, out_stride);
    case 7: return product_rows<7>(a, a_stride, b, b_stride, inner, columns, factors, out, out_stride);
    case 6: return product_rows<6>(a, a_stride, b, b_stride, inner, columns, factors, out, out_stride);
    case 5: return product_rows<5>(a, a_stride, b, b_stride, inner, columns, factors, out, out_stride);
    case 4: return product_rows<4>(a, a_stride, b, b_stride, inner, columns, factors, out, out_stride);
    case 3: return product_rows<3>(a, a_stride, b, b_stride, inner, columns, factors, out, out_stride);
    case 2: return product_rows<2>(a, a_stride, b, b_stride, inner, columns, factors, out, out_stride);
    default: return product_rows<1>(a, a_stride, b, b_stride, inner, columns, factors, out, out_stride);
  }
}

// row <- e^(row − its maximum); returns 1 / sum. Lanes are summed in float: rows are at most some thousands long.
STRATA_INLINE float exponentials(float* row, int64_t length) {
  const __m512 none = _mm512_set1_ps(-3.4e38f);
  __m512 maxima = none;
  for (int64_t i = 0; i < length; i += 16)
    maxima = _mm512_max_ps(maxima, _mm512_mask_loadu_ps(none, first_lanes(length - i), row + i));
  const __m512 maximum = _mm512_set1_ps(_mm512_reduce_max_ps(maxima));
  __m512 sums = _mm512_setzero_ps();
  for (int64_t i = 0; i < length; i += 16) {
    const __mmask16 lanes = first_lanes(length - i);
    const __m512 e = _mm512_maskz_mov_ps(lanes, exponential(_mm512_sub_ps(_mm512_loadu_ps(row + i), maximum)));
    _mm512_storeu_ps(row + i, e);
    sums = _mm512_add_ps(sums, e);
  }
  return 1 / _mm512_reduce_add_ps(sums);
}

}  // namespace

void attention_head(const float* query, const float* key, const float* value, int64_t stride, int64_t length, int64_t size,
                    float scale, float* context, int64_t context_stride, float* scratch) {
  const int64_t columns = padded(length);
  float* keys = scratch;
  float* scores = scratch + size * columns;
  for (int64_t j = 0; j < length; j += 16)
    for (int64_t d = 0; d < size; d += 16)
      transpose_16(key + j * stride + d, stride, length - j < 16 ? length - j : 16, keys + d * columns + j, columns);
  float scales[kRows], factors[kRows];
  for (float& s : scales) s = scale;
  for (int64_t i = 0; i < length; i += kRows) {
    const int64_t rows = length - i < kRows ? length - i : kRows;
    product_of(rows, query + i * stride, stride, keys, columns, size, columns, scales, scores, columns);
    for (int64_t r = 0; r < rows; ++r) factors[r] = exponentials(scores + r * columns, length);
    product_of(rows, scores, columns, value, stride, length, size, factors, context + i * context_stride, context_stride);
  }
}

}  // namespace strata::kernels
#else
namespace strata::kernels {
void attention_head(const float*, const float*, const float*, int64_t, int64_t, int64_t, float, float*, int64_t, float*) {}
}  // namespace strata::kernels
#endif
