#pragma once
// NativeGramSums: what lib/model/gram-sums.ts wraps. Products of layers' states, summed on a thread of their own.
#include "binding/execution_thread.h"
#include "core/analysis/gram_sums.h"

#include <napi.h>

#include <memory>

namespace strata::binding {

class GramHandle : public Napi::ObjectWrap<GramHandle> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit GramHandle(const Napi::CallbackInfo& info);
  ~GramHandle() override;

 private:
  Napi::Value add(const Napi::CallbackInfo& info);
  Napi::Value squares(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);

  std::shared_ptr<GramSums> sums_;  // null once disposed of
  std::unique_ptr<ExecutionThread> thread_;
};

}  // namespace strata::binding
