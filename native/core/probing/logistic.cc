#include "core/probing/logistic.h"

#include "core/error.h"
#include "core/probing/logistic_axes.h"
#include "core/probing/softmax_gradient.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace strata {
namespace {

// Problems with few classes are computed side by side, so that the features are read once for all of them.
constexpr int64_t kColumnsTogether = 64;
// Scores of one chunk of rows stay in the cache between the products.
constexpr int64_t kScoresAtOnce = 1 << 20;

int64_t rows_at_once(int64_t columns) { return std::clamp<int64_t>(kScoresAtOnce / columns, 256, 2048); }

class DenseLogistic : public Objective {
 public:
  DenseLogistic(const at::Tensor& features_ND, const std::vector<int32_t>& labels, const at::Tensor& variance_D, int64_t classes)
      : features_(features_ND), labels_(labels), variance_(variance_D), classes_(classes) {}

  // The problems to come: a strength each, and the mean of p(1 - p) where they start.
  void set_problems(std::vector<double> l2, double curvature) {
    l2_ = std::move(l2);
    inverse_.clear();
    penalty_.clear();
    for (const double strength : l2_) {
      inverse_.push_back(inverse_curvature(variance_, curvature, strength));
      penalty_.push_back(penalty_row(variance_.size(0), strength));
    }
  }

  void evaluate(const std::vector<size_t>& problems, const std::vector<at::Tensor>& points, std::vector<double>& values,
                std::vector<at::Tensor>& gradients) override {
    const auto count = static_cast<int64_t>(problems.size());
    const int64_t width = features_.size(1), columns = count * classes_;
    const auto examples = static_cast<double>(features_.size(0));
    const at::Tensor weights = at::cat(points).view({columns, width}), turned = weights.t();
    at::Tensor gradient = at::zeros({columns, width}, at::kFloat);
    values.assign(problems.size(), 0);
    const int64_t step = rows_at_once(columns);
    for (int64_t start = 0; start < features_.size(0); start += step) {
      const at::Tensor rows = features_.narrow(0, start, std::min(step, features_.size(0) - start));
      const at::Tensor delta = softmax_gradient(at::mm(rows, turned), labels_.data() + start, count, classes_, values.data());
      gradient.addmm_(delta.t(), rows);
    }
    gradient.div_(examples);
    gradients.clear();
    for (int64_t a = 0; a < count; ++a) {
      const at::Tensor point = weights.narrow(0, a * classes_, classes_);
      const at::Tensor pull = point * penalty_[problems[a]];
      values[a] = values[a] / examples + 0.5 * (pull * point).sum(at::kDouble).item<double>();
      gradients.push_back(gradient.narrow(0, a * classes_, classes_).add(pull).flatten());
    }
  }

  at::Tensor precondition(size_t problem, const at::Tensor& vector) const override {
    return (vector.view({classes_, -1}) * inverse_[problem]).flatten();
  }

  // The mean of p(1 - p) over examples and classes.
  double curvature_at(const at::Tensor& point) const {
    const at::Tensor turned = point.view({classes_, -1}).t();
    double loss = 0, squares = 0;
    const int64_t step = rows_at_once(classes_);
    for (int64_t start = 0; start < features_.size(0); start += step) {
      const at::Tensor rows = features_.narrow(0, start, std::min(step, features_.size(0) - start));
      softmax_gradient(at::mm(rows, turned), labels_.data() + start, 1, classes_, &loss, &squares);
    }
    const auto examples = static_cast<double>(features_.size(0)), classes = static_cast<double>(classes_);
    return std::max((1 - squares / examples) / classes, 1e-3 * flat_curvature(classes_));
  }

 private:
  at::Tensor features_;
  const std::vector<int32_t>& labels_;
  at::Tensor variance_;
  int64_t classes_;
  std::vector<double> l2_;
  std::vector<at::Tensor> inverse_, penalty_;
};

}  // namespace

void check_settings(const LogisticSettings& settings) {
  if (settings.l2.empty()) fail("BAD_ARGUMENT", "l2 is empty; at least one strength was expected");
  for (const double strength : settings.l2)
    if (!(strength > 0 && strength <= 1e6)) fail("BAD_ARGUMENT", "l2 holds ", strength, "; numbers above 0 (at most 1e6) were expected");
  if (!(settings.tolerance > 0)) fail("BAD_ARGUMENT", "tolerance is ", settings.tolerance, "; a number above 0 was expected");
  if (settings.max_iterations < 1) fail("BAD_ARGUMENT", "maxIterations is ", settings.max_iterations, "; at least 1 was expected");
}

