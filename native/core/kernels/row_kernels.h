#pragma once
// Softmax and cross-entropy over rows in one or two passes, float and bf16 (vectorised) and double (plain).
#include "core/kernels/bf16.h"

#include <cstdint>

namespace strata::kernels {

// row <- softmax(scale * row)
void softmax_row(float* row, int64_t count, float scale);
void softmax_row(double* row, int64_t count, double scale);

// gradient <- scale * weight * (gradient - sum(gradient * weight)), the gradient of softmax(scale * scores) by its scores
void softmax_backward_row(float* gradient, const float* weight, int64_t count, float scale);
void softmax_backward_row(double* gradient, const double* weight, int64_t count, double scale);

// out <- row * factors
void scale_row(const Bf16* row, const float* factors, int64_t count, Bf16* out);

// Cross-entropy of one row of logits: returns -log softmax(row)[label] and leaves softmax(row) - onehot(label) in the row.
double cross_entropy_row(float* row, int64_t count, int64_t label);
double cross_entropy_row(double* row, int64_t count, int64_t label);

// The same in two passes, since a probability that is rounded before it is scaled would be rounded twice: the first returns the loss and
// log_sum = log(sum(e^row)), the second puts scale · (softmax(row) - onehot(label)) in the row's place.
double cross_entropy_row(const Bf16* row, int64_t count, int64_t label, float& log_sum);
void cross_entropy_gradient_row(Bf16* row, int64_t count, int64_t label, float log_sum, float scale);

}  // namespace strata::kernels
