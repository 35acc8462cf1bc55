#include "core/layers.h"

#include "core/error.h"
#include "core/float_products.h"
#include "core/inference/packed_weight.h"
#include "core/inference/rows.h"
#include "core/kernels/gradient_cpu.h"
#include "core/kernels/layer_norm_cpu.h"
#include "core/kernels/stream_norm_cpu.h"

#include <torch/csrc/autograd/custom_function.h>

namespace strata {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Products in a low type from copies that are made once an update; the gradient goes to the master weight.
struct LowLinear : torch::autograd::Function<LowLinear> {
  // An absent bias is an empty option: an undefined tensor is no input of a node.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, const at::Tensor& low_weight,
                            const std::optional<at::Tensor>& low_bias) {
    context->saved_data["bias"] = bias.has_value();
    context->save_for_backward({x, low_weight});
    context->saved_data["master"] = static_cast<int64_t>(weight.scalar_type());
    context->saved_data["alone"] = weight.is_leaf() && !weight.grad().defined();
    return at::linear(x, low_weight, low_bias);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    const at::Tensor& low_weight = saved[1];
    const auto master = static_cast<at::ScalarType>(context->saved_data["master"].toInt());
    const at::Tensor dy = gradients[0].contiguous();
    at::Tensor dx, dw, db;
    if (context->needs_input_grad(0)) dx = dy.matmul(low_weight);
    const at::Tensor dy2 = dy.reshape({-1, dy.size(-1)});
    if (context->needs_input_grad(1)) {
      const at::Tensor low_dw = dy2.t().mm(x.reshape({-1, x.size(-1)}));
      dw = context->saved_data["alone"].toBool() ? gradient_in(low_dw, master) : low_dw.to(master);
    }
    // Edges count tensors alone: without a bias, 2 is the low weight's.
    if (context->saved_data["bias"].toBool() && context->needs_input_grad(2)) db = dy2.sum(0, false, master);
    return {dx, dw, db, at::Tensor(), at::Tensor()};
  }
};

at::Tensor bias_of(const ForwardPass& pass, const ParameterRef& bias) { return bias ? bias->compute(pass.type) : at::Tensor(); }

}  // namespace

at::Tensor linear(const ForwardPass& pass, const at::Tensor& x, const ParameterRef& weight, const ParameterRef& bias) {
  if (pass.inference && weight->packed) return weight->packed->apply(x, bias_of(pass, bias), false);
  const bool exact = weight->master.scalar_type() == pass.type;
  if (exact && pass.kernels == Kernels::fast && pass.type == at::kFloat && x.device().is_cpu() && float_products() == FloatProducts::onednn)
    return float_linear(x, weight->value(), bias ? bias->master : at::Tensor(), FloatProducts::onednn);
  if (!bias) {
    if (exact) return at::linear(x, weight->value());
    return LowLinear::apply(x, weight->value(), std::nullopt, weight->compute(pass.type), std::nullopt);
  }
  if (exact) return at::linear(x, weight->value(), bias->master);
  return LowLinear::apply(x, weight->value(), std::optional<at::Tensor>(bias->master), weight->compute(pass.type),
                          std::optional<at::Tensor>(bias->compute(pass.type)));
}

Linear Linear::create(ParameterStore& store, const std::string& name, int64_t in, int64_t out, int64_t layer,
                      Biases biases) {
  return {store.create(name + ".weight", {out, in}, Init::normal, true, layer),
          biases == Biases::none ? nullptr : store.create(name + ".bias", {out}, Init::zeros, false, layer)};
}

at::Tensor Linear::operator()(const ForwardPass& pass, const at::Tensor& x) const { return linear(pass, x, weight, bias); }

at::Tensor Linear::activated(const ForwardPass& pass, const at::Tensor& x, const std::string& activation) const {
  if (pass.inference && weight->packed && activation == "gelu") return weight->packed->apply(x, bias_of(pass, bias), true);
  return activate(activation, (*this)(pass, x));
}

at::Tensor feed_forward(const ForwardPass& pass, const Linear& inner, const std::string& activation, const Linear& output, const at::Tensor& x) {
  if (pass.inference && inner.weight->packed && output.weight->packed && activation == "gelu") {
    at::Tensor y = inner.weight->packed->apply_pair(x, bias_of(pass, inner.bias), *output.weight->packed, bias_of(pass, output.bias));
    if (y.defined()) return y;
  }
  return output(pass, inner.activated(pass, x, activation));
}

LayerNorm LayerNorm::create(ParameterStore& store, const std::string& name, int64_t size, double epsilon, int64_t layer) {
  return {store.create(name + ".weight", {size}, Init::ones, false, layer),
          store.create(name + ".bias", {size}, Init::zeros, false, layer), epsilon};
}

at::Tensor LayerNorm::operator()(const ForwardPass& pass, const at::Tensor& x, const at::Tensor& residual) const {
  if (pass.inference && pass.kernels == Kernels::fast && x.device().is_cpu() && weight->master.scalar_type() == at::kFloat &&
      (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16) && (!residual.defined() || residual.scalar_type() == x.scalar_type()))
    return layer_norm_rows(x, residual, weight->master, bias->master, epsilon).to(pass.type);
  // Half precision on the CPU is not offered; float, double and bfloat16 have a kernel.
  if (pass.kernels == Kernels::fast && x.device().is_cpu() && x.scalar_type() != at::kHalf)
    return layer_norm_cpu(x, residual, weight->master, bias->master, epsilon).to(pass.type);
  const at::Tensor sum = residual.defined() ? x + residual : x;
  // Statistics are taken in the master's type whatever the activations' type is.
  return at::layer_norm(sum.to(weight->master.scalar_type()), {sum.size(-1)}, weight->master, bias->master, epsilon).to(pass.type);
}

namespace {

// A float stream between layers that compute in bf16; a model that only answers keeps nothing and needs no node.
bool is_narrowed_stream(const ForwardPass& pass, const at::Tensor& stream_TH) {
  return pass.kernels == Kernels::fast && !pass.inference && pass.type == at::kBFloat16 && stream_TH.device().is_cpu() &&
         stream_TH.scalar_type() == at::kFloat;
}

}  // namespace

at::Tensor join_stream(const ForwardPass& pass, const at::Tensor& stream_TH, const at::Tensor& delta_TH) {
  if (is_narrowed_stream(pass, stream_TH) && delta_TH.scalar_type() == at::kBFloat16) return stream_sum_cpu(stream_TH, delta_TH);
  return stream_TH + delta_TH;
}

StreamStep step_stream(const ForwardPass& pass, const at::Tensor& stream_TH, const at::Tensor& delta_TH, const LayerNorm& norm) {
  if (is_narrowed_stream(pass, stream_TH) && (!delta_TH.defined() || delta_TH.scalar_type() == at::kBFloat16)) {
    const StreamNorm step = stream_norm_cpu(stream_TH, delta_TH, norm.weight->master, norm.bias->master, norm.epsilon);
    return {step.sum_TH, step.normed_TH};
  }
  const at::Tensor sum_TH = delta_TH.defined() ? stream_TH + delta_TH : stream_TH;
  return {sum_TH, norm(pass, sum_TH)};
}

at::Tensor activate(const std::string& name, const at::Tensor& x) {
  if (name == "gelu") return at::gelu(x);
  if (name == "gelu_tanh") return at::gelu(x, "tanh");
  if (name == "relu") return at::relu(x);
  fail("UNSUPPORTED", "activation '", name, "' is not known; gelu, gelu_tanh or relu was expected");
}

}  // namespace strata
