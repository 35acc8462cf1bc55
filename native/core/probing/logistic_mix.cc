#include "core/probing/logistic.h"

#include "core/error.h"
#include "core/probing/logistic_axes.h"
#include "core/probing/softmax_gradient.h"

#include <algorithm>
#include <cmath>
#include <functional>

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

at::Tensor row_of(const std::vector<double>& values) {
  at::Tensor row = at::empty({1, static_cast<int64_t>(values.size())}, at::kFloat);
  std::copy(values.begin(), values.end(), row.mutable_data_ptr<float>());
  return row;
}

// What brings layers of unlike spread and place together: each is centred on its own (the intercept takes the rest) and brought to their
// mean spread, since else the penalty alone would choose the layer with the largest states.
struct Levelling {
  std::vector<double> scales;  // (J)
  at::Tensor means_JH;         // of the states as they came

  static Levelling of(const LayerRows& train) {
    const int64_t mixed = train.layers(), examples = train.count();
    const auto in_blocks = [&](const std::function<at::Tensor(const at::Tensor&)>& sum) {
      at::Tensor total;
      for (int64_t start = 0; start < examples; start += kRowsAtOnce) {
        const at::Tensor part = sum(train.block(start, std::min(kRowsAtOnce, examples - start)).to(at::kDouble));
        total = total.defined() ? total.add_(part) : part;
      }
      return total;
    };
    const at::Tensor means_JH = in_blocks([](const at::Tensor& rows_JnH) { return rows_JnH.sum(1); }).div_(static_cast<double>(examples));
    const at::Tensor squares_J = in_blocks([&](const at::Tensor& rows_JnH) {
      return (rows_JnH - means_JH.unsqueeze(1)).square_().sum(at::IntArrayRef{1, 2});
    });
    Levelling levelling{{}, means_JH.to(at::kFloat)};
    double mean_spread = 0;
    for (int64_t j = 0; j < mixed; ++j) {
      const double variance = squares_J[j].item<double>() / static_cast<double>(examples * train.width());
      levelling.scales.push_back(std::max(std::sqrt(variance), 1e-12));
      mean_spread += levelling.scales.back() / static_cast<double>(mixed);
    }
    for (double& scale : levelling.scales) scale = mean_spread / scale;
    return levelling;
  }

  // Σ_j share_j · scale_j · (h_j - mean_j), (n, H).
  at::Tensor mixed(const at::Tensor& rows_JnH, const std::vector<double>& shares) const {
    std::vector<double> factors;
    for (size_t j = 0; j < shares.size(); ++j) factors.push_back(shares[j] * scales[j]);
    const at::Tensor factors_1J = row_of(factors);
    return at::mm(factors_1J, rows_JnH.flatten(1)).view({rows_JnH.size(1), rows_JnH.size(2)}).sub_(at::mm(factors_1J, means_JH));
  }

  // Of the plain average, all examples.
  at::Tensor averages(const LayerRows& examples) const {
    at::Tensor averages_NH = at::empty({examples.count(), examples.width()}, at::kFloat);
    const std::vector<double> equal(scales.size(), 1 / static_cast<double>(scales.size()));
    for (int64_t start = 0; start < examples.count(); start += kRowsAtOnce) {
      const int64_t count = std::min(kRowsAtOnce, examples.count() - start);
      averages_NH.narrow(0, start, count).copy_(mixed(examples.block(start, count), equal));
    }
    return averages_NH;
  }
};

// A point is W (C · D), on the axes, followed by the mix's scalars w (J).
class MixLogistic : public Objective {
 public:
  MixLogistic(const LayerRows& rows, const Levelling& levelling, const FeatureAxes& axes, const std::vector<int32_t>& labels, int64_t classes)
      : rows_(rows), levelling_(levelling), axes_(axes), labels_(labels), classes_(classes) {}

