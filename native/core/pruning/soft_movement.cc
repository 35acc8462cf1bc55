// Soft movement pruning (Sanh et al. 2020, section 4, "global threshold"): what has sigmoid(S) > threshold stays, and the mean of sigmoid(S)
// in the loss draws the scores down. As in the published code, one weight in 200 of a matrix stays whatever the scores say.
#include "core/pruning/method.h"
#include "core/pruning/top_share.h"

namespace strata {
namespace {

constexpr double kLeastShare = 0.005;

Mask mask(const MaskInput& input) {
  const at::Tensor kept = at::sigmoid(input.scores).gt(input.threshold);
  const int64_t least = static_cast<int64_t>(kLeastShare * static_cast<double>(input.scores.numel())) + 1;
  if (kept.sum().item<int64_t>() >= least) return {kept.to(input.scores.scalar_type()), {}};
  return {top_mask(input.scores, input.weight, least), {}};
}

at::Tensor penalty(const at::Tensor& scores) { return at::sigmoid(scores).mean(); }

}  // namespace

const PruningMethod kSoftMovement{"soft-movement", 0, false, 0, mask, penalty};

}  // namespace strata
