#pragma once
// Operators of libtorch without a public C++ function: looked up by name, arguments are given by name, and a libtorch that lacks one is told
// apart from one that fails.
#include "core/ops.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>

#include <map>
#include <optional>
#include <string>

namespace strata {

class LibraryOperator {
 public:
  explicit LibraryOperator(const char* name) : handle_(c10::Dispatcher::singleton().findSchema({name, ""})) {}
  explicit operator bool() const { return handle_.has_value() && handle_->hasSchema(); }

  // Arguments that are not given take their default, else None.
  c10::IValue operator()(const std::map<std::string, c10::IValue>& given) const {
    torch::jit::Stack stack;
    for (const c10::Argument& argument : handle_->schema().arguments()) {
      const auto found = given.find(argument.name());
      stack.push_back(found != given.end()             ? found->second
                      : argument.default_value() ? *argument.default_value()
                                                 : c10::IValue());
    }
    handle_->callBoxed(&stack);
    return stack.front();
  }

 private:
  std::optional<c10::OperatorHandle> handle_;
};

// x W^T + bias through oneDNN, then GELU if asked: its operator `mkldnn::_linear_pointwise`. bias may be undefined.
inline at::Tensor onednn_linear(const LibraryOperator& linear, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, bool gelu) {
  return linear({{"X", x},
                 {"W", weight},
                 {"B", bias.defined() ? c10::IValue(bias) : c10::IValue()},
                 {"attr", std::string(gelu ? "gelu" : "none")},
                 {"scalars", c10::List<std::optional<at::Scalar>>()},
                 {"algorithm", std::string(gelu ? "none" : "")}})
      .toTensor();
}

}  // namespace strata
