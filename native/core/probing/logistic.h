#pragma once
// Multinomial logistic regression on frozen features, run to convergence for several strengths of the penalty:
//   mean cross-entropy + l2/2 · ‖W‖², the intercept free,
// which is scikit-learn's LogisticRegression with C = 1 / (l2 · N); of two classes W is one row there, and here (see row_penalty). The strength is chosen on dev as SentEval does (Conneau & Kiela
// 2018): the highest accuracy, of equals the weakest penalty.
//
// The features are centred and turned into the axes of their covariance, which changes nothing in the problem (W turns along, the
// intercept takes the shift) but makes Böhning's bound of the Hessian (1992) diagonal: with it as preconditioner some tens of L-BFGS
// steps are enough where the raw features need hundreds.
// Legend: N examples, H width, D = H + 1 (a column of ones for the intercept), C classes, A problems, J mixed layers.
#include "core/probing/layer_rows.h"
#include "core/probing/lbfgs.h"

#include <vector>

namespace strata {

struct LogisticSettings {
  int64_t classes = 2;
  std::vector<double> l2;
  double tolerance = 1e-8;
  int64_t max_iterations = 1000;
  bool keep_weights = false;
  int64_t held_bytes = kHeldBytes;  // of a mix: examples of all layers that a split may take in memory
};

struct LogisticGridPoint {
  double l2 = 0;
  double dev_accuracy = 0;
  double loss = 0;  // the objective's value
  int64_t iterations = 0;
  bool converged = false;
};

struct LogisticResult {
  std::vector<LogisticGridPoint> grid;  // in the order of settings.l2
  size_t best = 0;
  int64_t test_right = 0;
  std::vector<int32_t> predictions;  // of test
  std::vector<double> shares;        // of a mix: softmax(w)
  at::Tensor weights_CH;             // when asked for: of the best, on the features as they came
  at::Tensor intercepts_C;
};

// One layer of the features.
LogisticResult fit_logistic(const ProbeFeatures& features, const ProbeExamples& examples, int64_t layer, const LogisticSettings& settings);

// On Σ_j softmax(w)_j h_j over the layers, each scaled to the layers' mean spread, w trained with the classifier (BERMo's mix, Kodge &
// Roy 2021; its factor γ is 1 here: the classifier's weights take it up, and left free it would undo the penalty). w has a weak penalty
// of its own, 0.001/2 · ‖w‖². The problem is not convex in w. The search starts at the plain average with the classifier that is best
// there, and w moves by small steps: what it finds is the optimum next to the average. Of the strengths, that which dev chooses on the
// average and its two neighbours are searched.
LogisticResult fit_logistic_mix(const ProbeFeatures& features, const ProbeExamples& examples, const std::vector<int64_t>& layers,
                                const LogisticSettings& settings);

// The solution for every strength on prepared features (N, D), in the order of settings.l2.
std::vector<LbfgsResult> solve_logistic(const at::Tensor& features_ND, const std::vector<int32_t>& labels, const at::Tensor& variance_D,
                                        const LogisticSettings& settings);

// Strength on the rows of W. Of two classes scikit-learn learns and penalises one row w, the difference of ours, which are ± w/2: twice as much here.
inline double row_penalty(const LogisticSettings& settings, double l2) { return settings.classes == 2 ? 2 * l2 : l2; }
LbfgsSettings lbfgs_settings(const LogisticSettings& settings, int64_t width);
// Throws BAD_ARGUMENT.
void check_settings(const LogisticSettings& settings);
// Index of the first highest.
size_t best_on_dev(const std::vector<LogisticGridPoint>& grid);
// Indices of the strengths, strongest first: each solution is the start of the next.
std::vector<size_t> strongest_first(const std::vector<double>& l2);

}  // namespace strata
