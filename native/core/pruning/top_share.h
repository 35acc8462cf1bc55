#pragma once
// The largest values of a matrix as a mask.
#include "core/ops.h"

namespace strata {

// 1 at the `kept` largest scores, else 0, in the shape and type of the scores. Among equal scores the larger |weight| goes first, then
// the earlier place: at the start all scores of a method are equal.
at::Tensor top_mask(const at::Tensor& scores, const at::Tensor& weight, int64_t kept);

// round(share × size), at least 1.
int64_t kept_of(double share, int64_t size);

}  // namespace strata
