#include "core/kernels/layer_norm_cpu.h"

#include "core/kernels/layer_norm_rows.h"
#include "core/kernels/row_chunks.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

namespace strata {
namespace {

using kernels::Bf16;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <typename Value, typename Wide>
void forward_rows(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& gamma, const at::Tensor& beta, double epsilon,
                  at::Tensor& y, at::Tensor& normalized, at::Tensor& rstd) {
  const int64_t size = x.size(1);
  const auto* in = static_cast<const Value*>(x.const_data_ptr());
  const auto* other = residual.defined() ? static_cast<const Value*>(residual.const_data_ptr()) : nullptr;
  const Wide* scale = gamma.const_data_ptr<Wide>();
  const Wide* shift = beta.const_data_ptr<Wide>();
  auto* out = static_cast<Value*>(y.mutable_data_ptr());
  auto* keep = static_cast<Value*>(normalized.mutable_data_ptr());
  Wide* inverse = rstd.mutable_data_ptr<Wide>();
  each_chunk(x.size(0), [&](int64_t, int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      kernels::layer_norm_row(in + r * size, other ? other + r * size : nullptr, scale, shift, size, static_cast<Wide>(epsilon),
                              out + r * size, keep + r * size, inverse + r);
  });
}

template <typename Value, typename Wide>
void backward_rows(const at::Tensor& dy, const at::Tensor& normalized, const at::Tensor& rstd, const at::Tensor& gamma,
                   at::Tensor& dx, at::Tensor& dgamma_CH, at::Tensor& dbeta_CH) {
  const int64_t size = dy.size(1);
  const auto* in = static_cast<const Value*>(dy.const_data_ptr());
  const auto* kept = static_cast<const Value*>(normalized.const_data_ptr());
  const Wide* scale = gamma.const_data_ptr<Wide>();
  const Wide* inverse = rstd.const_data_ptr<Wide>();
  auto* out = static_cast<Value*>(dx.mutable_data_ptr());
  Wide* gammas = dgamma_CH.mutable_data_ptr<Wide>();
  Wide* betas = dbeta_CH.mutable_data_ptr<Wide>();
  each_chunk(dy.size(0), [&](int64_t chunk, int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      kernels::layer_norm_backward_row(in + r * size, kept + r * size, inverse[r], scale, size, out + r * size,
                                       gammas + chunk * size, betas + chunk * size);
  });
}

// Calls with_types(Value{}, Wide{}) for the rows' type.
template <typename Body>
void by_type(at::ScalarType type, const Body& body) {
  switch (type) {
    case at::kDouble: return body(double{}, double{});
    case at::kBFloat16: return body(Bf16{}, float{});
    default: return body(float{}, float{});
  }
}

struct LayerNormSum : torch::autograd::Function<LayerNormSum> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x_in, const std::optional<at::Tensor>& residual_in, const at::Tensor& gamma,
                            const at::Tensor& beta, double epsilon) {
    const at::Tensor x = x_in.contiguous();
    const at::Tensor residual = residual_in ? residual_in->contiguous() : at::Tensor();
    at::Tensor y = at::empty_like(x), normalized = at::empty_like(x), rstd = at::empty({x.size(0)}, gamma.options());
    by_type(x.scalar_type(), [&](auto value, auto wide) {
      forward_rows<decltype(value), decltype(wide)>(x, residual, gamma, beta, epsilon, y, normalized, rstd);
    });
    context->save_for_backward({normalized, rstd, gamma});
    context->saved_data["residual"] = residual.defined();
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &normalized = saved[0], &rstd = saved[1], &gamma = saved[2];
    const at::Tensor dy = gradients[0].contiguous();
    at::Tensor dx = at::empty_like(normalized);
    at::Tensor dgamma = at::zeros({kChunks, dy.size(1)}, rstd.options()), dbeta = at::zeros_like(dgamma);
    by_type(dy.scalar_type(), [&](auto value, auto wide) {
      backward_rows<decltype(value), decltype(wide)>(dy, normalized, rstd, gamma, dx, dgamma, dbeta);
    });
    return {dx, context->saved_data["residual"].toBool() ? dx : at::Tensor(), dgamma.sum(0), dbeta.sum(0), at::Tensor()};
  }
};

}  // namespace

at::Tensor layer_norm_cpu(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& gamma, const at::Tensor& beta,
                          double epsilon) {
  return LayerNormSum::apply(x, residual.defined() ? std::optional<at::Tensor>(residual) : std::nullopt, gamma, beta, epsilon);
}

}  // namespace strata
