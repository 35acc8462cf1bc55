#pragma once
// Centred features in the axes of their covariance, with a column of ones.
#include "core/ops.h"

namespace strata {

struct FeatureAxes {
  at::Tensor mean_H;
  at::Tensor turn_HH;       // columns are the axes
  at::Tensor variance_D;    // along each axis; 1 for the column of ones

  // `spread`: features whose covariance gives the axes; centred in place.
  static FeatureAxes of(at::Tensor& spread_NH);
  // (N, H) as it came, or centred, to (N, D).
  at::Tensor applied(const at::Tensor& features_NH, bool centred) const;
};

// (1 - 1/C)/C, the mean of p(1 - p) where nothing is known yet.
double flat_curvature(int64_t classes);
// 1 / (curvature · variance + l2), the intercept without l2.
at::Tensor inverse_curvature(const at::Tensor& variance_D, double curvature, double l2);
// l2 for every weight, 0 for the intercept.
at::Tensor penalty_row(int64_t width, double l2);

}  // namespace strata
