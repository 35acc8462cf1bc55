#pragma once
// NativeProbe: what lib/model/probe.ts wraps. Features of a frozen encoder and the classifiers that are trained on them, on a
// thread of their own.
#include "binding/execution_thread.h"
#include "core/probing/features.h"

#include <napi.h>

#include <memory>

namespace strata::binding {

class ProbeHandle : public Napi::ObjectWrap<ProbeHandle> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit ProbeHandle(const Napi::CallbackInfo& info);
  ~ProbeHandle() override;

 private:
  Napi::Value logistic(const Napi::CallbackInfo& info);
  Napi::Value logistic_mix(const Napi::CallbackInfo& info);
  Napi::Value mlp(const Napi::CallbackInfo& info);
  Napi::Value sparse_logistic(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);
  Napi::Value command(const Napi::CallbackInfo& info, std::function<MakeValue(const ProbeFeatures&)> body);

  std::shared_ptr<const ProbeFeatures> features_;  // null: sparse data only
  std::unique_ptr<ExecutionThread> thread_;
  bool disposed_ = false;
};

// spanMeans(model, batch, layers, starts, ends): runs on the model's thread; resolves to (S, L', H) float32.
Napi::Value model_span_means(const Napi::CallbackInfo& info);

}  // namespace strata::binding
