#include "core/probing/logistic.h"

#include "core/error.h"
#include "core/probing/logistic_axes.h"
#include "core/probing/softmax_gradient.h"

#include <algorithm>
#include <cmath>

namespace strata {
namespace {

constexpr int64_t kRowsAtOnce = 1024;
// Of one scalar of the mix in one step: further off softmax is flat and the search stays where it got by accident.
constexpr double kLongestMixStep = 0.5;
// Of ½ ‖w‖². Without it a layer that is best by itself takes all the weight, and w grows for ever. ELMo's small strength (Peters et al.
// 2018, §5.1), which lets the weights vary.
constexpr double kMixPenalty = 1e-3;
// Of the mix's scalars, in the preconditioner.
constexpr double kMixCurvature = 0.1;

// A point is W (C · D) followed by the mix's scalars w (J).
class MixLogistic : public Objective {
 public:
  MixLogistic(std::vector<at::Tensor> layers_ND, const std::vector<int32_t>& labels, int64_t classes)
      : layers_(std::move(layers_ND)), labels_(labels), classes_(classes) {}

  void set_problem(double l2, const at::Tensor& variance_D, double curvature) {
    inverse_ = inverse_curvature(variance_D, curvature, l2);
    penalty_ = penalty_row(variance_D.size(0), l2);
  }

  void evaluate(const std::vector<size_t>& problems, const std::vector<at::Tensor>& points, std::vector<double>& values,
                std::vector<at::Tensor>& gradients) override {
    values.assign(problems.size(), 0);
    gradients.clear();
    for (size_t a = 0; a < problems.size(); ++a) gradients.push_back(evaluate_one(points[a], values[a]));
  }

  at::Tensor precondition(size_t, const at::Tensor& vector) const override {
    const int64_t weights = vector.size(0) - mixed();
    return at::cat({(vector.narrow(0, 0, weights).view({classes_, -1}) * inverse_).flatten(), vector.narrow(0, weights, mixed()) / kMixCurvature});
  }

  double longest_step(size_t, const at::Tensor& direction) const override {
    const double most = direction.narrow(0, direction.size(0) - mixed(), mixed()).abs().max().item<double>();
    return kLongestMixStep / std::max(most, 1e-9);
  }

  // Scores of rows of every layer, (n, C).
  at::Tensor scores(const std::vector<at::Tensor>& layers_nD, const at::Tensor& point) const {
    return at::mm(mixed_rows(layers_nD, shares(point)), weights_of(point).t());
  }

  std::vector<double> shares(const at::Tensor& point) const {
    const at::Tensor soft = at::softmax(point.narrow(0, point.size(0) - mixed(), mixed()).to(at::kDouble), 0);
    return {soft.const_data_ptr<double>(), soft.const_data_ptr<double>() + mixed()};
  }

  at::Tensor weights_of(const at::Tensor& point) const { return point.narrow(0, 0, point.size(0) - mixed()).view({classes_, -1}); }

 private:
  int64_t mixed() const { return static_cast<int64_t>(layers_.size()); }

  static at::Tensor mixed_rows(const std::vector<at::Tensor>& layers, const std::vector<double>& shares) {
    at::Tensor sum = layers[0] * shares[0];
    for (size_t j = 1; j < layers.size(); ++j) sum.add_(layers[j], shares[j]);
    return sum;
  }

  at::Tensor evaluate_one(const at::Tensor& point, double& value) const {
    const at::Tensor weights_CD = weights_of(point);
    const std::vector<double> share = shares(point);
    const int64_t examples = layers_[0].size(0);
    at::Tensor gradient_CD = at::zeros_like(weights_CD);
    std::vector<double> pulls(share.size(), 0);  // dLoss / dshare
    for (int64_t start = 0; start < examples; start += kRowsAtOnce) {
      std::vector<at::Tensor> rows;
      for (const at::Tensor& layer : layers_) rows.push_back(layer.narrow(0, start, std::min(kRowsAtOnce, examples - start)));
      const at::Tensor mixed_nD = mixed_rows(rows, share);
      const at::Tensor delta_nC = softmax_gradient(at::mm(mixed_nD, weights_CD.t()), labels_.data() + start, 1, classes_, &value);
      gradient_CD.addmm_(delta_nC.t(), mixed_nD);
      const at::Tensor flowing = at::mm(delta_nC, weights_CD).flatten();
      for (size_t j = 0; j < rows.size(); ++j) pulls[j] += at::dot(flowing, rows[j].flatten()).item<double>();
    }
    const auto count = static_cast<double>(examples);
    const at::Tensor pull = weights_CD * penalty_;
    value = value / count + 0.5 * (pull * weights_CD).sum(at::kDouble).item<double>();
    // Through the softmax: ds_j/dw_k = s_j (δ_jk - s_k).
    double mean = 0;
    for (size_t j = 0; j < share.size(); ++j) mean += share[j] * pulls[j] / count;
    at::Tensor gradient_J = at::empty({mixed()}, at::kFloat);
    for (size_t j = 0; j < share.size(); ++j) gradient_J.mutable_data_ptr<float>()[j] = static_cast<float>(share[j] * (pulls[j] / count - mean));
    const at::Tensor scalars = point.narrow(0, point.size(0) - mixed(), mixed());
    gradient_J.add_(scalars, kMixPenalty);
    value += 0.5 * kMixPenalty * scalars.square().sum(at::kDouble).item<double>();
    return at::cat({gradient_CD.div_(count).add_(pull).flatten(), gradient_J});
  }

