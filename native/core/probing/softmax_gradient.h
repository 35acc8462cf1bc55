#pragma once
// The part that all probing classifiers share: from scores to the loss and its gradient.
#include "core/ops.h"

#include <cstdint>

namespace strata {

// Scores (n, A * C) of A problems to softmax minus one at the label's class, in a new tensor: the gradient of the summed loss. Adds
// each problem's summed loss to losses[A], and to squares[A], when given, the sum of the squared probabilities.
at::Tensor softmax_gradient(const at::Tensor& scores, const int32_t* labels, int64_t problems, int64_t classes, double* losses,
                            double* squares = nullptr);

// How many arg-maxes of the scores (n, C) are the label; predictions, when given, receive them.
int64_t count_right(const at::Tensor& scores, const int32_t* labels, int32_t* predictions = nullptr);

}  // namespace strata
