#include "binding/model_handle.h"

#include "binding/addon_data.h"
#include "binding/arguments.h"
#include "binding/errors.h"
#include "binding/questions.h"
#include "core/error.h"
#include "core/memory/caching_allocator.h"
#include "core/memory/device_memory.h"
#include "core/storage/tensor_file.h"

#include <algorithm>

namespace strata::binding {
namespace {

constexpr size_t kUnreadSteps = 4096;
const napi_type_tag kModelTag = {0x7b1c5a0f3d2e4c68ull, 0x9a4f0c1d2b3e5f71ull};

void require_model(ModelState& state) {
  if (!state.model) fail("DISPOSED", "the model is not initialised or has been disposed");
}

std::vector<int64_t> integers(const Napi::Value& value, const std::string& name) {
  const auto values = int32_array(value, name);
  return {values.begin(), values.end()};
}

}  // namespace

Napi::Function ModelHandle::define(Napi::Env env) {
  return DefineClass(env, "NativeModel",
                     {InstanceMethod<&ModelHandle::initialize>("initialize"), InstanceMethod<&ModelHandle::step>("step"),
                      InstanceMethod<&ModelHandle::read_losses>("readLosses"), InstanceMethod<&ModelHandle::evaluate>("evaluate"),
                      InstanceMethod<&ModelHandle::embed>("embed"), InstanceMethod<&ModelHandle::hidden_states>("hiddenStates"),
                      InstanceMethod<&ModelHandle::attention_statistics>("attentionStatistics"),
                      InstanceMethod<&ModelHandle::agreements>("agreements"),
                      InstanceMethod<&ModelHandle::head_logits>("headLogits"),
                      InstanceMethod<&ModelHandle::predict_masked>("predictMasked"),
                      InstanceMethod<&ModelHandle::answer>("answer"),
                      InstanceMethod<&ModelHandle::parameters>("parameters"),
                      InstanceMethod<&ModelHandle::read_tensors>("readTensors"),
                      InstanceMethod<&ModelHandle::write_tensors>("writeTensors"), InstanceMethod<&ModelHandle::load>("load"),
                      InstanceMethod<&ModelHandle::save>("save"), InstanceMethod<&ModelHandle::set_dropout>("setDropout"),
                      InstanceMethod<&ModelHandle::set_pruning>("setPruning"),
                      InstanceMethod<&ModelHandle::read_pruning>("readPruning"),
                      InstanceMethod<&ModelHandle::dispose>("dispose")});
}

ModelHandle::ModelHandle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ModelHandle>(info) {
  guarded(info.Env(), [&] {
    config_ = model_config(object_argument(info, 0, "config"));
    const Napi::Object options = object_argument(info, 1, "options");
    device_ = string_field(options, "device", "cpu");
    precision_ = string_field(options, "precision", "fp32");
    kernels_ = string_field(options, "kernels", "fast");
    if (!options.Get("seed").IsUndefined()) seed_ = count_field(options, "seed");
    inference_ = boolean_field(options, "inference", false);
    drawn_ = boolean_field(options, "drawn", true);
    if (precision_ != "int8") precision(precision_);
    if (precision_ == "int8" && !inference_) fail("BAD_ARGUMENT", "precision is int8; a model for inference was expected with it");
    kernels(kernels_);
    info.This().As<Napi::Object>().TypeTag(&kModelTag);
    thread_ = std::make_unique<ExecutionThread>(info.Env());
  });
  counters().models += 1;
  counted_ = true;
}

// Runs when the collector or the end of the environment takes the handle; after dispose() nothing is left to do.
void ModelHandle::Finalize(Napi::Env env) {
  if (thread_) thread_->stop();
  discount(env);
}

ModelHandle::~ModelHandle() {
  if (thread_) thread_->stop();
}

void ModelHandle::report_bytes(Napi::Env env, int64_t bytes) {
  if (!counted_) return;
  adjust_memory(env, bytes - reported_bytes_);
  reported_bytes_ = bytes;
}

void ModelHandle::discount(Napi::Env env) {
  if (!counted_) return;
  counted_ = false;
  counters().models -= 1;
  adjust_memory(env, -reported_bytes_);
}

ModelHandle* ModelHandle::unwrap(const Napi::Value& value) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kModelTag))
    fail("BAD_ARGUMENT", "the first argument is no model; a model of this package was expected");
  return Napi::ObjectWrap<ModelHandle>::Unwrap(value.As<Napi::Object>());
}

