// Magnitude pruning (Zhu & Gupta 2017, arXiv 1710.01878): the weights of largest |W| stay, and the others get no gradient while they
// are out. The threshold is the share that stays of each matrix.
#include "core/pruning/method.h"
#include "core/pruning/top_share.h"

namespace strata {
namespace {

Mask mask(const MaskInput& input) {
  return {top_mask(input.weight.abs(), input.weight, kept_of(input.threshold, input.weight.numel())), {}};
}

}  // namespace

const PruningMethod kMagnitude{"magnitude", std::nullopt, false, 1, mask, nullptr};

}  // namespace strata
