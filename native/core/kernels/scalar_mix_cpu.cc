#include "core/kernels/scalar_mix_cpu.h"

#include "core/kernels/row_chunks.h"
#include "core/kernels/scalar_mix_rows.h"

#include <c10/util/SmallVector.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

namespace strata {
namespace {

using kernels::Bf16;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <typename Value, typename Wide>
void forward_rows(const at::Tensor& factors_J, const variable_list& states, bool normalize, double epsilon, at::Tensor& out) {
  const int64_t size = out.size(1);
  const Wide* factors = factors_J.const_data_ptr<Wide>();
  auto* result = static_cast<Value*>(out.mutable_data_ptr());
  each_chunk(out.size(0), [&](int64_t, int64_t begin, int64_t end) {
    c10::SmallVector<const Value*, 32> rows(states.size());
    std::vector<Wide> sum(static_cast<size_t>(size));
    for (int64_t r = begin; r < end; ++r) {
      for (size_t j = 0; j < states.size(); ++j) rows[j] = static_cast<const Value*>(states[j].const_data_ptr()) + r * size;
      kernels::scalar_mix_row(rows.data(), factors, static_cast<int64_t>(rows.size()), size, normalize, static_cast<Wide>(epsilon),
                              sum.data(), result + r * size);
    }
  });
}

// gradients: undefined where none is wanted. Returns the factors' gradient.
template <typename Value, typename Wide>
at::Tensor backward_rows(const at::Tensor& dy, const at::Tensor& factors_J, const variable_list& states, bool normalize,
                         double epsilon, variable_list& gradients) {
  const int64_t size = dy.size(1), count = static_cast<int64_t>(states.size());
  const auto* slope = static_cast<const Value*>(dy.const_data_ptr());
  const Wide* factors = factors_J.const_data_ptr<Wide>();
  at::Tensor dots_CJ = at::zeros({kChunks, count}, at::kDouble);
  double* dots = dots_CJ.mutable_data_ptr<double>();
  std::vector<Value*> targets(states.size(), nullptr);
  for (size_t j = 0; j < states.size(); ++j)
    if (gradients[j].defined()) targets[j] = static_cast<Value*>(gradients[j].mutable_data_ptr());
  each_chunk(dy.size(0), [&](int64_t chunk, int64_t begin, int64_t end) {
    c10::SmallVector<const Value*, 32> rows(states.size());
    c10::SmallVector<Value*, 32> results(states.size(), nullptr);
    for (int64_t r = begin; r < end; ++r) {
      for (size_t j = 0; j < states.size(); ++j) {
        rows[j] = static_cast<const Value*>(states[j].const_data_ptr()) + r * size;
        if (targets[j] != nullptr) results[j] = targets[j] + r * size;
      }
      kernels::scalar_mix_backward_row(slope + r * size, rows.data(), factors, count, size, normalize, static_cast<Wide>(epsilon),
                                       results.data(), dots + chunk * count);
    }
  });
  return dots_CJ.sum(0).to(factors_J.scalar_type());
}

// Calls with_types(Value{}, Wide{}) for the rows' type.
template <typename Body>
auto by_type(at::ScalarType type, const Body& body) {
  switch (type) {
    case at::kDouble: return body(double{}, double{});
    case at::kBFloat16: return body(Bf16{}, float{});
    default: return body(float{}, float{});
  }
}

struct MixRows : torch::autograd::Function<MixRows> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& factors_J, const at::TensorList& states_in, bool normalize,
                            double epsilon) {
    variable_list states;
    for (const at::Tensor& state : states_in) states.push_back(state.contiguous());
    at::Tensor out = at::empty(states[0].sizes(), states[0].options().requires_grad(false));
    by_type(out.scalar_type(), [&](auto value, auto wide) {
      forward_rows<decltype(value), decltype(wide)>(factors_J.contiguous(), states, normalize, epsilon, out);
    });
    // The blocks keep their states anyway.
    states.push_back(factors_J);
    context->save_for_backward(states);
    context->saved_data["normalize"] = normalize;
    context->saved_data["epsilon"] = epsilon;
    return out;
  }

  static variable_list backward(AutogradContext* context, variable_list given) {
    variable_list states = context->get_saved_variables();
    const at::Tensor factors_J = states.back().contiguous();
    states.pop_back();
    const at::Tensor dy = given[0].contiguous();
    variable_list gradients(states.size());
    for (size_t j = 0; j < states.size(); ++j)
      if (context->needs_input_grad(1 + j)) gradients[j] = at::empty_like(states[j]);
    const bool normalize = context->saved_data["normalize"].toBool();
    const double epsilon = context->saved_data["epsilon"].toDouble();
    const at::Tensor dfactors_J = by_type(dy.scalar_type(), [&](auto value, auto wide) {
      return backward_rows<decltype(value), decltype(wide)>(dy, factors_J, states, normalize, epsilon, gradients);
    });
    variable_list results{context->needs_input_grad(0) ? dfactors_J : at::Tensor()};
    results.insert(results.end(), gradients.begin(), gradients.end());
    results.resize(results.size() + 2);
    return results;
  }
};

}  // namespace

at::Tensor scalar_mix_cpu(const at::Tensor& factors_J, const std::vector<at::Tensor>& states, bool normalize, double epsilon) {
  return MixRows::apply(factors_J, at::TensorList(states), normalize, epsilon);
}

}  // namespace strata