Napi::Promise ModelHandle::run(const Napi::CallbackInfo& info, Napi::Object keep_alive, std::function<MakeValue(ModelState&)> body) {
  if (disposed_) fail("DISPOSED", "the model has been disposed; create or load another one");
  return thread_->run(info.Env(), keep_alive, [state = state_, body = std::move(body)] {
    require_model(*state);
    return body(*state);
  });
}

Napi::Value ModelHandle::command(const Napi::CallbackInfo& info, std::function<MakeValue(ModelState&)> body) {
  return run(info, info.This().As<Napi::Object>(), std::move(body));
}

Napi::Value ModelHandle::initialize(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    if (disposed_) fail("DISPOSED", "the model has been disposed; create or load another one");
    return thread_->run(info.Env(), info.This().As<Napi::Object>(), [this, state = state_]() -> MakeValue {
      const at::Device device(device_);
      check_device(device);
      const bool int8 = precision_ == "int8";
      if (int8 && !device.is_cpu()) fail("UNSUPPORTED", "precision int8 is for the CPU; on ", device_, " choose bf16 or fp32");
      const Precision type = int8 ? Precision::fp32 : precision(precision_);
      if (type == Precision::fp16 && device.is_cpu() && kernels(kernels_) != Kernels::portable)
        fail("UNSUPPORTED", "precision fp16 needs a CUDA device; on ", device_, " choose bf16 or fp32");
      state->model = std::make_unique<Model>(config_, type, device, seed_, kernels(kernels_), ModelUse{inference_, int8, drawn_});
      // Weights, gradients and both moments.
      const int64_t bytes = (inference_ ? 1 : 4) * state->model->parameters().bytes();
      return [this, bytes](Napi::Env env) -> Napi::Value {
        report_bytes(env, bytes);
        return env.Undefined();
      };
    });
  });
}

Napi::Value ModelHandle::step(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    auto batch = host_batch(object_argument(info, 0, "batch"));
    auto divisors = number_map(info[1], "lossDivisors");
    const Napi::Object state_of_dropout = object_argument(info, 2, "dropout");
    const DropoutState dropout{count_field(state_of_dropout, "seed"), count_field(state_of_dropout, "counter")};
    return command(info, [batch = std::move(batch), divisors = std::move(divisors), dropout](ModelState& state) -> MakeValue {
      std::vector<HeadLoss> losses;
      try {
        losses = state.model->step(batch, divisors, dropout);
      } catch (const Error&) {
        throw;  // refused before a gradient was touched: what earlier steps gathered stays
      } catch (...) {
        // Half a backward pass must not leak into the next update.
        state.model->parameters().drop_gradients();
        throw;
      }
      const int64_t id = ++state.last_step;
      state.losses[id] = std::move(losses);
      if (state.losses.size() > kUnreadSteps) state.losses.erase(state.losses.begin());
      return [id](Napi::Env env) -> Napi::Value { return Napi::Number::New(env, static_cast<double>(id)); };
    });
  });
}

Napi::Value ModelHandle::read_losses(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const int64_t id = integer(info[0], "the step's number");
    return command(info, [id](ModelState& state) -> MakeValue {
      const auto found = state.losses.find(id);
      if (found == state.losses.end())
        fail("NOT_FOUND", "the losses of step ", id, " have been read or dropped (the newest ", kUnreadSteps, " are kept)");
      struct Value {
        std::string head;
        double sum;
        int64_t count;
      };
      std::vector<Value> values;
      for (const HeadLoss& loss : found->second) values.push_back({loss.head, loss.sum.item<double>(), loss.count});
      state.losses.erase(found);
      return [values](Napi::Env env) -> Napi::Value {
        const Napi::Array array = Napi::Array::New(env, values.size());
        for (size_t i = 0; i < values.size(); ++i) {
          Napi::Object object = Napi::Object::New(env);
          object.Set("head", values[i].head);
          object.Set("lossSum", values[i].sum);
          object.Set("count", static_cast<double>(values[i].count));
          array.Set(static_cast<uint32_t>(i), object);
        }
        return array;
      };
    });
  });
}

