#pragma once
// Passes over all weights of a model, bound by memory: AdamW, and the squares that a gradient's norm sums. Nothing here knows of tensors or
// threads.
#include "core/kernels/bf16.h"

namespace strata::kernels {

// One update of AdamW (Loshchilov & Hutter 2019), what does not depend on the element computed once.
struct AdamwUpdate {
  float gradient_factor;  // 1 / (loss scale · global clip)
  float keep;             // 1 - rate · weight decay
  float fresh1;           // 1 - beta1
  float beta2, fresh2;    // fresh2: 1 - beta2
  float step_size;        // rate / (1 - beta1^t)
  float root_divisor;     // sqrt(1 - beta2^t)
  float epsilon;
};

// parameter, first and second moment move; low, the parameter's copy in bf16, follows unless null.
void adamw_row(const AdamwUpdate& update, const float* gradient, int64_t size, float* parameter, float* first, float* second, Bf16* low);

double sum_of_squares(const float* row, int64_t size);

}  // namespace strata::kernels
