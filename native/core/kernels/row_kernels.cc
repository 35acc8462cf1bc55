#include "core/kernels/row_kernels.h"

#include "core/kernels/vector_math.h"

#include <algorithm>
#include <cmath>

namespace strata::kernels {
namespace {

STRATA_INLINE float row_maximum(const float* row, int64_t count) {
  float lanes[kLanes];
  for (int l = 0; l < kLanes; ++l) lanes[l] = row[0];
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (int l = 0; l < kLanes; ++l) lanes[l] = lanes[l] > row[i + l] ? lanes[l] : row[i + l];
  float maximum = lanes[0];
  for (int l = 1; l < kLanes; ++l) maximum = maximum > lanes[l] ? maximum : lanes[l];
  for (; i < count; ++i) maximum = maximum > row[i] ? maximum : row[i];
  return maximum;
}

// Rows in bf16 are widened a block at a time: the compiler vectorises loops over floats better than those that convert on the way.
constexpr int64_t kBlock = 1024;

// Returns how many values the block has.
STRATA_INLINE int64_t widen_block(const Bf16* row, int64_t left_over, float* block) {
  const int64_t length = left_over < kBlock ? left_over : kBlock;
  for (int64_t i = 0; i < length; ++i) block[i] = widen(row[i]);
  return length;
}

// row <- e^(scale * (row - maximum)); returns the sum. Lanes are summed in float, blocks of 4096 in double.
STRATA_INLINE double row_exponentials(float* row, int64_t count, float scale, float maximum) {
  double total = 0;
  for (int64_t first = 0; first < count; first += 4096) {
    const int64_t end = count < first + 4096 ? count : first + 4096;
    float lanes[kLanes] = {};
    int64_t i = first;
    for (; i + kLanes <= end; i += kLanes) {
      for (int l = 0; l < kLanes; ++l) {
        const float e = fast_exp(scale * (row[i + l] - maximum));
        row[i + l] = e;
        lanes[l] += e;
      }
    }
    for (int l = 0; l < kLanes; ++l) total += lanes[l];
    for (; i < end; ++i) {
      row[i] = fast_exp(scale * (row[i] - maximum));
      total += row[i];
    }
  }
  return total;
}

}  // namespace

STRATA_CLONES void softmax_row(float* row, int64_t count, float scale) {
  const float factor = static_cast<float>(1 / row_exponentials(row, count, scale, row_maximum(row, count)));
  for (int64_t i = 0; i < count; ++i) row[i] *= factor;
}

STRATA_CLONES void softmax_backward_row(float* gradient, const float* weight, int64_t count, float scale) {
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (int l = 0; l < kLanes; ++l) lanes[l] += gradient[i + l] * weight[i + l];
  float dot = 0;
  for (int l = 0; l < kLanes; ++l) dot += lanes[l];
  for (; i < count; ++i) dot += gradient[i] * weight[i];
  for (int64_t j = 0; j < count; ++j) gradient[j] = scale * weight[j] * (gradient[j] - dot);
}

STRATA_CLONES void scale_row(const Bf16* row, const float* factors, int64_t count, Bf16* out) {
  for (int64_t i = 0; i < count; ++i) narrow(widen(row[i]) * factors[i], out[i]);
}

STRATA_CLONES double cross_entropy_row(float* row, int64_t count, int64_t label) {
  const float maximum = row_maximum(row, count);
  const double logit = static_cast<double>(row[label]) - maximum;
  const double sum = row_exponentials(row, count, 1.0f, maximum);
  const float factor = static_cast<float>(1 / sum);
  for (int64_t i = 0; i < count; ++i) row[i] *= factor;
  row[label] -= 1.0f;
  return std::log(sum) - logit;
}

STRATA_CLONES double cross_entropy_row(const Bf16* row, int64_t count, int64_t label, float& log_sum) {
  float block[kBlock];
  float maximum = widen(row[0]);
  for (int64_t first = 0; first < count; first += kBlock) {
    const int64_t length = widen_block(row + first, count - first, block);
    const float largest = row_maximum(block, length);
    maximum = maximum > largest ? maximum : largest;
  }
  double sum = 0;
  for (int64_t first = 0; first < count; first += kBlock) {
    const int64_t length = widen_block(row + first, count - first, block);
    sum += lane_sum<float>(length, [&](int64_t i) __attribute__((always_inline)) { return fast_exp(block[i] - maximum); });
  }
  const double log_of_sum = std::log(sum);
  log_sum = static_cast<float>(log_of_sum + maximum);
  return log_of_sum - (static_cast<double>(widen(row[label])) - maximum);
}

STRATA_CLONES void cross_entropy_gradient_row(Bf16* row, int64_t count, int64_t label, float log_sum, float scale) {
  const float at_label = scale * (fast_exp(widen(row[label]) - log_sum) - 1.0f);
  float block[kBlock];
  for (int64_t first = 0; first < count; first += kBlock) {
    const int64_t length = widen_block(row + first, count - first, block);
    for (int64_t i = 0; i < length; ++i) block[i] = scale * fast_exp(block[i] - log_sum);
    for (int64_t i = 0; i < length; ++i) narrow(block[i], row[first + i]);
  }
  narrow(at_label, row[label]);
}

void softmax_row(double* row, int64_t count, double scale) {
  const double maximum = *std::max_element(row, row + count);
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += row[i] = std::exp(scale * (row[i] - maximum));
  for (int64_t i = 0; i < count; ++i) row[i] /= sum;
}

void softmax_backward_row(double* gradient, const double* weight, int64_t count, double scale) {
  double dot = 0;
  for (int64_t i = 0; i < count; ++i) dot += gradient[i] * weight[i];
  for (int64_t i = 0; i < count; ++i) gradient[i] = scale * weight[i] * (gradient[i] - dot);
}

double cross_entropy_row(double* row, int64_t count, int64_t label) {
  const double maximum = *std::max_element(row, row + count);
  const double logit = row[label] - maximum;
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += row[i] = std::exp(row[i] - maximum);
  for (int64_t i = 0; i < count; ++i) row[i] /= sum;
  row[label] -= 1;
  return std::log(sum) - logit;
}

}  // namespace strata::kernels
