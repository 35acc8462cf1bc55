#include "binding/optimizer_handle.h"

#include "binding/addon_data.h"
#include "binding/arguments.h"
#include "binding/errors.h"
#include "core/error.h"
#include "core/storage/tensor_file.h"

namespace strata::binding {
namespace {

constexpr size_t kUnreadSteps = 4096;

}  // namespace

Napi::Function OptimizerHandle::define(Napi::Env env) {
  return DefineClass(env, "NativeOptimizer",
                     {InstanceMethod<&OptimizerHandle::initialize>("initialize"), InstanceMethod<&OptimizerHandle::step>("step"),
                      InstanceMethod<&OptimizerHandle::read_step>("readStep"),
                      InstanceMethod<&OptimizerHandle::gradient_norms>("gradientNorms"),
                      InstanceMethod<&OptimizerHandle::state>("state"),
                      InstanceMethod<&OptimizerHandle::save>("save"), InstanceMethod<&OptimizerHandle::load>("load"),
                      InstanceMethod<&OptimizerHandle::dispose>("dispose")});
}

OptimizerHandle::OptimizerHandle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<OptimizerHandle>(info) {
  guarded(info.Env(), [&] {
    handle_ = ModelHandle::unwrap(info[0]);
    model_ = Napi::Persistent(info[0].As<Napi::Object>());
    config_ = optimizer_config(object_argument(info, 1, "config"));
  });
  counters().optimizers += 1;
}

OptimizerHandle::~OptimizerHandle() {
  if (!disposed_) counters().optimizers -= 1;
}

Napi::Value OptimizerHandle::command(const Napi::CallbackInfo& info, std::function<MakeValue(OptimizerState&)> body) {
  if (disposed_) fail("DISPOSED", "the optimizer has been disposed; create another one");
  return handle_->run(info, info.This().As<Napi::Object>(), [state = state_, body = std::move(body)](ModelState&) {
    if (!state->optimizer) fail("DISPOSED", "the optimizer is not initialised or has been disposed");
    return body(*state);
  });
}

Napi::Value OptimizerHandle::initialize(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    if (disposed_) fail("DISPOSED", "the optimizer has been disposed; create another one");
    return handle_->run(info, info.This().As<Napi::Object>(), [state = state_, config = config_](ModelState& model) -> MakeValue {
      if (model.model->inference()) fail("UNSUPPORTED", "the model was loaded for inference; load it without `inference` to train it");
      state->optimizer = std::make_unique<Optimizer>(*model.model, config);
      return {};
    });
  });
}

Napi::Value OptimizerHandle::step(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const Napi::Object options = object_argument(info, 0, "options");
    const double rate = number_field(options, "learningRate");
    const double max_norm = number_field(options, "maxGradNorm", 0), max_tensor_norm = number_field(options, "maxTensorGradNorm", 0);
    if (!(rate >= 0 && rate < 1e6)) fail("BAD_ARGUMENT", "learningRate is ", rate, "; a number from 0 to below 1e6 was expected");
    if (!(max_norm >= 0)) fail("BAD_ARGUMENT", "maxGradNorm is ", max_norm, "; 0 (no limit) or more was expected");
    if (!(max_tensor_norm >= 0)) fail("BAD_ARGUMENT", "maxTensorGradNorm is ", max_tensor_norm, "; 0 (no limit) or more was expected");
    return command(info, [rate, max_norm, max_tensor_norm](OptimizerState& state) -> MakeValue {
      const OptimizerStep done = state.optimizer->step(rate, max_norm, max_tensor_norm);
      const int64_t id = ++state.last_step;  // not the optimizer's count, which load() sets back
      state.steps[id] = done;
      if (state.steps.size() > kUnreadSteps) state.steps.erase(state.steps.begin());
      return [id](Napi::Env env) -> Napi::Value { return Napi::Number::New(env, static_cast<double>(id)); };
    });
  });
}

Napi::Value OptimizerHandle::read_step(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const int64_t id = integer(info[0], "the step's number");
    return command(info, [id](OptimizerState& state) -> MakeValue {
      const auto found = state.steps.find(id);
      if (found == state.steps.end()) fail("NOT_FOUND", "step ", id, " has been read or dropped (the newest ", kUnreadSteps, " are kept)");
      const double norm = found->second.gradient_norm.item<double>();
      const bool applied = found->second.not_finite.item<float>() == 0;
      const int64_t count = found->second.step_count;
      state.steps.erase(found);
      return [norm, applied, count](Napi::Env env) -> Napi::Value {
        Napi::Object object = Napi::Object::New(env);
        object.Set("gradNorm", norm);
        object.Set("applied", applied);
        object.Set("stepCount", static_cast<double>(count));
        return object;
      };
    });
  });
}

// Resolves to { "0": …, "1": …, …, heads: … }
Napi::Value OptimizerHandle::gradient_norms(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    return command(info, [](OptimizerState& state) -> MakeValue {
      const auto norms = state.optimizer->gradient_norms();
      const int64_t layers = state.optimizer->layers();
      return [norms, layers](Napi::Env env) -> Napi::Value {
        Napi::Object object = Napi::Object::New(env);
        for (const auto& [layer, norm] : norms) object.Set(layer > layers ? "heads" : std::to_string(layer), norm);
        return object;
      };
    });
  });
}

