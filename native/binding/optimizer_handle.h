#pragma once
// NativeOptimizer: what lib/model/optimizer.ts wraps. Its commands run on its model's thread.
#include "binding/model_handle.h"
#include "core/optim/optimizer.h"

#include <napi.h>

#include <map>
#include <memory>

namespace strata::binding {

struct OptimizerState {
  std::unique_ptr<Optimizer> optimizer;
  std::map<int64_t, OptimizerStep> steps;  // not yet read, by number
  int64_t last_step = 0;
};

class OptimizerHandle : public Napi::ObjectWrap<OptimizerHandle> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit OptimizerHandle(const Napi::CallbackInfo& info);
  ~OptimizerHandle() override;

 private:
  Napi::Value initialize(const Napi::CallbackInfo& info);
  Napi::Value step(const Napi::CallbackInfo& info);
  Napi::Value read_step(const Napi::CallbackInfo& info);
  Napi::Value gradient_norms(const Napi::CallbackInfo& info);
  Napi::Value state(const Napi::CallbackInfo& info);
  Napi::Value save(const Napi::CallbackInfo& info);
  Napi::Value load(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);
  Napi::Value command(const Napi::CallbackInfo& info, std::function<MakeValue(OptimizerState&)> body);

  OptimizerConfig config_;
  Napi::ObjectReference model_;  // keeps the model's handle alive
  ModelHandle* handle_ = nullptr;
  std::shared_ptr<OptimizerState> state_ = std::make_shared<OptimizerState>();
  bool disposed_ = false;
};

}  // namespace strata::binding
