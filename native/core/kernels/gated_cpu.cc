#include "core/kernels/gated_cpu.h"

#include "core/kernels/gated_rows.h"
#include "core/parallel.h"

#include <torch/csrc/autograd/custom_function.h>

namespace strata {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kRowsPerTask = 16;

struct GatedGelu : torch::autograd::Function<GatedGelu> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& inner) {
    const int64_t size = inner.size(1) / 2;
    at::Tensor out = at::empty({inner.size(0), size}, inner.options());
    const float* rows = inner.const_data_ptr<float>();
    float* results = out.mutable_data_ptr<float>();
    parallel_for(inner.size(0), kRowsPerTask, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) kernels::gated_gelu_row(rows + 2 * t * size, size, results + t * size);
    });
    context->save_for_backward({inner});
    return out;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const at::Tensor inner = context->get_saved_variables()[0];
    const at::Tensor dout = gradients[0].contiguous();
    const int64_t size = dout.size(1);
    at::Tensor dinner = at::empty_like(inner);
    const float *rows = inner.const_data_ptr<float>(), *slopes = dout.const_data_ptr<float>();
    float* results = dinner.mutable_data_ptr<float>();
    parallel_for(inner.size(0), kRowsPerTask, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t)
        kernels::gated_gelu_backward_row(slopes + t * size, rows + 2 * t * size, size, results + 2 * t * size);
    });
    return {dinner};
  }
};

}  // namespace

at::Tensor gated_gelu_cpu(const at::Tensor& inner_TF) { return GatedGelu::apply(inner_TF.contiguous()); }

}  // namespace strata
