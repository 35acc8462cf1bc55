#include "core/optim/slices.h"

#include "core/parallel.h"

#include <ATen/Parallel.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_div.h>

#include <algorithm>

namespace strata {
namespace {

// Four lists of floats of this length fill half of a core's second-level cache.
constexpr int64_t kPieceElements = 32768;

void settle_gradients(const RuleStep& step, Slices& slices, const at::Tensor& left_out, double coupled_decay) {
  if (step.gradient_divisor) at::_foreach_div_(slices.gradients, *step.gradient_divisor);
  if (coupled_decay != 0) at::_foreach_add_(slices.gradients, slices.parameters, coupled_decay);
  if (step.may_be_not_finite)
    for (at::Tensor& gradient : slices.gradients) gradient.masked_fill_(left_out, 0);
}

}  // namespace

void in_slices(const RuleStep& step, const RuleTensors& tensors, const std::vector<at::Tensor>& scalars, double coupled_decay,
               const std::function<void(Slices&)>& body) {
  const at::Tensor left_out = step.not_finite.to(at::kBool);
  const auto run = [&](Slices& slices) {
    settle_gradients(step, slices, left_out, coupled_decay);
    body(slices);
  };
  if (!tensors.parameters[0].device().is_cpu()) {
    Slices whole{tensors.parameters, tensors.gradients, tensors.first, tensors.second, scalars};
    return run(whole);
  }
  struct Piece {
    size_t tensor;
    int64_t begin, length;
  };
  std::vector<Piece> pieces;
  for (size_t i = 0; i < tensors.parameters.size(); ++i)
    for (int64_t begin = 0, total = tensors.parameters[i].numel(); begin < total; begin += kPieceElements)
      pieces.push_back({i, begin, std::min(kPieceElements, total - begin)});
  parallel_for(static_cast<int64_t>(pieces.size()), 1, [&](int64_t begin, int64_t end) {
    const at::NoGradGuard no_grad;  // belongs to the thread
    for (int64_t i = begin; i < end; ++i) {
      const Piece& piece = pieces[static_cast<size_t>(i)];
      const auto cut = [&](const std::vector<at::Tensor>& list) -> std::vector<at::Tensor> {
        if (list.empty()) return {};
        return {list[piece.tensor].view({-1}).narrow(0, piece.begin, piece.length)};
      };
      Slices slices{cut(tensors.parameters), cut(tensors.gradients), cut(tensors.first), cut(tensors.second), {}};
      if (!scalars.empty()) slices.scalars = {scalars[piece.tensor]};
      run(slices);
    }
  });
}

at::Tensor applied(const RuleStep& step, const RuleTensors& tensors) {
  return (1 - step.not_finite).to(tensors.parameters[0].scalar_type());
}

at::Tensor keeping(double beta, const at::Tensor& applied) { return applied * beta + (1 - applied); }

}  // namespace strata
