#pragma once
// L-BFGS (Liu & Nocedal 1989, "On the limited memory BFGS method for large scale optimization") for several independent problems
// at once: each has its own step length, memory and end, while all that are under way are evaluated together.
#include "core/ops.h"

#include <cstdint>
#include <vector>

namespace strata {

// A group of problems over flat float points.
class Objective {
 public:
  virtual ~Objective() = default;
  // Value and gradient of each listed problem at its point.
  virtual void evaluate(const std::vector<size_t>& problems, const std::vector<at::Tensor>& points, std::vector<double>& values,
                        std::vector<at::Tensor>& gradients) = 0;
  // An approximate inverse Hessian times the vector: symmetric, positive.
  virtual at::Tensor precondition(size_t problem, const at::Tensor& vector) const = 0;
  // How far at most to go along a direction at once.
  virtual double longest_step(size_t, const at::Tensor&) const { return 1; }
};

struct LbfgsSettings {
  // A problem ends when twice in a row its next step promises to lower the value by less (-g·d, in the objective's unit).
  double tolerance = 1e-8;
  int64_t max_iterations = 1000;
  size_t memory = 10;
};

struct LbfgsResult {
  at::Tensor point;
  double value = 0;
  int64_t iterations = 0;
  bool converged = false;
};

// Minimises from the given points. Throws NON_FINITE when a problem has no finite value at its start.
std::vector<LbfgsResult> minimize(Objective& objective, const std::vector<at::Tensor>& starts, const LbfgsSettings& settings);

}  // namespace strata
