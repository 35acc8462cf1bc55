// L0 regularisation by hard concrete gates (Louizos, Welling & Kingma 2018, arXiv 1712.01312) with the constants of the code published by
// Sanh et al. 2020. A gate is drawn in training, M = clamp(s (r - l) + l, 0, 1) with s = sigmoid((ln u - ln(1 - u) + S) / b), and is
// s = sigmoid(S) without noise else. The penalty is the mean probability that a gate is not 0. There is no threshold.
#include "core/pruning/method.h"

#include <cmath>

namespace strata {
namespace {

constexpr double kLow = -0.1, kHigh = 1.1, kTemperature = 2.0 / 3;
constexpr double kLeastNoise = 1e-4;

Mask mask(const MaskInput& input) {
  const bool drawn = input.noise.defined();
  at::Tensor logits = input.scores;
  if (drawn) {
    const at::Tensor u = input.noise.clamp(kLeastNoise, 1 - kLeastNoise);
    logits = (u.log() - (1 - u).log() + input.scores) / kTemperature;
  }
  const at::Tensor s = at::sigmoid(logits);
  const at::Tensor stretched = s * (kHigh - kLow) + kLow;
  Mask result{stretched.clamp(0, 1), {}};
  if (drawn) {
    const at::Tensor inside = stretched.ge(0).logical_and_(stretched.le(1));
    result.slope = s * (1 - s) * ((kHigh - kLow) / kTemperature) * inside;
  }
  return result;
}

at::Tensor penalty(const at::Tensor& scores) { return at::sigmoid(scores - kTemperature * std::log(-kLow / kHigh)).mean(); }

}  // namespace

// sigmoid(2.197) = 0.9: the gates start open.
const PruningMethod kHardConcrete{"l0", 2.197, true, 0, mask, penalty};

}  // namespace strata
