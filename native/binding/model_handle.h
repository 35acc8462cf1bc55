#pragma once
// NativeModel: what lib/model/model.ts wraps. Methods check their arguments on the JavaScript thread and return promises.
#include "binding/execution_thread.h"
#include "core/training/model.h"

#include <napi.h>

#include <map>
#include <memory>

namespace strata::binding {

// Shared with the model's optimisers; touched by the execution thread only.
struct ModelState {
  std::unique_ptr<Model> model;
  std::map<int64_t, std::vector<HeadLoss>> losses;  // not yet read, by step id
  int64_t last_step = 0;
};

class ModelHandle : public Napi::ObjectWrap<ModelHandle> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit ModelHandle(const Napi::CallbackInfo& info);
  ~ModelHandle() override;
  void Finalize(Napi::Env env) override;

  static ModelHandle* unwrap(const Napi::Value& value);  // throws BAD_ARGUMENT
  Napi::Promise run(const Napi::CallbackInfo& info, Napi::Object keep_alive, std::function<MakeValue(ModelState&)> command);

 private:
  Napi::Value initialize(const Napi::CallbackInfo& info);
  Napi::Value step(const Napi::CallbackInfo& info);
  Napi::Value read_losses(const Napi::CallbackInfo& info);
  Napi::Value evaluate(const Napi::CallbackInfo& info);
  Napi::Value embed(const Napi::CallbackInfo& info);
  Napi::Value hidden_states(const Napi::CallbackInfo& info);
  Napi::Value attention_statistics(const Napi::CallbackInfo& info);
  Napi::Value agreements(const Napi::CallbackInfo& info);
  Napi::Value head_logits(const Napi::CallbackInfo& info);
  Napi::Value predict_masked(const Napi::CallbackInfo& info);
  Napi::Value answer(const Napi::CallbackInfo& info);
  Napi::Value parameters(const Napi::CallbackInfo& info);
  Napi::Value read_tensors(const Napi::CallbackInfo& info);
  Napi::Value write_tensors(const Napi::CallbackInfo& info);
  Napi::Value load(const Napi::CallbackInfo& info);
  Napi::Value save(const Napi::CallbackInfo& info);
  Napi::Value set_dropout(const Napi::CallbackInfo& info);
  Napi::Value set_pruning(const Napi::CallbackInfo& info);
  Napi::Value read_pruning(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);
  Napi::Value command(const Napi::CallbackInfo& info, std::function<MakeValue(ModelState&)> body);
  void report_bytes(Napi::Env env, int64_t bytes);
  // Takes the model out of the counters, once.
  void discount(Napi::Env env);

  ModelConfig config_;
  std::string device_;
  std::string precision_;
  std::string kernels_;
  bool inference_ = false;
  bool drawn_ = true;
  uint64_t seed_ = 0;
  std::shared_ptr<ModelState> state_ = std::make_shared<ModelState>();
  std::unique_ptr<ExecutionThread> thread_;
  int64_t reported_bytes_ = 0;
  bool disposed_ = false;
  bool counted_ = false;
};

}  // namespace strata::binding
