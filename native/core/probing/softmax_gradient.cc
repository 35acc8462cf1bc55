#include "core/probing/softmax_gradient.h"

#include <algorithm>
#include <cmath>

namespace strata {
namespace {

// Below it a float's logarithm is taken from the scores.
constexpr float kSmallProbability = 1e-30f;

double exact_loss(const float* scores, int64_t classes, int32_t label) {
  const double highest = *std::max_element(scores, scores + classes);
  double sum = 0;
  for (int64_t c = 0; c < classes; ++c) sum += std::exp(scores[c] - highest);
  return highest + std::log(sum) - scores[label];
}

}  // namespace

at::Tensor softmax_gradient(const at::Tensor& scores, const int32_t* labels, int64_t problems, int64_t classes, double* losses, double* squares) {
  const int64_t rows = scores.size(0);
  at::Tensor result = at::softmax(scores.view({rows, problems, classes}), 2);
  if (squares != nullptr) {
    const at::Tensor sums = result.square().sum(at::IntArrayRef{0, 2}, false, at::kDouble);
    for (int64_t a = 0; a < problems; ++a) squares[a] += sums.const_data_ptr<double>()[a];
  }
  float* probabilities = result.mutable_data_ptr<float>();
  const float* raw = scores.const_data_ptr<float>();
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t a = 0; a < problems; ++a) {
      const int64_t start = (i * problems + a) * classes;
      float& probability = probabilities[start + labels[i]];
      losses[a] += probability > kSmallProbability ? -std::log(static_cast<double>(probability)) : exact_loss(raw + start, classes, labels[i]);
      probability -= 1;
    }
  }
  return result.view({rows, problems * classes});
}

int64_t count_right(const at::Tensor& scores, const int32_t* labels, int32_t* predictions) {
  const int64_t rows = scores.size(0), classes = scores.size(1);
  const at::Tensor contiguous = scores.contiguous();
  const float* row = contiguous.const_data_ptr<float>();
  int64_t right = 0;
  for (int64_t i = 0; i < rows; ++i, row += classes) {
    const auto best = static_cast<int32_t>(std::max_element(row, row + classes) - row);
    right += best == labels[i];
    if (predictions != nullptr) predictions[i] = best;
  }
  return right;
}

}  // namespace strata
