#include "core/kernels/pair_product.h"

#if defined(__AVX512BF16__)
#include "core/kernels/bf16_avx512.h"
#include "core/kernels/transpose_avx512.h"

namespace strata::kernels {
namespace {

constexpr int64_t kRows = 8;  // of a block: with two vectors of columns, 16 sums and two loads stay in registers

STRATA_INLINE void store(float* out, __mmask16 lanes, __m512 sums) { _mm512_mask_storeu_ps(out, lanes, sums); }
STRATA_INLINE void store(Bf16* out, __mmask16 lanes, __m512 sums) { store_bf16(out, lanes, sums); }

// A block of R rows and V vectors of columns, of the last of which `lanes` exist.
template <int R, int V, typename Out>
STRATA_INLINE void block(const LeftPairs& left, const RightPairs& right, int64_t pairs, Out* out, int64_t out_stride, __mmask16 lanes) {
  __m512 sums[R * V];
#pragma GCC unroll 16
  for (int i = 0; i < R * V; ++i) sums[i] = _mm512_setzero_ps();
  for (int64_t p = 0; p < pairs; ++p) {
    __m512bh row[V];
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) row[v] = (__m512bh)_mm512_loadu_si512(right.data + 2 * (p * right.columns + kPairLanes * v));
    const Bf16* column = left.data + p * left.pair_stride;
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      int32_t pair;
      std::memcpy(&pair, column + r * left.row_stride, sizeof pair);
      const auto value = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) sums[r * V + v] = _mm512_dpbf16_ps(sums[r * V + v], value, row[v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v)
      store(out + r * out_stride + kPairLanes * v, v == V - 1 ? lanes : __mmask16{0xFFFF}, sums[r * V + v]);
}

template <int V, typename Out>
void blocks(const LeftPairs& left, const RightPairs& right, int64_t rows, int64_t pairs, Out* out, int64_t out_stride, __mmask16 lanes) {
  int64_t r = 0;
  const auto from = [&](int64_t row) { return LeftPairs{left.data + row * left.row_stride, left.row_stride, left.pair_stride}; };
  for (; r + kRows <= rows; r += kRows) block<kRows, V>(from(r), right, pairs, out + r * out_stride, out_stride, lanes);
  if (r + 4 <= rows) {
    block<4, V>(from(r), right, pairs, out + r * out_stride, out_stride, lanes);
    r += 4;
  }
  for (; r < rows; ++r) block<1, V>(from(r), right, pairs, out + r * out_stride, out_stride, lanes);
}

template <typename Out>
void product(const LeftPairs& left, const RightPairs& right, int64_t rows, int64_t pairs, int64_t columns, Out* out, int64_t out_stride) {
  for (int64_t c = 0; c < columns; c += 2 * kPairLanes) {
    const int64_t left_over = columns - c;
    const RightPairs from{right.data + 2 * c, right.columns};
    if (left_over > kPairLanes)
      blocks<2>(left, from, rows, pairs, out + c, out_stride, first_lanes(left_over - kPairLanes));
    else
      blocks<1>(left, from, rows, pairs, out + c, out_stride, first_lanes(left_over));
  }
}

}  // namespace

void pair_product(const LeftPairs& left, const RightPairs& right, int64_t rows, int64_t pairs, int64_t columns, float* out, int64_t out_stride) {
  product(left, right, rows, pairs, columns, out, out_stride);
}

void pair_product(const LeftPairs& left, const RightPairs& right, int64_t rows, int64_t pairs, int64_t columns, Bf16* out, int64_t out_stride) {
  product(left, right, rows, pairs, columns, out, out_stride);
}

void turn_pairs(const Bf16* in, int64_t stride, int64_t rows, int64_t pairs, Bf16* out) {
  const int64_t columns = padded_to_lanes(rows);
  for (int64_t r = 0; r < rows; r += 16)
    for (int64_t p = 0; p < pairs; p += 16)  // a pair is moved as the 32 bits that it is
      transpose_16(reinterpret_cast<const float*>(in + r * stride + 2 * p), stride / 2, rows - r < 16 ? rows - r : 16,
                   reinterpret_cast<float*>(out + 2 * (p * columns + r)), columns);
}

void interleave_rows(const Bf16* in, int64_t stride, int64_t rows, int64_t columns, Bf16* out) {
  const int64_t width = padded_to_lanes(columns);
  for (int64_t r = 0; r < rows; r += 2) {
    const Bf16 *first = in + r * stride, *second = first + stride;
    for (int64_t c = 0; c < columns; c += kPairLanes) {
      const __mmask16 lanes = first_lanes(columns - c);
      const __m512i low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, first + c));
      const __m512i high =
          r + 1 < rows ? _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, second + c)), 16) : _mm512_setzero_si512();
      _mm512_storeu_si512(out + r * width + 2 * c, _mm512_or_si512(low, high));
    }
  }
}

}  // namespace strata::kernels
#else
namespace strata::kernels {
void pair_product(const LeftPairs&, const RightPairs&, int64_t, int64_t, int64_t, float*, int64_t) {}
void pair_product(const LeftPairs&, const RightPairs&, int64_t, int64_t, int64_t, Bf16*, int64_t) {}
void turn_pairs(const Bf16*, int64_t, int64_t, int64_t, Bf16*) {}
void interleave_rows(const Bf16*, int64_t, int64_t, int64_t, Bf16*) {}
}  // namespace strata::kernels
#endif