// Resolves to { stepCount, lossScale, goodSteps, tensors: [{ name, shape, dtype }] }: what a header needs.
Napi::Value OptimizerHandle::state(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    return command(info, [](OptimizerState& state) -> MakeValue {
      struct Row {
        std::string name;
        std::vector<int64_t> shape;
        bool is_double;
      };
      std::vector<Row> rows;
      for (const auto& [name, tensor] : state.optimizer->state())
        rows.push_back({name, tensor.sizes().vec(), tensor.scalar_type() == at::kDouble});
      const int64_t count = state.optimizer->step_count, good_steps = state.optimizer->good_steps;
      const double loss_scale = state.optimizer->loss_scale();
      return [rows, count, good_steps, loss_scale](Napi::Env env) -> Napi::Value {
        Napi::Object object = Napi::Object::New(env);
        const Napi::Array array = Napi::Array::New(env, rows.size());
        for (size_t i = 0; i < rows.size(); ++i) {
          Napi::Object row = Napi::Object::New(env);
          const Napi::Array shape = Napi::Array::New(env, rows[i].shape.size());
          for (size_t d = 0; d < rows[i].shape.size(); ++d) shape.Set(static_cast<uint32_t>(d), static_cast<double>(rows[i].shape[d]));
          row.Set("name", rows[i].name);
          row.Set("shape", shape);
          row.Set("dtype", rows[i].is_double ? "F64" : "F32");
          array.Set(static_cast<uint32_t>(i), row);
        }
        object.Set("stepCount", static_cast<double>(count));
        object.Set("lossScale", loss_scale);
        object.Set("goodSteps", static_cast<double>(good_steps));
        object.Set("tensors", array);
        return object;
      };
    });
  });
}

Napi::Value OptimizerHandle::save(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const std::string path = path_argument(info, 0), header = string_argument(info, 1, "header");
    return command(info, [path, header](OptimizerState& state) -> MakeValue {
      std::vector<at::Tensor> tensors;
      for (const auto& [name, tensor] : state.optimizer->state()) tensors.push_back(tensor);
      write_tensors(path, header, tensors);
      return {};
    });
  });
}

// load(path, stepCount, [{ name, dtype, begin, bytes }], { lossScale, goodSteps })
Napi::Value OptimizerHandle::load(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const std::string path = path_argument(info, 0);
    const int64_t count = integer(info[1], "stepCount");
    if (count < 0) fail("BAD_CHECKPOINT", path, " has a step count of ", count, "; 0 or more was expected");
    const Napi::Object scaling = object_argument(info, 3, "scaling");
    const int64_t good_steps = integer_field(scaling, "goodSteps");
    if (good_steps < 0) fail("BAD_CHECKPOINT", path, " has ", good_steps, " good steps; 0 or more was expected");
    const double loss_scale = number_field(scaling, "lossScale");
    if (!(loss_scale >= 1 && loss_scale <= 1e38)) fail("BAD_CHECKPOINT", path, " has a loss scale of ", loss_scale, "; 1 to 1e38 was expected");
    if (!info[2].IsArray()) fail("BAD_ARGUMENT", "tensors must be an array");
    std::map<std::string, StoredTensor> stored;
    const Napi::Array array = info[2].As<Napi::Array>();
    for (uint32_t i = 0; i < array.Length(); ++i) {
      const Napi::Value item = array.Get(i);
      if (!item.IsObject()) fail("BAD_ARGUMENT", "tensors[", i, "] must be an object");
      const Napi::Object object = item.As<Napi::Object>();
      const std::string name = string_field(object, "name");
      stored[name] = {name, {}, string_field(object, "dtype"), static_cast<uint64_t>(integer_field(object, "begin")),
                      static_cast<uint64_t>(integer_field(object, "bytes"))};
    }
    return command(info, [path, count, good_steps, loss_scale, stored = std::move(stored)](OptimizerState& state) -> MakeValue {
      std::vector<StoredTensor> tensors;
      for (const auto& [name, tensor] : state.optimizer->state()) {
        const auto found = stored.find(name);
        if (found == stored.end())
          fail("BAD_CHECKPOINT", path, " has no tensor ", name, "; the optimiser state of the same model and groups was expected");
        StoredTensor entry = found->second;
        entry.target = tensor;
        tensors.push_back(std::move(entry));
      }
      if (tensors.size() != stored.size())
        fail("BAD_CHECKPOINT", path, " has ", stored.size(), " tensors; ", tensors.size(), " were expected (same model and groups)");
      strata::read_tensors(path, tensors);
      state.optimizer->step_count = count;
      state.optimizer->restore_loss_scale(loss_scale, good_steps);
      return {};
    });
  });
}

Napi::Value OptimizerHandle::dispose(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto settled = [&] {
      Napi::Promise::Deferred done = Napi::Promise::Deferred::New(info.Env());
      done.Resolve(info.Env().Undefined());
      return done.Promise();
    };
    if (disposed_) return settled();
    disposed_ = true;
    counters().optimizers -= 1;
    try {
      return handle_->run(info, info.This().As<Napi::Object>(), [state = state_](ModelState&) -> MakeValue {
        state->steps.clear();
        state->optimizer.reset();
        return {};
      });
    } catch (const Error&) {
      // The model went first. Commands asked for before that may still run and hold the state; the last owner frees it.
      state_.reset();
      return settled();
    }
  });
}

}  // namespace strata::binding
