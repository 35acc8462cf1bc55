#pragma once
// SentEval's classifier with a hidden layer (Conneau & Kiela 2018, senteval/tools/classifier.py): Linear, sigmoid, Linear; mean
// cross-entropy; Adam (rate 1e-3, β 0.9 and 0.999, ε 1e-8) with l2 added to the gradient of every parameter; batches of 64 of a new
// order each epoch; dev accuracy every `epoch_size` epochs; the end comes with the (tenacity + 1)-th look without a new best, or
// after max_epochs (SentEval's loop looks once more then); the weights of the best look count. All layers, mixes and strengths of l2 are trained side by side on the same
// batches, each to its own end.
// Legend: P problems, N examples, H width, M hidden units, C classes, B batch, J mixed layers.
#include "core/probing/layer_rows.h"

#include <vector>

namespace strata {

struct MlpSettings {
  int64_t classes = 2;
  int64_t hidden = 50;
  std::vector<double> l2;
  uint64_t seed = 0;
  int64_t batch_size = 64;
  int64_t epoch_size = 4;
  int64_t tenacity = 5;
  int64_t max_epochs = 200;
  double learning_rate = 1e-3;
  bool keep_weights = false;
  int64_t held_bytes = kHeldBytes;  // examples of all layers that a split may take in memory
  // For tests: the first weights (M, H), (M), (C, M), (C) of every problem, and the order of the examples epoch by epoch.
  std::vector<at::Tensor> start;
  std::vector<int32_t> orders;
};

struct MlpGridPoint {
  double l2 = 0;
  double dev_accuracy = 0;
  int64_t epochs = 0;  // of the best look
};

struct MlpResult {
  std::vector<MlpGridPoint> grid;
  size_t best = 0;
  int64_t test_right = 0;
  std::vector<int32_t> predictions;
  std::vector<double> shares;       // of a mix
  double gamma = 1;
  std::vector<at::Tensor> weights;  // when asked for: (M, H), (M), (C, M), (C)
};

// One result a layer, then one for the mix γ Σ_j softmax(w)_j h_j of `mixed` layers when there are any; w and γ are trained with the
// classifier, from 0 and 1.
std::vector<MlpResult> fit_mlp(const ProbeFeatures& features, const ProbeExamples& examples, const std::vector<int64_t>& layers,
                               const std::vector<int64_t>& mixed, const MlpSettings& settings);

}  // namespace strata