Napi::Value ModelHandle::evaluate(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    return command(info, [batch = host_batch(object_argument(info, 0, "batch"))](ModelState& state) -> MakeValue {
      const auto results = state.model->evaluate(batch);
      return [results](Napi::Env env) -> Napi::Value {
        const Napi::Array array = Napi::Array::New(env, results.size());
        for (size_t i = 0; i < results.size(); ++i) {
          Napi::Object object = Napi::Object::New(env);
          object.Set("head", results[i].head);
          object.Set("lossSum", results[i].loss_sum);
          object.Set("count", static_cast<double>(results[i].count));
          object.Set("correct", static_cast<double>(results[i].correct));
          if (!results[i].confusion.empty()) {
            const Napi::Array confusion = Napi::Array::New(env, results[i].confusion.size());
            for (size_t j = 0; j < results[i].confusion.size(); ++j)
              confusion.Set(static_cast<uint32_t>(j), static_cast<double>(results[i].confusion[j]));
            object.Set("confusion", confusion);
          }
          if (results[i].scores.defined()) object.Set("logits", shaped(env, results[i].scores));
          array.Set(static_cast<uint32_t>(i), object);
        }
        return array;
      };
    });
  });
}

Napi::Value ModelHandle::embed(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    auto batch = host_batch(object_argument(info, 0, "batch"));
    const Napi::Object options = object_argument(info, 1, "options");
    const int64_t layer = integer_field(options, "layer");
    const Pooling how = pooling(string_field(options, "pooling", "mean"));
    const bool normalize = boolean_field(options, "normalize", false);
    return command(info, [batch = std::move(batch), layer, how, normalize](ModelState& state) -> MakeValue {
      const at::Tensor vectors = state.model->embed(batch, layer, how, normalize);
      return [vectors](Napi::Env env) { return typed_array(env, vectors); };
    });
  });
}

Napi::Value ModelHandle::hidden_states(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    auto batch = host_batch(object_argument(info, 0, "batch"));
    auto layers = integers(info[1], "layers");
    return command(info, [batch = std::move(batch), layers = std::move(layers)](ModelState& state) -> MakeValue {
      const auto hidden = state.model->hidden_states(batch, layers);
      return [hidden](Napi::Env env) -> Napi::Value {
        const Napi::Array array = Napi::Array::New(env, hidden.size());
        for (size_t i = 0; i < hidden.size(); ++i) array.Set(static_cast<uint32_t>(i), typed_array(env, hidden[i]));
        return array;
      };
    });
  });
}

// attentionStatistics(batch, separator): sums over the batch's tokens
Napi::Value ModelHandle::attention_statistics(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    auto batch = host_batch(object_argument(info, 0, "batch"));
    const int64_t separator = integer(info[1], "separator");
    return command(info, [batch = std::move(batch), separator](ModelState& state) -> MakeValue {
      const AttentionStatistics sums = state.model->attention_statistics(batch, separator);
      return [sums](Napi::Env env) -> Napi::Value {
        Napi::Object object = Napi::Object::New(env);
        object.Set("queries", static_cast<double>(sums.queries));
        object.Set("distance", typed_array(env, sums.distance_LN));
        object.Set("entropy", typed_array(env, sums.entropy_LN));
        object.Set("first", typed_array(env, sums.first_LN));
        object.Set("separators", typed_array(env, sums.separators_LN));
        return object;
      };
    });
  });
}

