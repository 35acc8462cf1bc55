#pragma once
// Products of bf16 summed in float, two neighbours of the inner dimension (a pair) at a time, by the instruction that processors have for it
// (vdpbf16ps). For small products, those of attention's heads, where has_avx512_bf16() of inference_kernels.h says so; elsewhere they do
// nothing. Nothing here knows of tensors or threads. Strides count bf16 values; a right side and what is made for one (`turn_pairs`,
// `interleave_rows`) begin at a multiple of 64 bytes.
#include "core/kernels/bf16.h"

namespace strata::kernels {

constexpr int64_t kPairLanes = 16;

inline int64_t padded_to_lanes(int64_t columns) { return (columns + kPairLanes - 1) / kPairLanes * kPairLanes; }

// Pair p of row r: the two values at data + r * row_stride + p * pair_stride.
struct LeftPairs {
  const Bf16* data;
  int64_t row_stride, pair_stride;
};

// Pair p of column c: the two values at data + 2 * (p * columns + c); columns are padded to kPairLanes.
struct RightPairs {
  const Bf16* data;
  int64_t columns;
};

// out (rows, columns) = left (rows, 2 · pairs) · right (2 · pairs, columns). out's rows are out_stride apart.
void pair_product(const LeftPairs& left, const RightPairs& right, int64_t rows, int64_t pairs, int64_t columns, float* out, int64_t out_stride);
void pair_product(const LeftPairs& left, const RightPairs& right, int64_t rows, int64_t pairs, int64_t columns, Bf16* out, int64_t out_stride);

// The transpose of `in` (rows, 2 · pairs) as a right side: (pairs, rows padded with 0, 2). pairs is a multiple of 16.
void turn_pairs(const Bf16* in, int64_t stride, int64_t rows, int64_t pairs, Bf16* out);

// `in` (rows, columns) as a right side, or its transpose as a left one: ((rows + 1) / 2, columns padded with 0, 2), the partner of an odd last
// row 0.
void interleave_rows(const Bf16* in, int64_t stride, int64_t rows, int64_t columns, Bf16* out);

}  // namespace strata::kernels
