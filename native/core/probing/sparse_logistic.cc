#include "core/probing/sparse_logistic.h"

#include "core/error.h"
#include "core/parallel.h"
#include "core/probing/logistic_axes.h"
#include "core/probing/softmax_gradient.h"

#include <algorithm>
#include <cstring>

namespace strata {
namespace {

void check_split(const SparseSplit& split, const char* name, int64_t width, int64_t classes) {
  check_labels(split.labels, name, classes);
  const auto entries = static_cast<int64_t>(split.features.size());
  if (static_cast<int64_t>(split.offsets.size()) != split.count() + 1 || split.offsets.front() != 0 || split.offsets.back() != entries)
    fail("BAD_ARGUMENT", "offsets of ", name, " must run from 0 to ", entries, " in ", split.count() + 1, " steps");
  if (static_cast<int64_t>(split.values.size()) != entries)
    fail("BAD_ARGUMENT", "values of ", name, " has ", split.values.size(), " entries; ", entries, " were expected, one a feature");
  for (size_t i = 1; i < split.offsets.size(); ++i)
    if (split.offsets[i] < split.offsets[i - 1]) fail("BAD_ARGUMENT", "offsets of ", name, " fall at ", i, "; ascending ones were expected");
  for (size_t i = 0; i < split.features.size(); ++i)
    if (split.features[i] < 0 || split.features[i] >= width)
      fail("BAD_ARGUMENT", "features[", i, "] of ", name, " is ", split.features[i], "; 0 to ", width - 1, " was expected");
}

// Scores (N, C) = X Wᵀ with W stored by feature, (V + 1, C); the last row is the intercept.
at::Tensor scores_of(const SparseSplit& split, const at::Tensor& weights, int64_t classes) {
  at::Tensor scores = at::empty({split.count(), classes}, at::kFloat);
  float* out = scores.mutable_data_ptr<float>();
  const float* table = weights.const_data_ptr<float>();
  const float* intercept = table + weights.numel() - classes;
  parallel_for(split.count(), 256, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float* row = out + i * classes;
      std::memcpy(row, intercept, static_cast<size_t>(classes) * sizeof(float));
      for (int32_t e = split.offsets[i]; e < split.offsets[i + 1]; ++e) {
        const float* weight = table + split.features[e] * classes;
        const float value = split.values[e];
        for (int64_t c = 0; c < classes; ++c) row[c] += value * weight[c];
      }
    }
  });
  return scores;
}

class SparseLogistic : public Objective {
 public:
  SparseLogistic(const SparseExamples& examples, int64_t classes) : split_(examples.train), width_(examples.width), classes_(classes) {
    // The same entries by feature, so that each row of the gradient belongs to one thread.
    starts_.assign(static_cast<size_t>(width_) + 1, 0);
    for (const int32_t feature : split_.features) starts_[static_cast<size_t>(feature) + 1] += 1;
    for (size_t f = 1; f < starts_.size(); ++f) starts_[f] += starts_[f - 1];
    std::vector<int32_t> next(starts_.begin(), starts_.end() - 1);
    examples_.resize(split_.features.size());
    values_.resize(split_.features.size());
    for (int64_t i = 0; i < split_.count(); ++i) {
      for (int32_t e = split_.offsets[i]; e < split_.offsets[i + 1]; ++e) {
        const auto place = static_cast<size_t>(next[static_cast<size_t>(split_.features[e])]++);
        examples_[place] = static_cast<int32_t>(i);
        values_[place] = split_.values[e];
      }
    }
    variance_ = at::zeros({width_ + 1}, at::kFloat);
    float* variance = variance_.mutable_data_ptr<float>();
    for (size_t e = 0; e < split_.features.size(); ++e) variance[split_.features[e]] += split_.values[e] * split_.values[e];
    variance_.div_(static_cast<double>(split_.count()));
    variance[width_] = 1;
  }

  void set_problems(std::vector<double> l2) {
    l2_ = std::move(l2);
    inverse_.clear();
    for (const double strength : l2_) inverse_.push_back(inverse_curvature(variance_, flat_curvature(classes_), strength).unsqueeze(1));
  }

  void evaluate(const std::vector<size_t>& problems, const std::vector<at::Tensor>& points, std::vector<double>& values,
                std::vector<at::Tensor>& gradients) override {
    values.assign(problems.size(), 0);
    gradients.clear();
    for (size_t a = 0; a < problems.size(); ++a) gradients.push_back(evaluate_one(l2_[problems[a]], points[a], values[a]));
  }