// agreements(batch): { offsets, relations: { [relation]: probabilities } }
Napi::Value ModelHandle::agreements(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    return command(info, [batch = host_batch(object_argument(info, 0, "batch"))](ModelState& state) -> MakeValue {
      const AgreementProbabilities result = state.model->agreements(batch);
      return [result](Napi::Env env) -> Napi::Value {
        Napi::Int32Array offsets = Napi::Int32Array::New(env, result.offsets.size());
        std::copy(result.offsets.begin(), result.offsets.end(), offsets.Data());
        Napi::Object relations = Napi::Object::New(env);
        for (const auto& [relation, values] : result.values) relations.Set(relation, typed_array(env, values));
        Napi::Object object = Napi::Object::New(env);
        object.Set("offsets", offsets);
        object.Set("relations", relations);
        return object;
      };
    });
  });
}

Napi::Value ModelHandle::head_logits(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    auto batch = host_batch(object_argument(info, 0, "batch"));
    auto head = string_argument(info, 1, "head");
    return command(info, [batch = std::move(batch), head = std::move(head)](ModelState& state) -> MakeValue {
      const at::Tensor logits = state.model->head_logits(batch, head);
      return [logits](Napi::Env env) -> Napi::Value { return shaped(env, logits); };
    });
  });
}

Napi::Value ModelHandle::predict_masked(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    auto batch = host_batch(object_argument(info, 0, "batch"));
    const auto head = string_argument(info, 1, "head");
    auto positions = int32_array(info[2], "positions");
    const int64_t top = integer(info[3], "topK");
    std::optional<int64_t> layer;
    if (!info[4].IsUndefined()) layer = integer(info[4], "layer");
    return command(info, [batch = std::move(batch), head, positions = std::move(positions), top, layer](ModelState& state) -> MakeValue {
      const MaskedPrediction prediction = state.model->predict_masked(batch, head, positions, top, layer);
      return [prediction](Napi::Env env) -> Napi::Value {
        Napi::Object object = Napi::Object::New(env);
        object.Set("tokenIds", typed_array(env, prediction.token_ids_MK));
        object.Set("probabilities", typed_array(env, prediction.probabilities_MK));
        return object;
      };
    });
  });
}

// answer(batch, questions): a list of { shape, values } a question
Napi::Value ModelHandle::answer(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    auto batch = host_batch(object_argument(info, 0, "batch"));
    auto asked = questions(info[1]);
    return command(info, [batch = std::move(batch), asked = std::move(asked)](ModelState& state) -> MakeValue {
      const std::vector<Answer> answers = state.model->answer(batch, asked);
      return [answers](Napi::Env env) { return answer_lists(env, answers); };
    });
  });
}

Napi::Value ModelHandle::parameters(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    return command(info, [](ModelState& state) -> MakeValue {
      struct Row {
        std::string name;
        std::vector<int64_t> shape;
        bool decays;
        int64_t layer;
      };
      std::vector<Row> rows;
      for (const NamedPart& part : state.model->parameters().parts())
        rows.push_back({part.name, part.of(part.owner->master).sizes().vec(), part.owner->decays, part.owner->layer});
      return [rows](Napi::Env env) -> Napi::Value {
        const Napi::Array array = Napi::Array::New(env, rows.size());
        for (size_t i = 0; i < rows.size(); ++i) {
          Napi::Object object = Napi::Object::New(env);
          object.Set("name", rows[i].name);
          const Napi::Array shape = Napi::Array::New(env, rows[i].shape.size());
          for (size_t d = 0; d < rows[i].shape.size(); ++d) shape.Set(static_cast<uint32_t>(d), static_cast<double>(rows[i].shape[d]));
          object.Set("shape", shape);
          object.Set("decays", rows[i].decays);
          object.Set("layer", static_cast<double>(rows[i].layer));
          array.Set(static_cast<uint32_t>(i), object);
        }
        return array;
      };
    });
  });
}

