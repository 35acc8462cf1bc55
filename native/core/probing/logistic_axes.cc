#include "core/probing/logistic_axes.h"

#include <ATen/ops/linalg_eigh.h>

namespace strata {

FeatureAxes FeatureAxes::of(at::Tensor& spread_NH) {
  FeatureAxes axes;
  axes.mean_H = spread_NH.mean(0, false, at::kDouble).to(at::kFloat);
  spread_NH.sub_(axes.mean_H);
  const at::Tensor covariance_HH = at::mm(spread_NH.t(), spread_NH).div_(static_cast<double>(spread_NH.size(0))).to(at::kDouble);
  const auto [variance_H, turn_HH] = at::linalg_eigh(covariance_HH);
  axes.turn_HH = turn_HH.to(at::kFloat).contiguous();
  axes.variance_D = at::cat({variance_H.clamp_min(0), at::ones({1}, at::kDouble)}).to(at::kFloat);
  return axes;
}

at::Tensor FeatureAxes::applied(const at::Tensor& features_NH, bool centred) const {
  const int64_t rows = features_NH.size(0), width = features_NH.size(1);
  at::Tensor turned_ND = at::empty({rows, width + 1}, at::kFloat);
  turned_ND.select(1, width).fill_(1);
  if (rows > 0) turned_ND.narrow(1, 0, width).copy_(at::mm(centred ? features_NH : features_NH - mean_H, turn_HH));
  return turned_ND;
}

double flat_curvature(int64_t classes) {
  const auto c = static_cast<double>(classes);
  return (1 - 1 / c) / c;
}

at::Tensor inverse_curvature(const at::Tensor& variance_D, double curvature, double l2) {
  return (variance_D * curvature + penalty_row(variance_D.size(0), l2)).clamp_min(1e-12).reciprocal_();
}

at::Tensor penalty_row(int64_t width, double l2) {
  at::Tensor row = at::full({width}, l2, at::kFloat);
  row[width - 1] = 0;
  return row;
}

}  // namespace strata
