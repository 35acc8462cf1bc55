#include "core/kernels/small_product.h"

namespace strata::kernels {
namespace {

int64_t padded(int64_t columns) { return (columns + 15) / 16 * 16; }

}  // namespace

int64_t small_product_scratch(int64_t inner, int64_t columns) { return inner * padded(columns); }

}  // namespace strata::kernels

#if defined(__AVX512F__)
#include "core/kernels/transpose_avx512.h"

namespace strata::kernels {
namespace {

constexpr int64_t kRows = 8;  // of a block: with two vectors of columns, 16 sums and two loads stay in registers

// A block of R rows and V vectors of columns, of the last of which `lanes` exist.
template <int R, int V>
STRATA_INLINE void block(const Matrix& left, const float* right, int64_t right_stride, int64_t inner, float* out, int64_t out_stride,
                         __mmask16 lanes) {
  __m512 sums[R * V];
#pragma GCC unroll 16
  for (int i = 0; i < R * V; ++i) sums[i] = _mm512_setzero_ps();
  for (int64_t k = 0; k < inner; ++k) {
    __m512 row[V];
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) row[v] = _mm512_maskz_loadu_ps(v == V - 1 ? lanes : __mmask16{0xFFFF}, right + k * right_stride + 16 * v);
    const float* column = left.data + k * left.column_stride;
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const __m512 value = _mm512_set1_ps(column[r * left.row_stride]);
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) sums[r * V + v] = _mm512_fmadd_ps(value, row[v], sums[r * V + v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v)
      _mm512_mask_storeu_ps(out + r * out_stride + 16 * v, v == V - 1 ? lanes : __mmask16{0xFFFF}, sums[r * V + v]);
}

template <int V>
void blocks(const Matrix& left, const float* right, int64_t right_stride, int64_t rows, int64_t inner, float* out, int64_t out_stride,
            __mmask16 lanes) {
  int64_t r = 0;
  const auto from = [&](int64_t row) { return Matrix{left.data + row * left.row_stride, left.row_stride, left.column_stride}; };
  for (; r + kRows <= rows; r += kRows) block<kRows, V>(from(r), right, right_stride, inner, out + r * out_stride, out_stride, lanes);
  if (r + 4 <= rows) {
    block<4, V>(from(r), right, right_stride, inner, out + r * out_stride, out_stride, lanes);
    r += 4;
  }
  for (; r < rows; ++r) block<1, V>(from(r), right, right_stride, inner, out + r * out_stride, out_stride, lanes);
}

}  // namespace

void small_product(const Matrix& left, const Matrix& right, int64_t rows, int64_t inner, int64_t columns, float* out, int64_t out_stride,
                   float* scratch) {
  const float* by_rows = right.data;
  int64_t stride = right.row_stride;
  if (right.column_stride != 1) {
    stride = padded(columns);
    for (int64_t c = 0; c < columns; c += 16)
      for (int64_t k = 0; k < inner; k += 16)
        transpose_16(right.data + c * right.column_stride + k, right.column_stride, columns - c < 16 ? columns - c : 16, scratch + k * stride + c, stride);
    by_rows = scratch;
  }
  for (int64_t c = 0; c < columns; c += 32) {
    const int64_t left_over = columns - c;
    if (left_over > 16)
      blocks<2>(left, by_rows + c, stride, rows, inner, out + c, out_stride, first_lanes(left_over - 16));
    else
      blocks<1>(left, by_rows + c, stride, rows, inner, out + c, out_stride, first_lanes(left_over));
  }
}

}  // namespace strata::kernels
#else
namespace strata::kernels {
void small_product(const Matrix&, const Matrix&, int64_t, int64_t, int64_t, float*, int64_t, float*) {}
}  // namespace strata::kernels
#endif
