#pragma once
// The small layers that encoder and heads are made of, and the state of one forward pass.
#include "core/dropout.h"
#include "core/parameters.h"

#include <string>

namespace strata {

// Simple paths are kept beside the fast ones; a test holds them together. `fast` on the CPU runs kernels of our own, elsewhere it is
// what `portable` is: operators of libtorch alone. `portable` on the CPU so runs, step by step, what a GPU runs.
enum class Kernels { fast, portable, reference };

struct ForwardPass {
  at::ScalarType type = at::kFloat;  // of activations and products
  Kernels kernels = Kernels::fast;
  DropoutPass* dropout = nullptr;  // null: evaluation
  double hidden_dropout = 0;
  double attention_dropout = 0;
  bool inference = false;  // of a model that only answers: packed weights, nothing kept for a backward pass

  at::Tensor drop_hidden(const at::Tensor& x) const { return dropout ? dropout->apply(x, hidden_dropout) : x; }
};

enum class Biases { zeros, none };

struct Linear {
  ParameterRef weight;  // (out, in)
  ParameterRef bias;    // (out), or null

  static Linear create(ParameterStore& store, const std::string& name, int64_t in, int64_t out, int64_t layer,
                       Biases biases = Biases::zeros);
  at::Tensor operator()(const ForwardPass& pass, const at::Tensor& x) const;
  // activate(activation, this(x)), in one pass where that can be had.
  at::Tensor activated(const ForwardPass& pass, const at::Tensor& x, const std::string& activation) const;
};

struct LayerNorm {
  ParameterRef weight;
  ParameterRef bias;
  double epsilon = 1e-12;

  static LayerNorm create(ParameterStore& store, const std::string& name, int64_t size, double epsilon, int64_t layer);
  // LN(x + residual); residual may be undefined.
  at::Tensor operator()(const ForwardPass& pass, const at::Tensor& x, const at::Tensor& residual = {}) const;
};

// x + y where x is the residual stream of a pre-LN encoder and y what joins it, in the stream's type.
at::Tensor join_stream(const ForwardPass& pass, const at::Tensor& stream_TH, const at::Tensor& delta_TH);

// What joins the stream, and the LayerNorm that reads it then.
struct StreamStep {
  at::Tensor stream_TH;  // stream + delta
  at::Tensor normed_TH;  // LN(stream + delta), in the pass's type
};
// delta may be undefined.
StreamStep step_stream(const ForwardPass& pass, const at::Tensor& stream_TH, const at::Tensor& delta_TH, const LayerNorm& norm);

at::Tensor activate(const std::string& name, const at::Tensor& x);  // gelu | gelu_tanh | relu

// output(activate(activation, inner(x))), in one pass over memory where that can be had.
at::Tensor feed_forward(const ForwardPass& pass, const Linear& inner, const std::string& activation, const Linear& output, const at::Tensor& x);

// x W^T + b with products in the pass's type and gradients in the master's; bias may be null.
at::Tensor linear(const ForwardPass& pass, const at::Tensor& x, const ParameterRef& weight, const ParameterRef& bias);

}  // namespace strata