Napi::Value ModelHandle::read_tensors(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const std::string what = string_argument(info, 0, "what");
    if (what != "value" && what != "gradient" && what != "effective")
      fail("BAD_ARGUMENT", "what is '", what, "'; value, gradient or effective was expected");
    auto names = string_array(info[1], "names");
    return command(info, [what, names = std::move(names)](ModelState& state) -> MakeValue {
      const at::NoGradGuard no_grad;
      // Copied here: the JavaScript thread reads them while later commands change the weights.
      const auto copy = [](const at::Tensor& own) {
        return own.detach().to(own.options().device(at::kCPU), /*non_blocking=*/false, /*copy=*/true).contiguous();
      };
      std::vector<std::pair<std::string, at::Tensor>> tensors;
      for (const std::string& name : names) {
        const NamedPart& part = state.model->parameters().part(name);
        ParameterStore::require_values(part);
        if (what == "effective") {
          tensors.emplace_back(name, copy(state.model->effective(part)));
          continue;
        }
        const at::Tensor whole = what == "value" ? part.owner->master : part.owner->master.grad();
        tensors.emplace_back(name, copy(whole.defined() ? part.of(whole) : at::zeros_like(part.of(part.owner->master))));
      }
      return [tensors](Napi::Env env) -> Napi::Value {
        Napi::Object object = Napi::Object::New(env);
        for (const auto& [name, tensor] : tensors) object.Set(name, typed_array(env, tensor));
        return object;
      };
    });
  });
}

Napi::Value ModelHandle::write_tensors(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const Napi::Object object = object_argument(info, 0, "values");
    const Napi::Array names = object.GetPropertyNames();
    std::vector<std::pair<std::string, at::Tensor>> values;
    for (uint32_t i = 0; i < names.Length(); ++i) {
      const std::string name = names.Get(i).ToString().Utf8Value();
      values.emplace_back(name, tensor_from(object.Get(name), name));
    }
    return command(info, [values = std::move(values)](ModelState& state) -> MakeValue {
      const at::NoGradGuard no_grad;
      ParameterStore& store = state.model->parameters();
      for (const auto& [name, tensor] : values) {
        const NamedPart& part = store.part(name);
        ParameterStore::require_values(part);
        at::Tensor target = part.of(part.owner->master);
        if (target.numel() != tensor.numel())
          fail("BAD_ARGUMENT", "the values of ", name, " are ", tensor.numel(), " numbers; ", target.numel(), " were expected");
      }
      for (const auto& [name, tensor] : values) {
        const NamedPart& part = store.part(name);
        at::Tensor target = part.of(part.owner->master);
        target.copy_(tensor.view(target.sizes()));
      }
      store.mark_updated();
      return {};
    });
  });
}

// load(path, [{ name, parameter, dtype, begin, bytes }])
Napi::Value ModelHandle::load(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const std::string path = path_argument(info, 0);
    if (!info[1].IsArray()) fail("BAD_ARGUMENT", "tensors must be an array");
    const Napi::Array array = info[1].As<Napi::Array>();
    std::vector<std::pair<std::string, StoredTensor>> entries;
    for (uint32_t i = 0; i < array.Length(); ++i) {
      const Napi::Value item = array.Get(i);
      if (!item.IsObject()) fail("BAD_ARGUMENT", "tensors[", i, "] must be an object");
      const Napi::Object object = item.As<Napi::Object>();
      entries.emplace_back(string_field(object, "parameter"),
                         StoredTensor{string_field(object, "name"), {}, string_field(object, "dtype"),
                          static_cast<uint64_t>(integer_field(object, "begin")), static_cast<uint64_t>(integer_field(object, "bytes"))});
    }
    return command(info, [this, path, entries = std::move(entries)](ModelState& state) -> MakeValue {
      state.model->load(path, entries);
      if (!state.model->inference()) return {};
      const int64_t bytes = state.model->parameters().bytes();
      return [this, bytes](Napi::Env env) -> Napi::Value {
        report_bytes(env, bytes);
        return env.Undefined();
      };
    });
  });
}

// save(path, header, names, effective): the tensors follow in the order of `names`; pruned weights masked, if `effective`.
Napi::Value ModelHandle::save(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const std::string path = path_argument(info, 0);
    const std::string header = string_argument(info, 1, "header");
    auto names = string_array(info[2], "names");
    const bool effective = info[3].ToBoolean();
    return command(info, [path, header, names = std::move(names), effective](ModelState& state) -> MakeValue {
      std::vector<at::Tensor> tensors;
      for (const std::string& name : names) {
        const NamedPart& part = state.model->parameters().part(name);
        ParameterStore::require_values(part);
        tensors.push_back(effective ? state.model->effective(part) : part.of(part.owner->master));
      }
      strata::write_tensors(path, header, tensors);
      return {};
    });
  });
}