  void set_problem(double l2, double curvature) {
    inverse_ = inverse_curvature(axes_.variance_D, curvature, l2);
    penalty_ = penalty_row(axes_.variance_D.size(0), l2);
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

  int64_t count_right_on(const LayerRows& examples, const at::Tensor& point, const std::vector<int32_t>& labels, int32_t* predictions) const {
    const Classifier classifier = classifier_of(point);
    const std::vector<double> share = shares(point);
    int64_t right = 0;
    for (int64_t start = 0; start < examples.count(); start += kRowsAtOnce) {
      const at::Tensor mixed_nH = levelling_.mixed(examples.block(start, std::min(kRowsAtOnce, examples.count() - start)), share);
      right += count_right(classifier.scores(mixed_nH), labels.data() + start, predictions ? predictions + start : nullptr);
    }
    return right;
  }

  std::vector<double> shares(const at::Tensor& point) const {
    const at::Tensor soft = at::softmax(point.narrow(0, point.size(0) - mixed(), mixed()).to(at::kDouble), 0);
    return {soft.const_data_ptr<double>(), soft.const_data_ptr<double>() + mixed()};
  }

 private:
  // W turned back from the axes: examples stay as they lie, whatever the axes are.
  struct Classifier {
    at::Tensor weights_CH, intercepts_C;
    at::Tensor scores(const at::Tensor& rows_nH) const { return at::addmm(intercepts_C, rows_nH, weights_CH.t()); }
  };

  int64_t mixed() const { return rows_.layers(); }
  at::Tensor weights_of(const at::Tensor& point) const { return point.narrow(0, 0, point.size(0) - mixed()).view({classes_, -1}); }

  Classifier classifier_of(const at::Tensor& point) const {
    const at::Tensor weights_CD = weights_of(point);
    const int64_t width = weights_CD.size(1) - 1;
    return {at::mm(weights_CD.narrow(1, 0, width), axes_.turn_HH.t()), weights_CD.select(1, width)};
  }

  at::Tensor evaluate_one(const at::Tensor& point, double& value) const {
    const at::Tensor weights_CD = weights_of(point);
    const Classifier classifier = classifier_of(point);
    const std::vector<double> share = shares(point);
    const int64_t examples = rows_.count();
    at::Tensor turned_CH = at::zeros_like(classifier.weights_CH), intercepts_C = at::zeros_like(classifier.intercepts_C);
    at::Tensor pulls_J = at::zeros({mixed()}, at::kDouble);  // dLoss / d(share · scale)
    for (int64_t start = 0; start < examples; start += kRowsAtOnce) {
      const at::Tensor rows_JnH = rows_.block(start, std::min(kRowsAtOnce, examples - start));
      const at::Tensor mixed_nH = levelling_.mixed(rows_JnH, share);
      const at::Tensor delta_nC = softmax_gradient(classifier.scores(mixed_nH), labels_.data() + start, 1, classes_, &value);
      turned_CH.addmm_(delta_nC.t(), mixed_nH);
      intercepts_C.add_(delta_nC.sum(0));
      const at::Tensor flowing_nH = at::mm(delta_nC, classifier.weights_CH);
      pulls_J.add_(at::mv(rows_JnH.flatten(1), flowing_nH.flatten()).sub_(at::mv(levelling_.means_JH, flowing_nH.sum(0))));
    }
    const auto count = static_cast<double>(examples);
    const at::Tensor gradient_CD = at::cat({at::mm(turned_CH, axes_.turn_HH), intercepts_C.unsqueeze(1)}, 1);
    const at::Tensor pull = weights_CD * penalty_;
    value = value / count + 0.5 * (pull * weights_CD).sum(at::kDouble).item<double>();
    // Through the softmax: ds_j/dw_k = s_j (δ_jk - s_k).
    std::vector<double> pulls;  // dLoss / dshare
    for (size_t j = 0; j < share.size(); ++j) pulls.push_back(pulls_J.const_data_ptr<double>()[j] * levelling_.scales[j] / count);
    double mean = 0;
    for (size_t j = 0; j < share.size(); ++j) mean += share[j] * pulls[j];
    at::Tensor gradient_J = at::empty({mixed()}, at::kFloat);
    for (size_t j = 0; j < share.size(); ++j) gradient_J.mutable_data_ptr<float>()[j] = static_cast<float>(share[j] * (pulls[j] - mean));
    const at::Tensor scalars = point.narrow(0, point.size(0) - mixed(), mixed());
    gradient_J.add_(scalars, kMixPenalty);
    value += 0.5 * kMixPenalty * scalars.square().sum(at::kDouble).item<double>();
    return at::cat({gradient_CD.div(count).add_(pull).flatten(), gradient_J});
  }

  const LayerRows& rows_;
  const Levelling& levelling_;
  const FeatureAxes& axes_;
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
  const auto rows_of = [&](const ProbeSplit& split) { return LayerRows(features, split, examples.parts, layers, settings.held_bytes); };
  const LayerRows train = rows_of(examples.train), dev = rows_of(examples.dev), test = rows_of(examples.test);
  const Levelling levelling = Levelling::of(train);
  // The axes are those of the plain average, where the search starts.
  at::Tensor average_NH = levelling.averages(train);
  const FeatureAxes axes = FeatureAxes::of(average_NH);
  const int64_t width = train.width() + 1;
  // The plain average by itself: where each search starts, and which strengths are worth one.
  at::Tensor average_ND = axes.applied(average_NH, true);
  average_NH.reset();
  const auto starts = solve_logistic(average_ND, examples.train.labels, axes.variance_D, settings);
  average_ND.reset();
  const auto accuracy = [&](int64_t right) { return static_cast<double>(right) / static_cast<double>(examples.dev.count()); };
  std::vector<LogisticGridPoint> plain;
  {
    const at::Tensor average_dev_ND = axes.applied(levelling.averages(dev), false);
    for (size_t i = 0; i < starts.size(); ++i) {
      const at::Tensor scores = at::mm(average_dev_ND, starts[i].point.view({classes, width}).t());
      plain.push_back({settings.l2[i], accuracy(count_right(scores, examples.dev.labels.data())), 0, 0, true});
    }
  }
  std::vector<size_t> order = strongest_first(settings.l2);
  const auto middle = std::find(order.begin(), order.end(), best_on_dev(plain)) - order.begin();
  const std::vector<size_t> chosen(order.begin() + std::max<int64_t>(0, middle - 1),
                                   order.begin() + std::min<int64_t>(static_cast<int64_t>(order.size()), middle + 2));

  MixLogistic objective(train, levelling, axes, examples.train.labels, classes);
  LogisticResult result;
  std::vector<at::Tensor> points;
  for (const size_t i : chosen) {
    objective.set_problem(row_penalty(settings, settings.l2[i]), flat_curvature(classes));
    const at::Tensor start = at::cat({starts[i].point, at::zeros({mixed}, at::kFloat)});
    const LbfgsResult solved = minimize(objective, {start}, lbfgs_settings(settings, width))[0];
    points.push_back(solved.point);
    const int64_t right = objective.count_right_on(dev, solved.point, examples.dev.labels, nullptr);
    result.grid.push_back({settings.l2[i], accuracy(right), solved.value, solved.iterations, solved.converged});
  }
  result.best = best_on_dev(result.grid);
  const at::Tensor best_point = points[result.best];
  result.shares = objective.shares(best_point);
  result.predictions.resize(examples.test.labels.size());
  result.test_right = objective.count_right_on(test, best_point, examples.test.labels, result.predictions.data());
  return result;
}

}  // namespace strata
