#include "binding/products.h"

#include "binding/arguments.h"
#include "binding/errors.h"
#include "core/float_products.h"

#include <ATen/ops/linear.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>

namespace strata::binding {
namespace {

using Results = std::array<at::Tensor, 4>;
constexpr std::array<const char*, 4> kNames = {"y", "dx", "dw", "db"};

// Values in [-1, 1] without a pattern that sums would cancel out by: quadratic residues, over and over.
at::Tensor numbers(int64_t rows, int64_t columns, int64_t factor, bool strided) {
  constexpr int64_t kPrime = 8191;
  const at::Tensor i = at::arange(kPrime, at::kLong);
  const at::Tensor residues = (i * i * factor + i).remainder(kPrime).to(at::kFloat).div_(4095).sub_(1);
  const at::Tensor values = residues.repeat({rows * columns / kPrime + 1}).narrow(0, 0, rows * columns);
  return strided ? values.view({columns, rows}).t() : values.view({rows, columns});
}

Results linear_and_gradients(int64_t rows, int64_t inputs, int64_t outputs, bool strided, FloatProducts products) {
  const at::Tensor x = numbers(rows, inputs, 3, strided).requires_grad_();
  const at::Tensor weight = numbers(outputs, inputs, 5, false).requires_grad_(), bias = numbers(1, outputs, 7, false)[0].requires_grad_();
  const at::Tensor y = float_linear(x, weight, bias, products);
  y.backward(numbers(rows, outputs, 11, strided));
  return {y.detach(), x.grad(), weight.grad(), bias.grad()};
}

// Of a linear layer of BERT-base over 512 tokens: the quickest of some, in 10^9 operations a second.
double linear_rate(at::ScalarType type) {
  constexpr int64_t kTokens = 512, kSize = 768;
  constexpr int kTimes = 6;
  const at::NoGradGuard no_grad;
  const at::Tensor x = numbers(kTokens, kSize, 3, false).to(type), weight = numbers(kSize, kSize, 5, false).to(type);
  double quickest = std::numeric_limits<double>::infinity();
  for (int time = 0; time < kTimes; ++time) {
    const auto start = std::chrono::steady_clock::now();
    type == at::kFloat ? float_product(x, weight, {}, float_products()) : at::linear(x, weight);
    quickest = std::min(quickest, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return 2.0 * kTokens * kSize * kSize / quickest / 1e9;
}

}  // namespace

Napi::Value product_rates(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    Napi::Object rates = Napi::Object::New(info.Env());
    rates.Set("fp32", linear_rate(at::kFloat));
    rates.Set("bf16", linear_rate(at::kBFloat16));
    return rates;
  });
}

Napi::Value float_products_name(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return Napi::String::New(info.Env(), float_products() == FloatProducts::onednn ? "onednn" : "mkl");
  });
}

Napi::Value compare_float_products(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    if (!has_onednn_products()) return info.Env().Null();
    const int64_t rows = integer(info[0], "rows"), inputs = integer(info[1], "inputs"), outputs = integer(info[2], "outputs");
    const bool strided = info[3].ToBoolean();
    const Results mkl = linear_and_gradients(rows, inputs, outputs, strided, FloatProducts::mkl);
    const Results onednn = linear_and_gradients(rows, inputs, outputs, strided, FloatProducts::onednn);
    Napi::Object distances = Napi::Object::New(info.Env());
    for (size_t i = 0; i < kNames.size(); ++i) {
      const double norm = mkl[i].norm().item<double>(), difference = (onednn[i] - mkl[i]).norm().item<double>();
      distances.Set(kNames[i], difference == 0 ? 0 : difference / norm);
    }
    return distances;
  });
}

}  // namespace strata::binding