// setDropout({ hidden, attention })
Napi::Value ModelHandle::set_dropout(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const Napi::Object object = object_argument(info, 0, "dropout");
    const double hidden = number_field(object, "hidden"), attention = number_field(object, "attention");
    for (const double p : {hidden, attention})
      if (!(p >= 0 && p < 1)) fail("BAD_ARGUMENT", "dropout is ", p, "; 0 ≤ p < 1 was expected");
    return command(info, [hidden, attention](ModelState& state) -> MakeValue {
      state.model->hidden_dropout = hidden;
      state.model->attention_dropout = attention;
      return {};
    });
  });
}

// setPruning({ threshold, penalty, noise? })
Napi::Value ModelHandle::set_pruning(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const Napi::Object object = object_argument(info, 0, "pruning");
    PruningState pruning{number_field(object, "threshold"), number_field(object, "penalty", 0), {}};
    if (const Napi::Value noise = object.Get("noise"); !noise.IsUndefined()) {
      if (!noise.IsObject()) fail("BAD_ARGUMENT", "noise is no object of arrays by the names of weights");
      const Napi::Object by_name = noise.As<Napi::Object>();
      const Napi::Array names = by_name.GetPropertyNames();
      for (uint32_t i = 0; i < names.Length(); ++i) {
        const std::string name = names.Get(i).ToString().Utf8Value();
        pruning.noise[name] = tensor_from(by_name.Get(name), "noise of " + name);
      }
    }
    return command(info, [pruning = std::move(pruning)](ModelState& state) -> MakeValue {
      state.model->set_pruning(pruning);
      return {};
    });
  });
}

// readPruning(): { penalty, matrices: [{ name, layer, size, kept }] }
Napi::Value ModelHandle::read_pruning(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    return command(info, [](ModelState& state) -> MakeValue {
      const Pruning::Report report = state.model->pruning_report();
      return [report](Napi::Env env) -> Napi::Value {
        const Napi::Array matrices = Napi::Array::New(env, report.matrices.size());
        for (size_t i = 0; i < report.matrices.size(); ++i) {
          const PrunedMatrix& matrix = report.matrices[i];
          Napi::Object object = Napi::Object::New(env);
          object.Set("name", matrix.name);
          object.Set("layer", static_cast<double>(matrix.layer));
          object.Set("size", static_cast<double>(matrix.size));
          object.Set("kept", static_cast<double>(matrix.kept));
          matrices.Set(static_cast<uint32_t>(i), object);
        }
        Napi::Object object = Napi::Object::New(env);
        object.Set("penalty", report.penalty);
        object.Set("matrices", matrices);
        return object;
      };
    });
  });
}

Napi::Value ModelHandle::dispose(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    if (disposed_) {
      Napi::Promise::Deferred done = Napi::Promise::Deferred::New(info.Env());
      done.Resolve(info.Env().Undefined());
      return done.Promise();
    }
    disposed_ = true;
    // Commands that were asked for earlier run first.
    return thread_->run(info.Env(), info.This().As<Napi::Object>(), [this, state = state_]() -> MakeValue {
      const at::Device device = state->model ? state->model->parameters().device() : at::Device(at::kCPU);
      state->losses.clear();
      state->model.reset();
      // A device in trouble may refuse to give memory back: the model is gone all the same.
      std::exception_ptr refusal;
      try {
        // What a training step kept for the next one is of no use to the models that remain.
        release_cached_memory();
        release_device_memory(device);
      } catch (...) {
        refusal = std::current_exception();
      }
      return [this, refusal](Napi::Env env) -> Napi::Value {
        discount(env);
        thread_->stop();
        if (refusal) std::rethrow_exception(refusal);
        return env.Undefined();
      };
    });
  });
}

}  // namespace strata::binding
