#include "binding/probe_handle.h"

#include "binding/addon_data.h"
#include "binding/arguments.h"
#include "binding/errors.h"
#include "binding/model_handle.h"
#include "core/error.h"
#include "core/memory/caching_allocator.h"
#include "core/probing/logistic.h"
#include "core/probing/mlp_probe.h"
#include "core/probing/span_means.h"
#include "core/probing/sparse_logistic.h"

namespace strata::binding {
namespace {

Napi::Object field(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  if (!value.IsObject()) fail("BAD_ARGUMENT", name, " must be an object");
  return value.As<Napi::Object>();
}

std::vector<double> doubles(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  if (!value.IsArray()) fail("BAD_ARGUMENT", name, " must be an array of numbers");
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<double> numbers;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value item = array.Get(i);
    if (!item.IsNumber()) fail("BAD_ARGUMENT", name, "[", i, "] must be a number");
    numbers.push_back(item.As<Napi::Number>().DoubleValue());
  }
  return numbers;
}

std::vector<int64_t> integers(const Napi::Value& value, const char* name) {
  const auto values = int32_array(value, name);
  return {values.begin(), values.end()};
}

ProbeSplit split_of(const Napi::Object& examples, const char* name) {
  const Napi::Object object = field(examples, name);
  return {int32_array(object.Get("rows"), std::string("rows of ") + name), int32_array(object.Get("labels"), std::string("labels of ") + name)};
}

ProbeExamples examples_of(const Napi::CallbackInfo& info) {
  const Napi::Object object = object_argument(info, 0, "examples");
  return {split_of(object, "train"), split_of(object, "dev"), split_of(object, "test"), integer_field(object, "parts", 1)};
}

SparseSplit sparse_split(const Napi::Object& examples, const char* name) {
  const Napi::Object object = field(examples, name);
  const std::string of = std::string(" of ") + name;
  return {int32_array(object.Get("offsets"), "offsets" + of), int32_array(object.Get("features"), "features" + of),
          float_array(object.Get("values"), "values" + of), int32_array(object.Get("labels"), "labels" + of)};
}

LogisticSettings logistic_settings(const Napi::Object& object) {
  LogisticSettings settings;
  settings.classes = integer_field(object, "classes");
  settings.l2 = doubles(object, "l2");
  settings.tolerance = number_field(object, "tolerance", settings.tolerance);
  settings.max_iterations = integer_field(object, "maxIterations", settings.max_iterations);
  settings.keep_weights = boolean_field(object, "keepWeights", false);
  settings.held_bytes = integer_field(object, "heldBytes", settings.held_bytes);
  return settings;
}

at::Tensor flat_tensor(const Napi::Value& value, const char* name) { return tensor_from(value, name).to(at::kFloat); }

MlpSettings mlp_settings(const Napi::Object& object) {
  MlpSettings settings;
  settings.classes = integer_field(object, "classes");
  settings.l2 = doubles(object, "l2");
  settings.hidden = integer_field(object, "hidden", settings.hidden);
  if (!object.Get("seed").IsUndefined()) settings.seed = count_field(object, "seed");
  settings.batch_size = integer_field(object, "batchSize", settings.batch_size);
  settings.epoch_size = integer_field(object, "epochSize", settings.epoch_size);
  settings.tenacity = integer_field(object, "tenacity", settings.tenacity);
  settings.max_epochs = integer_field(object, "maxEpochs", settings.max_epochs);
  settings.learning_rate = number_field(object, "learningRate", settings.learning_rate);
  settings.keep_weights = boolean_field(object, "keepWeights", false);
  settings.held_bytes = integer_field(object, "heldBytes", settings.held_bytes);
  if (const Napi::Value start = object.Get("start"); start.IsArray()) {
    const Napi::Array array = start.As<Napi::Array>();
    for (uint32_t i = 0; i < array.Length(); ++i) settings.start.push_back(flat_tensor(array.Get(i), "start"));
  }
  if (const Napi::Value orders = object.Get("orders"); !orders.IsUndefined()) settings.orders = int32_array(orders, "orders");
  return settings;
}

Napi::Value numbers(Napi::Env env, const std::vector<double>& values) {
  const Napi::Array array = Napi::Array::New(env, values.size());
  for (size_t i = 0; i < values.size(); ++i) array.Set(static_cast<uint32_t>(i), values[i]);
  return array;
}

Napi::Value int32_copy(Napi::Env env, const std::vector<int32_t>& values) {
  Napi::Int32Array array = Napi::Int32Array::New(env, values.size());
  std::copy(values.begin(), values.end(), array.Data());
  return array;
}

// What both classifiers tell: the chosen strength and what it gives on test.
template <typename Result, typename Fill>
Napi::Object common(Napi::Env env, const Result& result, const Fill& fill) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("l2", result.grid[result.best].l2);
  object.Set("devAccuracy", result.grid[result.best].dev_accuracy);
  object.Set("testRight", static_cast<double>(result.test_right));
  object.Set("predictions", int32_copy(env, result.predictions));
  const Napi::Array grid = Napi::Array::New(env, result.grid.size());
  for (size_t i = 0; i < result.grid.size(); ++i) {
    Napi::Object point = Napi::Object::New(env);
    point.Set("l2", result.grid[i].l2);
    point.Set("devAccuracy", result.grid[i].dev_accuracy);
    fill(result.grid[i], point);
    grid.Set(static_cast<uint32_t>(i), point);
  }
  object.Set("grid", grid);
  if (!result.shares.empty()) object.Set("shares", numbers(env, result.shares));
  return object;
}

