#include "core/probing/lbfgs.h"

#include "core/error.h"

#include <algorithm>
#include <cmath>
#include <deque>

namespace strata {
namespace {

constexpr double kArmijo = 1e-4;
// Values are means of float32 losses: smaller differences are rounding.
constexpr double kValueNoise = 1e-8;
constexpr double kShortestStep = 1e-8;

double product(const at::Tensor& a, const at::Tensor& b) { return at::dot(a, b).item<double>(); }

struct Pair {
  at::Tensor s, y;
  double rho;
};

struct Problem {
  at::Tensor point, gradient, direction;
  double value = 0;
  double slope = 0;  // g·d < 0
  double step = 1;
  double scale = 1;  // of the preconditioner
  std::deque<Pair> memory;
  int64_t iterations = 0;
  int small_promises = 0;
  bool done = false;
  bool converged = false;
};

void find_direction(const Objective& objective, size_t index, Problem& problem) {
  at::Tensor q = problem.gradient.clone();
  std::vector<double> alphas(problem.memory.size());
  for (size_t i = problem.memory.size(); i-- > 0;) {
    const Pair& pair = problem.memory[i];
    alphas[i] = pair.rho * product(pair.s, q);
    q.sub_(pair.y, alphas[i]);
  }
  at::Tensor r = objective.precondition(index, q).mul_(problem.scale);
  for (size_t i = 0; i < problem.memory.size(); ++i) {
    const Pair& pair = problem.memory[i];
    r.add_(pair.s, alphas[i] - pair.rho * product(pair.y, r));
  }
  problem.direction = r.neg_();
  problem.slope = product(problem.gradient, problem.direction);
  problem.step = std::min(1.0, objective.longest_step(index, problem.direction));
}

// Takes the direction anew and sees whether the problem has ended.
void begin_iteration(const Objective& objective, size_t index, Problem& problem, const LbfgsSettings& settings) {
  find_direction(objective, index, problem);
  if (!(problem.slope < 0)) {
    problem.memory.clear();
    problem.scale = 1;
    find_direction(objective, index, problem);
  }
  problem.small_promises = -problem.slope < settings.tolerance ? problem.small_promises + 1 : 0;
  problem.converged = problem.small_promises >= 2 || !(problem.slope < 0);
  problem.done = problem.converged || problem.iterations >= settings.max_iterations;
}

void accept(const Objective& objective, size_t index, Problem& problem, const at::Tensor& point, const at::Tensor& gradient, double value,
            const LbfgsSettings& settings) {
  const at::Tensor s = point - problem.point, y = gradient - problem.gradient;
  const double curvature = product(s, y);
  const double weighted = product(y, objective.precondition(index, y));
  if (curvature > 1e-10 * std::sqrt(product(s, s) * product(y, y)) && weighted > 0) {
    problem.memory.push_back({s, y, 1 / curvature});
    if (problem.memory.size() > settings.memory) problem.memory.pop_front();
    problem.scale = curvature / weighted;
  }
  problem.point = point;
  problem.gradient = gradient;
  problem.value = value;
  problem.iterations += 1;
  begin_iteration(objective, index, problem, settings);
}

void refuse(const Objective& objective, size_t index, Problem& problem, double value, const LbfgsSettings& settings) {
  double next = 0.5 * problem.step;
  if (std::isfinite(value)) {
    // The minimum of the parabola through value, slope and the refused value.
    const double bend = value - problem.value - problem.step * problem.slope;
    if (bend > 0) next = std::clamp(-problem.slope * problem.step * problem.step / (2 * bend), 0.1 * problem.step, 0.5 * problem.step);
  }
  problem.step = next;
  if (problem.step >= kShortestStep) return;
  if (problem.memory.empty()) {
    // Not even steepest descent goes on: what float32 can tell apart is reached.
    problem.done = true;
    problem.converged = -problem.slope < 1e3 * settings.tolerance;
    return;
  }
  problem.memory.clear();
  problem.scale = 1;
  begin_iteration(objective, index, problem, settings);
}

}  // namespace

std::vector<LbfgsResult> minimize(Objective& objective, const std::vector<at::Tensor>& starts, const LbfgsSettings& settings) {
  std::vector<Problem> problems(starts.size());
  std::vector<size_t> active(starts.size());
  for (size_t i = 0; i < starts.size(); ++i) active[i] = i;
  std::vector<at::Tensor> points(starts), gradients;
  std::vector<double> values;
  objective.evaluate(active, points, values, gradients);
  for (size_t i = 0; i < starts.size(); ++i) {
    if (!std::isfinite(values[i])) fail("NON_FINITE", "the probe's loss is not finite at its start; features that are finite numbers were expected");
    problems[i].point = points[i];
    problems[i].gradient = gradients[i];
    problems[i].value = values[i];
    begin_iteration(objective, i, problems[i], settings);
  }
  for (;;) {
    active.clear();
    points.clear();
    for (size_t i = 0; i < problems.size(); ++i) {
      if (problems[i].done) continue;
      active.push_back(i);
      points.push_back(problems[i].point.add(problems[i].direction, problems[i].step));
    }
    if (active.empty()) break;
    objective.evaluate(active, points, values, gradients);
    for (size_t a = 0; a < active.size(); ++a) {
      Problem& problem = problems[active[a]];
      const bool lower = values[a] <= problem.value + kArmijo * problem.step * problem.slope + kValueNoise;
      if (std::isfinite(values[a]) && lower) {
        accept(objective, active[a], problem, points[a], gradients[a], values[a], settings);
      } else {
        refuse(objective, active[a], problem, values[a], settings);
      }
    }
  }
  std::vector<LbfgsResult> results;
  for (const Problem& problem : problems) results.push_back({problem.point, problem.value, problem.iterations, problem.converged});
  return results;
}

}  // namespace strata
