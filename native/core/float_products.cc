#include "core/float_products.h"

#include "core/error.h"
#include "core/library_operator.h"
#include "platform/memory.h"
#include "platform/processor.h"

#include <torch/csrc/autograd/custom_function.h>

#include <cstdlib>
#include <string_view>

namespace strata {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Below so many multiplications oneDNN's fixed costs (about 15 µs a call) eat what its product saves.
constexpr int64_t kWorthOneDnn = int64_t{1} << 22;

const LibraryOperator& onednn_operator() {
  static const LibraryOperator linear("mkldnn::_linear_pointwise");
  return linear;
}

// "GenuineIntel" in the registers' order. What is no x86 has no CPUID and no MKL: libtorch's choice is left alone there.
bool is_x86_of_another_maker() {
  platform::Registers maker;
  if (!platform::read_cpuid(0, 0, maker)) return false;
  return maker.ebx != 0x756E6547 || maker.edx != 0x49656E69 || maker.ecx != 0x6C65746E;
}

FloatProducts decide() {
  const char* choice = std::getenv("STRATABERT_FLOAT_PRODUCTS");
  const std::string_view name = choice != nullptr ? choice : "";
  if (name == "mkl") return FloatProducts::mkl;
  if (name == "onednn" && !has_onednn_products())
    fail("UNSUPPORTED", "STRATABERT_FLOAT_PRODUCTS is onednn, which this libtorch has no float32 product of; mkl was expected: set it to that, or unset it");
  if (!name.empty() && name != "onednn")
    fail("BAD_ARGUMENT", "STRATABERT_FLOAT_PRODUCTS is '", name, "'; mkl or onednn was expected: set it to one of them, or unset it");
  // Where memory ends while oneDNN makes the code of a product it fails for good, or crashes; MKL's products survive that.
  const bool wanted = name == "onednn" || (is_x86_of_another_maker() && !platform::has_memory_limit());
  return wanted && has_onednn_products() ? FloatProducts::onednn : FloatProducts::mkl;
}

struct FloatLinear : torch::autograd::Function<FloatLinear> {
  // An absent bias is an empty option: an undefined tensor is no input of a node.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x_RI, const at::Tensor& weight_OI, const std::optional<at::Tensor>& bias_O,
                            int64_t products) {
    context->saved_data["bias"] = bias_O.has_value();
    context->saved_data["products"] = products;
    context->save_for_backward({x_RI, weight_OI});
    return float_product(x_RI, weight_OI, bias_O.value_or(at::Tensor()), static_cast<FloatProducts>(products));
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x_RI = saved[0], &weight_OI = saved[1];
    const auto products = static_cast<FloatProducts>(context->saved_data["products"].toInt());
    const at::Tensor dy_RO = gradients[0].contiguous();
    at::Tensor dx, dw, db;
    if (context->needs_input_grad(0)) dx = float_product(dy_RO, weight_OI.t(), {}, products);
    if (context->needs_input_grad(1)) dw = float_product(dy_RO.t(), x_RI.t(), {}, products);
    // Edges count tensors alone.
    if (context->saved_data["bias"].toBool() && context->needs_input_grad(2)) db = dy_RO.sum(0);
    return {dx, dw, db, at::Tensor()};
  }
};

}  // namespace

bool has_onednn_products() {
  static const bool works = [] {
    if (!onednn_operator()) return false;
    try {
      const at::NoGradGuard no_grad;
      const at::Tensor one = at::ones({1, 1}, at::kFloat);
      return onednn_linear(onednn_operator(), one, one, one[0], false).scalar_type() == at::kFloat;
    } catch (const c10::Error&) {
      return false;  // a libtorch without oneDNN, or with another operator of this name
    }
  }();
  return works;
}

FloatProducts float_products() {
  static const FloatProducts decided = decide();
  return decided;
}

at::Tensor float_product(const at::Tensor& x_RI, const at::Tensor& weight_OI, const at::Tensor& bias_O, FloatProducts products) {
  if (products == FloatProducts::onednn && x_RI.numel() * weight_OI.size(0) >= kWorthOneDnn)
    return onednn_linear(onednn_operator(), x_RI, weight_OI, bias_O, false);
  return bias_O.defined() ? at::addmm(bias_O, x_RI, weight_OI.t()) : at::mm(x_RI, weight_OI.t());
}

at::Tensor float_linear(const at::Tensor& x, const at::Tensor& weight_OI, const at::Tensor& bias_O, FloatProducts products) {
  const at::Tensor x_RI = x.dim() == 2 ? x : x.reshape({-1, weight_OI.size(1)});
  const at::Tensor y_RO =
      at::GradMode::is_enabled()
          ? FloatLinear::apply(x_RI.contiguous(), weight_OI, bias_O.defined() ? std::optional<at::Tensor>(bias_O) : std::nullopt,
                               static_cast<int64_t>(products))
          : float_product(x_RI, weight_OI, bias_O, products);
  if (x.dim() == 2) return y_RO;
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = weight_OI.size(0);
  return y_RO.view(shape);
}

}  // namespace strata
