#pragma once
// Float32 products that are too small for a library to be quick at: those of attention's heads. For AVX-512 (has_avx512() of
// inference_kernels.h); elsewhere they do nothing. Nothing here knows of tensors or threads.
#include <cstdint>

namespace strata::kernels {

// Value (row, column) at data[row * row_stride + column * column_stride].
struct Matrix {
  const float* data;
  int64_t row_stride, column_stride;
};

// Values that small_product needs as scratch for a right side of (inner, columns) whose rows do not lie in one piece; the scratch is aligned to 64 bytes.
int64_t small_product_scratch(int64_t inner, int64_t columns);

// out (rows, columns) = left (rows, inner) · right (inner, columns). out's rows are out_stride apart. right lies by rows (column_stride 1), or by
// columns (row_stride 1; inner a multiple of 16), and is turned into scratch then.
void small_product(const Matrix& left, const Matrix& right, int64_t rows, int64_t inner, int64_t columns, float* out, int64_t out_stride,
                   float* scratch);

}  // namespace strata::kernels
