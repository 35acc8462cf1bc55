#pragma once
// Kernels of models that only answer, written for AVX-512 (*_avx512.cc) and its 8-bit dot products (*_avx512vnni.cc). Elsewhere they are
// not there, and libtorch's operators do the work. Nothing here knows of tensors or threads.
#include <cstdint>

namespace strata::kernels {

// What this processor can run (small_product.h and pair_product.h ask, too); a build for another architecture says false.
bool has_avx512();
bool has_avx512_vnni();
bool has_avx512_bf16();

// Φ(a) − 1/2 for a in [0, 5.5): a cubic in each of 32 pieces, 2e-7 off at most (Φ: the normal distribution function).
struct alignas(64) GeluTable {
  float coefficients[4][32];  // by power
};
constexpr float kGeluReach = 5.5f;
const GeluTable& gelu_table();

// x <- GELU(x + bias) row by row; bias may be null. Rows are `size` values, one after the other.
void gelu_rows(float* x, const float* bias, int64_t rows, int64_t size, const GeluTable& table);

// out[r][c] = x[r] · weight[c] + bias[c] for columns begin to end, GELU of it where a table is given. x: (rows, in); weight: (·, in) where it
// lies, not packed: good for few rows. bias may be null.
void dot_columns(const float* x, int64_t rows, int64_t in, const float* weight, int64_t begin, int64_t end, const float* bias,
                 const GeluTable* gelu, float* out, int64_t out_stride);

// Attention of one head over one sequence: query, key and value are (length, size), rows `stride` apart; size is a multiple of 16.
// scratch: attention_scratch(length, size) values, aligned to 64 bytes.
int64_t attention_scratch(int64_t length, int64_t size);
void attention_head(const float* query, const float* key, const float* value, int64_t stride, int64_t length, int64_t size,
                    float scale, float* context, int64_t context_stride, float* scratch);

// 8-bit products. A panel holds 64 columns of a weight, in groups of 4 inputs: [in / 4][64][4], inputs padded with 0.
constexpr int64_t kPanel = 64;
constexpr int64_t kGroup = 4;

// out[i] = round(x[i] / scale) + zero in 0 … 255, padded with `zero` up to a multiple of kGroup. scale covers the row's range and 0.
void quantize_row(const float* x, int64_t size, uint8_t* out, float* scale, int32_t* zero);

struct Int8Columns {
  const int8_t* panel;
  const float* scales;      // (64) of the weight's columns
  const int32_t* sums;      // (64) of the column's 8-bit values
  const float* bias;        // (64) or null
  int64_t columns;          // that exist, 1 to 64
};
// out[r][c] = scale[r] · scales[c] · (x[r] · w[c] − zero[r] · sums[c]) + bias[c], GELU of it where a table is given.
void int8_panel(const uint8_t* x, int64_t x_stride, const float* scale, const int32_t* zero, int64_t rows, int64_t groups,
                const Int8Columns& weight, const GeluTable* gelu, float* out, int64_t out_stride);

}  // namespace strata::kernels