  std::vector<at::Tensor> layers_;
  const std::vector<int32_t>& labels_;
  int64_t classes_;
  at::Tensor inverse_, penalty_;
};

}  // namespace

LogisticResult fit_logistic_mix(const ProbeFeatures& features, const ProbeExamples& examples, const std::vector<int64_t>& layers,
                                const LogisticSettings& settings) {
  check_settings(settings);
  check_examples(examples, features.units(), settings.classes);
  if (layers.empty()) fail("BAD_ARGUMENT", "layers is empty; a mix needs at least one");
  const int64_t classes = settings.classes, mixed = static_cast<int64_t>(layers.size());
  // Layers of unlike spread are brought to their mean one: else the penalty alone would choose the layer with the largest states.
  std::vector<double> scales;
  double mean_spread = 0;
  for (const int64_t layer : layers) {
    const at::Tensor rows = features.gather(examples.train.rows, examples.parts, layer).to(at::kDouble);
    scales.push_back(std::max((rows - rows.mean(0)).square().mean().sqrt().item<double>(), 1e-12));
    mean_spread += scales.back() / static_cast<double>(mixed);
  }
  for (double& scale : scales) scale = mean_spread / scale;
  const auto gathered = [&](const ProbeSplit& split, size_t j) { return features.gather(split.rows, examples.parts, layers[j]).mul_(scales[j]); };
  // The axes are those of the plain average, where the search starts; each layer is centred on its own (the intercept takes the rest).
  at::Tensor average_NH;
  for (size_t j = 0; j < layers.size(); ++j) {
    const at::Tensor rows = gathered(examples.train, j).div_(static_cast<double>(mixed));
    average_NH = average_NH.defined() ? average_NH.add_(rows) : rows;
  }
  FeatureAxes axes = FeatureAxes::of(average_NH);
  average_NH.reset();
  std::vector<at::Tensor> train, dev, test;
  for (size_t j = 0; j < layers.size(); ++j) {
    const at::Tensor rows = gathered(examples.train, j);
    axes.mean_H = rows.mean(0, false, at::kDouble).to(at::kFloat);
    train.push_back(axes.applied(rows, false));
    dev.push_back(axes.applied(gathered(examples.dev, j), false));
    test.push_back(axes.applied(gathered(examples.test, j), false));
  }
  const int64_t width = train[0].size(1);
  // The plain average by itself: where each search starts, and which strengths are worth one.
  at::Tensor mean_ND = train[0] / static_cast<double>(mixed), mean_dev_ND = dev[0] / static_cast<double>(mixed);
  for (size_t j = 1; j < train.size(); ++j) mean_ND.add_(train[j], 1 / static_cast<double>(mixed)), mean_dev_ND.add_(dev[j], 1 / static_cast<double>(mixed));
  const auto starts = solve_logistic(mean_ND, examples.train.labels, axes.variance_D, settings);
  mean_ND.reset();
  const auto dev_accuracy = [&](const at::Tensor& scores) {
    return static_cast<double>(count_right(scores, examples.dev.labels.data())) / static_cast<double>(examples.dev.count());
  };
  std::vector<LogisticGridPoint> plain;
  for (size_t i = 0; i < starts.size(); ++i)
    plain.push_back({settings.l2[i], dev_accuracy(at::mm(mean_dev_ND, starts[i].point.view({classes, width}).t())), 0, 0, true});
  std::vector<size_t> order = strongest_first(settings.l2);
  const auto middle = std::find(order.begin(), order.end(), best_on_dev(plain)) - order.begin();
  const std::vector<size_t> chosen(order.begin() + std::max<int64_t>(0, middle - 1),
                                   order.begin() + std::min<int64_t>(static_cast<int64_t>(order.size()), middle + 2));

  MixLogistic objective(std::move(train), examples.train.labels, classes);
  LogisticResult result;
  std::vector<at::Tensor> points;
  for (const size_t i : chosen) {
    objective.set_problem(row_penalty(settings, settings.l2[i]), axes.variance_D, flat_curvature(classes));
    const at::Tensor start = at::cat({starts[i].point, at::zeros({mixed}, at::kFloat)});
    const LbfgsResult solved = minimize(objective, {start}, lbfgs_settings(settings, width))[0];
    points.push_back(solved.point);
    result.grid.push_back({settings.l2[i], dev_accuracy(objective.scores(dev, solved.point)), solved.value, solved.iterations, solved.converged});
  }
  result.best = best_on_dev(result.grid);
  const at::Tensor best_point = points[result.best];
  result.shares = objective.shares(best_point);
  result.predictions.resize(examples.test.labels.size());
  if (examples.test.count() > 0)
    result.test_right = count_right(objective.scores(test, best_point), examples.test.labels.data(), result.predictions.data());
  return result;
}

}  // namespace strata