Napi::Value logistic_value(Napi::Env env, const LogisticResult& result) {
  Napi::Object object = common(env, result, [](const LogisticGridPoint& from, Napi::Object& to) {
    to.Set("loss", from.loss);
    to.Set("iterations", static_cast<double>(from.iterations));
    to.Set("converged", from.converged);
  });
  if (result.weights_CH.defined()) {
    object.Set("weights", typed_array(env, result.weights_CH));
    object.Set("intercepts", typed_array(env, result.intercepts_C));
  }
  return object;
}

Napi::Value mlp_value(Napi::Env env, const MlpResult& result) {
  Napi::Object object = common(env, result, [](const MlpGridPoint& from, Napi::Object& to) { to.Set("epochs", static_cast<double>(from.epochs)); });
  object.Set("epochs", static_cast<double>(result.grid[result.best].epochs));
  if (!result.shares.empty()) object.Set("gamma", result.gamma);
  if (!result.weights.empty()) {
    const Napi::Array weights = Napi::Array::New(env, result.weights.size());
    for (size_t i = 0; i < result.weights.size(); ++i) weights.Set(static_cast<uint32_t>(i), typed_array(env, result.weights[i]));
    object.Set("weights", weights);
  }
  return object;
}

MakeValue one_logistic(LogisticResult result) {
  return [shared = std::make_shared<const LogisticResult>(std::move(result))](Napi::Env env) { return logistic_value(env, *shared); };
}

std::shared_ptr<const ProbeFeatures> features_of(const Napi::Value& value) {
  if (value.IsUndefined()) return nullptr;
  if (!value.IsObject()) fail("BAD_ARGUMENT", "features must be an object, or left out for sparse data alone");
  const Napi::Object object = value.As<Napi::Object>();
  const int64_t units = integer_field(object, "units"), layers = integer_field(object, "layers"), width = integer_field(object, "width");
  if (object.Get("path").IsUndefined())
    return std::make_shared<const ProbeFeatures>(float_array(object.Get("values"), "values"), units, layers, width);
  const uint64_t offset = object.Get("offset").IsUndefined() ? 0 : count_field(object, "offset");
  return std::make_shared<const ProbeFeatures>(ProbeFeatures::open(checked_path(string_field(object, "path")), offset, units, layers, width));
}

}  // namespace

Napi::Function ProbeHandle::define(Napi::Env env) {
  return DefineClass(env, "NativeProbe",
                     {InstanceMethod<&ProbeHandle::logistic>("logistic"), InstanceMethod<&ProbeHandle::logistic_mix>("logisticMix"),
                      InstanceMethod<&ProbeHandle::mlp>("mlp"), InstanceMethod<&ProbeHandle::sparse_logistic>("sparseLogistic"),
                      InstanceMethod<&ProbeHandle::dispose>("dispose")});
}

ProbeHandle::ProbeHandle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ProbeHandle>(info) {
  guarded(info.Env(), [&] {
    features_ = features_of(info[0]);
    thread_ = std::make_unique<ExecutionThread>(info.Env());
  });
  counters().probes += 1;
}

