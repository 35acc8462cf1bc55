#include "core/kernels/gated_cpu.h"

#include "core/kernels/gated_rows.h"
#include "core/parallel.h"

#include <torch/csrc/autograd/custom_function.h>

namespace strata {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kRowsPerTask = 16;

template <typename Value>
void forward_rows(const at::Tensor& inner, at::Tensor& out) {
  const int64_t size = out.size(1);
  const auto* rows = static_cast<const Value*>(inner.const_data_ptr());
  auto* results = static_cast<Value*>(out.mutable_data_ptr());
  parallel_for(out.size(0), kRowsPerTask, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) kernels::gated_gelu_row(rows + 2 * t * size, size, results + t * size);
  });
}

template <typename Value>
void backward_rows(const at::Tensor& dout, const at::Tensor& inner, at::Tensor& dinner) {
  const int64_t size = dout.size(1);
  const auto *rows = static_cast<const Value*>(inner.const_data_ptr()), *slopes = static_cast<const Value*>(dout.const_data_ptr());
  auto* results = static_cast<Value*>(dinner.mutable_data_ptr());
  parallel_for(dout.size(0), kRowsPerTask, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t)
      kernels::gated_gelu_backward_row(slopes + t * size, rows + 2 * t * size, size, results + 2 * t * size);
  });
}

struct GatedGelu : torch::autograd::Function<GatedGelu> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& inner) {
    at::Tensor out = at::empty({inner.size(0), inner.size(1) / 2}, inner.options());
    inner.scalar_type() == at::kBFloat16 ? forward_rows<kernels::Bf16>(inner, out) : forward_rows<float>(inner, out);
    context->save_for_backward({inner});
    return out;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const at::Tensor inner = context->get_saved_variables()[0];
    const at::Tensor dout = gradients[0].contiguous();
    at::Tensor dinner = at::empty_like(inner);
    inner.scalar_type() == at::kBFloat16 ? backward_rows<kernels::Bf16>(dout, inner, dinner) : backward_rows<float>(dout, inner, dinner);
    return {dinner};
  }
};

}  // namespace

at::Tensor gated_gelu_cpu(const at::Tensor& inner_TF) { return GatedGelu::apply(inner_TF.contiguous()); }

}  // namespace strata