size_t best_on_dev(const std::vector<LogisticGridPoint>& grid) {
  size_t best = 0;
  for (size_t i = 1; i < grid.size(); ++i)
    if (grid[i].dev_accuracy > grid[best].dev_accuracy || (grid[i].dev_accuracy == grid[best].dev_accuracy && grid[i].l2 < grid[best].l2)) best = i;
  return best;
}

std::vector<size_t> strongest_first(const std::vector<double>& l2) {
  std::vector<size_t> order(l2.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return l2[a] > l2[b]; });
  return order;
}

std::vector<LbfgsResult> solve_logistic(const at::Tensor& features_ND, const std::vector<int32_t>& labels, const at::Tensor& variance_D,
                                        const LogisticSettings& settings) {
  const int64_t classes = settings.classes, width = features_ND.size(1);
  DenseLogistic objective(features_ND, labels, variance_D, classes);
  const std::vector<size_t> order = strongest_first(settings.l2);
  const auto together = static_cast<size_t>(std::max<int64_t>(1, kColumnsTogether / classes));
  std::vector<LbfgsResult> results(order.size());
  at::Tensor start = at::zeros({classes * width}, at::kFloat);
  double curvature = flat_curvature(classes);
  for (size_t first = 0; first < order.size(); first += together) {
    const size_t size = std::min(together, order.size() - first);
    std::vector<double> strengths;
    for (size_t i = 0; i < size; ++i) strengths.push_back(row_penalty(settings, settings.l2[order[first + i]]));
    objective.set_problems(strengths, curvature);
    const auto solved = minimize(objective, std::vector<at::Tensor>(size, start), lbfgs_settings(settings, width));
    for (size_t i = 0; i < size; ++i) results[order[first + i]] = solved[i];
    start = solved.back().point;
    if (first + size < order.size()) curvature = objective.curvature_at(start);
  }
  return results;
}

LbfgsSettings lbfgs_settings(const LogisticSettings& settings, int64_t width) {
  // The memory of many weights is worth less than it takes.
  return {settings.tolerance, settings.max_iterations, settings.classes * width > (1 << 17) ? size_t{6} : size_t{10}};
}

LogisticResult fit_logistic(const ProbeFeatures& features, const ProbeExamples& examples, int64_t layer, const LogisticSettings& settings) {
  check_settings(settings);
  check_examples(examples, features.units(), settings.classes);
  const int64_t classes = settings.classes;
  at::Tensor train_NH = features.gather(examples.train.rows, examples.parts, layer);
  const FeatureAxes axes = FeatureAxes::of(train_NH);
  const at::Tensor train_ND = axes.applied(train_NH, true);
  train_NH.reset();
  const at::Tensor dev_ND = axes.applied(features.gather(examples.dev.rows, examples.parts, layer), false);
  const int64_t width = train_ND.size(1), count = examples.dev.count();

  const auto solved = solve_logistic(train_ND, examples.train.labels, axes.variance_D, settings);
  LogisticResult result;
  for (size_t i = 0; i < solved.size(); ++i) {
    const int64_t right = count_right(at::mm(dev_ND, solved[i].point.view({classes, width}).t()), examples.dev.labels.data());
    result.grid.push_back({settings.l2[i], static_cast<double>(right) / static_cast<double>(count), solved[i].value, solved[i].iterations,
                           solved[i].converged});
  }
  result.best = best_on_dev(result.grid);
  const at::Tensor best_point = solved[result.best].point;
  const at::Tensor weights_CD = best_point.view({classes, width});
  const at::Tensor test_ND = axes.applied(features.gather(examples.test.rows, examples.parts, layer), false);
  result.predictions.resize(examples.test.labels.size());
  result.test_right = count_right(at::mm(test_ND, weights_CD.t()), examples.test.labels.data(), result.predictions.data());
  if (settings.keep_weights) {
    result.weights_CH = at::mm(weights_CD.narrow(1, 0, width - 1), axes.turn_HH.t()).contiguous();
    result.intercepts_C = weights_CD.select(1, width - 1).sub(at::mv(result.weights_CH, axes.mean_H)).contiguous();
  }
  return result;
}

}  // namespace strata