ProbeHandle::~ProbeHandle() {
  if (thread_) {
    thread_->stop();
    if (!disposed_) counters().probes -= 1;
  }
}

Napi::Value ProbeHandle::command(const Napi::CallbackInfo& info, std::function<MakeValue(const ProbeFeatures&)> body) {
  if (disposed_) fail("DISPOSED", "the probe has been disposed; open another one");
  if (!features_) fail("BAD_ARGUMENT", "the probe was opened without features; open it with some");
  return thread_->run(info.Env(), info.This().As<Napi::Object>(), [features = features_, body = std::move(body)] {
    const at::NoGradGuard no_grad;
    return body(*features);
  });
}

// logistic(examples, layer, settings)
Napi::Value ProbeHandle::logistic(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    return command(info, [examples = examples_of(info), layer = integer(info[1], "layer"),
                          settings = logistic_settings(object_argument(info, 2, "settings"))](const ProbeFeatures& features) {
      return one_logistic(fit_logistic(features, examples, layer, settings));
    });
  });
}

// logisticMix(examples, layers, settings)
Napi::Value ProbeHandle::logistic_mix(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    return command(info, [examples = examples_of(info), layers = integers(info[1], "layers"),
                          settings = logistic_settings(object_argument(info, 2, "settings"))](const ProbeFeatures& features) {
      return one_logistic(fit_logistic_mix(features, examples, layers, settings));
    });
  });
}

// mlp(examples, layers, mixed, settings)
Napi::Value ProbeHandle::mlp(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    return command(info, [examples = examples_of(info), layers = integers(info[1], "layers"), mixed = integers(info[2], "mixed"),
                          settings = mlp_settings(object_argument(info, 3, "settings"))](const ProbeFeatures& features) -> MakeValue {
      auto results = std::make_shared<const std::vector<MlpResult>>(fit_mlp(features, examples, layers, mixed, settings));
      return [results](Napi::Env env) -> Napi::Value {
        const Napi::Array array = Napi::Array::New(env, results->size());
        for (size_t i = 0; i < results->size(); ++i) array.Set(static_cast<uint32_t>(i), mlp_value(env, (*results)[i]));
        return array;
      };
    });
  });
}

// sparseLogistic(examples, settings)
Napi::Value ProbeHandle::sparse_logistic(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    if (disposed_) fail("DISPOSED", "the probe has been disposed; open another one");
    const Napi::Object object = object_argument(info, 0, "examples");
    SparseExamples examples{sparse_split(object, "train"), sparse_split(object, "dev"), sparse_split(object, "test"), integer_field(object, "width")};
    return thread_->run(info.Env(), info.This().As<Napi::Object>(),
                        [examples = std::move(examples), settings = logistic_settings(object_argument(info, 1, "settings"))] {
                          const at::NoGradGuard no_grad;
                          return one_logistic(fit_sparse_logistic(examples, settings));
                        });
  });
}

Napi::Value ProbeHandle::dispose(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    if (disposed_) {
      Napi::Promise::Deferred done = Napi::Promise::Deferred::New(info.Env());
      done.Resolve(info.Env().Undefined());
      return done.Promise();
    }
    disposed_ = true;
    // Commands that were asked for earlier run first and hold the features.
    return thread_->run(info.Env(), info.This().As<Napi::Object>(), [this, features = std::exchange(features_, nullptr)]() mutable -> MakeValue {
      features.reset();
      release_cached_memory();
      return [this](Napi::Env env) -> Napi::Value {
        counters().probes -= 1;
        thread_->stop();
        return env.Undefined();
      };
    });
  });
}

Napi::Value model_span_means(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    ModelHandle* handle = ModelHandle::unwrap(info[0]);
    return handle->run(info, info[0].As<Napi::Object>(),
                       [batch = host_batch(object_argument(info, 1, "batch")), layers = integers(info[2], "layers"),
                        starts = int32_array(info[3], "starts"), ends = int32_array(info[4], "ends")](ModelState& state) -> MakeValue {
                         const at::NoGradGuard no_grad;
                         std::vector<at::Tensor> states = state.model->hidden_states(batch, layers);
                         for (at::Tensor& layer : states) layer = layer.to(at::kFloat);
                         const at::Tensor means = span_means(states, starts, ends);
                         return [means](Napi::Env env) { return typed_array(env, means); };
                       });
  });
}

}  // namespace strata::binding
