// Movement pruning (Sanh et al. 2020, section 4): the weights of largest score stay, the score of a weight being moved by dL/dS = dL/dW' W,
// so that it grows while the weight moves away from 0. The threshold is the share that stays of each matrix.
#include "core/pruning/method.h"
#include "core/pruning/top_share.h"

namespace strata {
namespace {

Mask mask(const MaskInput& input) {
  return {top_mask(input.scores, input.weight, kept_of(input.threshold, input.weight.numel())), {}};
}

}  // namespace

const PruningMethod kMovement{"movement", 0, false, 1, mask, nullptr};

}  // namespace strata