  at::Tensor precondition(size_t problem, const at::Tensor& vector) const override {
    return (vector.view({width_ + 1, classes_}) * inverse_[problem]).flatten();
  }

 private:
  at::Tensor evaluate_one(double l2, const at::Tensor& point, double& value) const {
    const at::Tensor delta = softmax_gradient(scores_of(split_, point, classes_), split_.labels.data(), 1, classes_, &value);
    const auto count = static_cast<double>(split_.count());
    at::Tensor gradient = at::zeros({width_ + 1, classes_}, at::kFloat);
    const float* rows = delta.const_data_ptr<float>();
    float* out = gradient.mutable_data_ptr<float>();
    parallel_for(width_, 64, [&](int64_t begin, int64_t end) {
      for (int64_t f = begin; f < end; ++f) {
        for (int32_t e = starts_[static_cast<size_t>(f)]; e < starts_[static_cast<size_t>(f) + 1]; ++e) {
          const float* row = rows + examples_[static_cast<size_t>(e)] * classes_;
          const float entry = values_[static_cast<size_t>(e)];
          for (int64_t c = 0; c < classes_; ++c) out[f * classes_ + c] += entry * row[c];
        }
      }
    });
    gradient.select(0, width_).copy_(delta.sum(0, false, at::kDouble));
    const at::Tensor weights = point.view({width_ + 1, classes_}).narrow(0, 0, width_);
    gradient.div_(count);
    gradient.narrow(0, 0, width_).add_(weights, l2);
    value = value / count + 0.5 * l2 * weights.square().sum(at::kDouble).item<double>();
    return gradient.flatten();
  }

  const SparseSplit& split_;
  int64_t width_, classes_;
  std::vector<int32_t> starts_, examples_;
  std::vector<float> values_;
  at::Tensor variance_;
  std::vector<double> l2_;
  std::vector<at::Tensor> inverse_;
};

}  // namespace

LogisticResult fit_sparse_logistic(const SparseExamples& examples, const LogisticSettings& settings) {
  check_settings(settings);
  if (examples.width < 1) fail("BAD_ARGUMENT", "width is ", examples.width, "; at least 1 feature was expected");
  check_split(examples.train, "train", examples.width, settings.classes);
  check_split(examples.dev, "dev", examples.width, settings.classes);
  check_split(examples.test, "test", examples.width, settings.classes);
  if (examples.train.count() == 0 || examples.dev.count() == 0)
    fail("BAD_ARGUMENT", "train has ", examples.train.count(), " examples and dev ", examples.dev.count(), "; at least one each was expected");
  const int64_t classes = settings.classes, numbers = (examples.width + 1) * classes;
  SparseLogistic objective(examples, classes);
  const LbfgsSettings lbfgs{settings.tolerance, settings.max_iterations, numbers > (1 << 20) ? size_t{5} : size_t{10}};
  LogisticResult result;
  result.grid.resize(settings.l2.size());
  at::Tensor point = at::zeros({numbers}, at::kFloat), best_point;
  for (const size_t i : strongest_first(settings.l2)) {
    objective.set_problems({row_penalty(settings, settings.l2[i])});
    const LbfgsResult solved = minimize(objective, {point}, lbfgs)[0];
    point = solved.point;
    const int64_t right = count_right(scores_of(examples.dev, point, classes), examples.dev.labels.data());
    result.grid[i] = {settings.l2[i], static_cast<double>(right) / static_cast<double>(examples.dev.count()), solved.value, solved.iterations,
                      solved.converged};
    if (!best_point.defined() || result.grid[i].dev_accuracy >= result.grid[result.best].dev_accuracy) {
      result.best = i;
      best_point = point;
    }
  }
  result.predictions.resize(examples.test.labels.size());
  result.test_right = count_right(scores_of(examples.test, best_point, classes), examples.test.labels.data(), result.predictions.data());
  if (settings.keep_weights) {
    const at::Tensor weights = best_point.view({examples.width + 1, classes});
    result.weights_CH = weights.narrow(0, 0, examples.width).t().contiguous();
    result.intercepts_C = weights.select(0, examples.width).contiguous();
  }
  return result;
}

}  // namespace strata
