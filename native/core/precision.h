#pragma once
// Which number type holds the weights and which the activations.
#include "core/ops.h"

namespace strata {

enum class Precision { fp64, fp32, bf16, fp16 };

// Weights, optimiser moments and losses.
inline at::ScalarType master_type(Precision precision) {
  return precision == Precision::fp64 ? at::kDouble : at::kFloat;
}

// Activations and matrix products.
inline at::ScalarType compute_type(Precision precision) {
  switch (precision) {
    case Precision::fp64: return at::kDouble;
    case Precision::fp32: return at::kFloat;
    case Precision::bf16: return at::kBFloat16;
    case Precision::fp16: return at::kHalf;
  }
  return at::kFloat;
}

}  // namespace strata
