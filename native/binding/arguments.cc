#include "binding/arguments.h"

#include "core/error.h"

#include <cmath>
#include <cstring>

namespace strata::binding {
namespace {

const char* type_name(const Napi::Value& value) {
  switch (value.Type()) {
    case napi_undefined: return "undefined";
    case napi_null: return "null";
    case napi_boolean: return "a boolean";
    case napi_number: return "a number";
    case napi_string: return "a string";
    case napi_object: return "an object";
    case napi_function: return "a function";
    default: return "another value";
  }
}

[[noreturn]] void wrong(const std::string& name, const Napi::Value& value, const char* expected) {
  fail("BAD_ARGUMENT", name, " is ", type_name(value), "; ", expected, " was expected");
}

Napi::Object object_field(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  if (!value.IsObject()) wrong(name, value, "an object");
  return value.As<Napi::Object>();
}

HeadConfig head_config(const Napi::Object& object) {
  HeadConfig head;
  head.name = string_field(object, "name");
  head.kind = string_field(object, "kind");
  if (head.kind == "agreement") {
    head.relation = string_field(object, "relation");
  } else {
    const Napi::Object tap = object_field(object, "tap");
    head.mix = string_field(tap, "mix", "");
    if (head.mix.empty()) head.layer = integer_field(tap, "layer");
  }
  head.classes = integer_field(object, "classes", 0);
  head.dropout = number_field(object, "dropout", 0);
  head.pooler = string_field(object, "pooler", "own");
  head.pooler_size = integer_field(object, "poolerSize", 0);
  if (!object.Get("poolerSize").IsUndefined() && head.pooler_size < 1)
    fail("BAD_ARGUMENT", "poolerSize of head '", head.name, "' is ", head.pooler_size, "; at least 1 was expected");
  head.steps = integer_field(object, "steps", 0);
  head.prediction_dropout = number_field(object, "predictionDropout", 0);
  head.tags = integer_field(object, "tags", 0);
  head.arc_size = integer_field(object, "arcSize", 0);
  head.label_size = integer_field(object, "labelSize", 0);
  head.weight = number_field(object, "weight", 1);
  head.level = string_field(object, "level", "");
  head.read = string_field(object, "read", "");
  head.transform = boolean_field(object, "transform", true);
  const Napi::Value transfer = object.Get("transfer");
  if (transfer.IsObject()) {
    const Napi::Object fields = transfer.As<Napi::Object>();
    head.transfer = TransferConfig{string_field(fields, "from"), string_field(fields, "mode"), boolean_field(fields, "stopGradient", false)};
  } else if (!transfer.IsUndefined() && !transfer.IsNull()) {
    wrong("transfer of head '" + head.name + "'", transfer, "an object");
  }
  return head;
}

AgreementConfig agreement_config(const Napi::Object& object) {
  AgreementConfig agreements;
  agreements.relations = string_array(object.Get("relations"), "agreements.relations");
  agreements.size = integer_field(object, "size");
  agreements.layers = integer_field(object, "layers");
  agreements.heads = integer_field(object, "heads");
  agreements.intermediate_size = integer_field(object, "intermediateSize");
  agreements.gate_init = number_field(object, "gateInit");
  if (const Napi::Value off = object.Get("off"); !off.IsUndefined()) agreements.off = string_array(off, "agreements.off");
  agreements.fixed_gates = boolean_field(object, "fixedGates", false);
  agreements.train = boolean_field(object, "train", false);
  return agreements;
}

MixConfig mix_config(const Napi::Object& object) {
  return {string_field(object, "name"), boolean_field(object, "includeEmbeddings", false), boolean_field(object, "layerNorm", false),
          string_field(object, "init", "uniform")};
}

AdapterConfig adapter_config(const Napi::Object& object) {
  AdapterConfig adapter;
  adapter.name = string_field(object, "name");
  adapter.kind = string_field(object, "kind");
  adapter.size = integer_field(object, "size", 0);
  adapter.heads = integer_field(object, "heads", 0);
  adapter.blocks = integer_field(object, "blocks", 0);
  adapter.output_gelu = boolean_field(object, "outputGelu", true);
  adapter.alpha = number_field(object, "alpha", 0);
  adapter.dropout = number_field(object, "dropout", 0);
  adapter.layer_norms = boolean_field(object, "layerNorms", false);
  if (const Napi::Value targets = object.Get("targets"); !targets.IsUndefined())
    adapter.targets = string_array(targets, "targets of adapter '" + adapter.name + "'");
  return adapter;
}

// Every element of an array of objects; a missing array is empty unless `required`.
template <typename Read>
auto each_object(const Napi::Object& object, const char* name, bool required, Read read) {
  std::vector<decltype(read(object))> results;
  const Napi::Value value = object.Get(name);
  if (value.IsUndefined() && !required) return results;
  if (!value.IsArray()) wrong(name, value, "an array");
  const Napi::Array array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value item = array.Get(i);
    if (!item.IsObject()) wrong(std::string(name) + "[" + std::to_string(i) + "]", item, "an object");
    results.push_back(read(item.As<Napi::Object>()));
  }
  return results;
}

}  // namespace

double number_field(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  if (!value.IsNumber()) wrong(name, value, "a number");
  return value.As<Napi::Number>().DoubleValue();
}

double number_field(const Napi::Object& object, const char* name, double fallback) {
  return object.Get(name).IsUndefined() ? fallback : number_field(object, name);
}

int64_t integer(const Napi::Value& value, const std::string& name) {
  if (!value.IsNumber()) wrong(name, value, "a whole number");
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!(std::abs(number) <= 0x1p53) || std::floor(number) != number) fail("BAD_ARGUMENT", name, " is ", number, "; a whole number was expected");
  return static_cast<int64_t>(number);
}

int64_t integer_field(const Napi::Object& object, const char* name) {
  return integer(object.Get(name), name);
}

int64_t integer_field(const Napi::Object& object, const char* name, int64_t fallback) {
  return object.Get(name).IsUndefined() ? fallback : integer_field(object, name);
}

uint64_t count_field(const Napi::Object& object, const char* name) {
  const int64_t value = integer_field(object, name);
  if (value < 0) fail("BAD_ARGUMENT", name, " is ", value, "; 0 or more was expected");
  return static_cast<uint64_t>(value);
}

std::string string_field(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  if (!value.IsString()) wrong(name, value, "a string");
  return value.As<Napi::String>().Utf8Value();
}

std::string string_field(const Napi::Object& object, const char* name, const char* fallback) {
  return object.Get(name).IsUndefined() ? fallback : string_field(object, name);
}

bool boolean_field(const Napi::Object& object, const char* name, bool fallback) {
  const Napi::Value value = object.Get(name);
  if (value.IsUndefined()) return fallback;
  if (!value.IsBoolean()) wrong(name, value, "true or false");
  return value.As<Napi::Boolean>().Value();
}

Napi::Object object_argument(const Napi::CallbackInfo& info, size_t index, const char* name) {
  if (!info[index].IsObject()) wrong(name, info[index], "an object");
  return info[index].As<Napi::Object>();
}

std::string string_argument(const Napi::CallbackInfo& info, size_t index, const char* name) {
  if (!info[index].IsString()) wrong(name, info[index], "a string");
  return info[index].As<Napi::String>().Utf8Value();
}

std::string checked_path(std::string path) {
  // The system would read it up to there.
  if (path.find('\0') != std::string::npos) fail("BAD_ARGUMENT", "the path '", path.c_str(), "…' holds a NUL; a file's path was expected");
  return path;
}

std::string path_argument(const Napi::CallbackInfo& info, size_t index) { return checked_path(string_argument(info, index, "path")); }

std::vector<int32_t> int32_array(const Napi::Value& value, const std::string& name) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_int32_array) wrong(name, value, "an Int32Array");
  const Napi::Int32Array array = value.As<Napi::Int32Array>();
  if (array.ElementLength() == 0) return {};
  return std::vector<int32_t>(array.Data(), array.Data() + array.ElementLength());
}

std::vector<float> float_array(const Napi::Value& value, const std::string& name) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_float32_array) wrong(name, value, "a Float32Array");
  const Napi::Float32Array array = value.As<Napi::Float32Array>();
  if (array.ElementLength() == 0) return {};
  return std::vector<float>(array.Data(), array.Data() + array.ElementLength());
}

std::vector<std::string> string_array(const Napi::Value& value, const std::string& name) {
  if (!value.IsArray()) wrong(name, value, "an array of strings");
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<std::string> strings;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value item = array.Get(i);
    if (!item.IsString()) wrong(name + "[" + std::to_string(i) + "]", item, "a string");
    strings.push_back(item.As<Napi::String>().Utf8Value());
  }
  return strings;
}

ModelConfig model_config(const Napi::Object& object) {
  const Napi::Object fields = object_field(object, "encoder");
  ModelConfig config;
  EncoderConfig& encoder = config.encoder;
  encoder.kind = string_field(fields, "kind");
  encoder.vocab_size = integer_field(fields, "vocabSize");
  encoder.layers = integer_field(fields, "layers");
  encoder.hidden_size = integer_field(fields, "hiddenSize");
  encoder.heads = integer_field(fields, "heads");
  encoder.intermediate_size = integer_field(fields, "intermediateSize");
  encoder.max_positions = integer_field(fields, "maxPositions");
  encoder.segment_types = integer_field(fields, "segmentTypes");
  encoder.layer_norm_epsilon = number_field(fields, "layerNormEpsilon", 1e-12);
  encoder.hidden_dropout = number_field(fields, "hiddenDropout", 0);
  encoder.attention_dropout = number_field(fields, "attentionDropout", 0);
  encoder.activation = string_field(fields, "activation", "gelu");
  encoder.initializer_range = number_field(fields, "initializerRange", 0.02);
  config.heads = each_object(object, "heads", true, head_config);
  if (!object.Get("agreements").IsUndefined()) config.agreements = agreement_config(object_field(object, "agreements"));
  config.mixes = each_object(object, "mixes", false, mix_config);
  config.adapters = each_object(object, "adapters", false, adapter_config);
  if (!object.Get("pruning").IsUndefined()) config.pruning = string_field(object_field(object, "pruning"), "method");
  return config;
}

HeadLabels head_labels(const Napi::Object& fields, const std::string& head) {
  const auto optional = [&](const char* field) {
    const Napi::Value array = fields.Get(field);
    return array.IsUndefined() ? std::vector<int32_t>{} : int32_array(array, std::string(field) + " of head '" + head + "'");
  };
  HeadLabels labels{int32_array(fields.Get("labels"), "labels of head '" + head + "'"), optional("positions"),
                    optional("spanStarts"), optional("spanEnds"), {}, optional("groups"), optional("heads"), optional("tags")};
  if (const Napi::Value values = fields.Get("values"); !values.IsUndefined())
    labels.values = float_array(values, "values of head '" + head + "'");
  return labels;
}

HostBatch host_batch(const Napi::Object& object) {
  HostBatch batch;
  batch.token_ids = int32_array(object.Get("tokenIds"), "tokenIds");
  batch.segment_ids = int32_array(object.Get("segmentIds"), "segmentIds");
  batch.sequence_offsets = int32_array(object.Get("sequenceOffsets"), "sequenceOffsets");
  batch.adapter = string_field(object, "adapter", "");
  if (const Napi::Value chunks = object.Get("chunks"); !chunks.IsUndefined()) {
    if (!chunks.IsObject()) wrong("chunks", chunks, "an object");
    const Napi::Object fields = chunks.As<Napi::Object>();
    batch.chunks = HostChunks{int32_array(fields.Get("ids"), "chunks.ids"), int32_array(fields.Get("sentences"), "chunks.sentences")};
  }
  const Napi::Value labels = object.Get("labels");
  if (labels.IsUndefined()) return batch;
  if (!labels.IsObject()) wrong("labels", labels, "an object by head name");
  const Napi::Object heads = labels.As<Napi::Object>();
  const Napi::Array names = heads.GetPropertyNames();
  for (uint32_t i = 0; i < names.Length(); ++i) {
    const std::string name = names.Get(i).ToString().Utf8Value();
    const Napi::Value value = heads.Get(name);
    if (!value.IsObject()) wrong("labels of head '" + name + "'", value, "an object");
    const Napi::Object fields = value.As<Napi::Object>();
    batch.labels[name] = head_labels(fields, name);
  }
  return batch;
}

std::map<std::string, double> number_map(const Napi::Value& value, const std::string& name) {
  std::map<std::string, double> numbers;
  if (value.IsUndefined()) return numbers;
  if (!value.IsObject()) wrong(name, value, "an object of numbers");
  const Napi::Object object = value.As<Napi::Object>();
  const Napi::Array names = object.GetPropertyNames();
  for (uint32_t i = 0; i < names.Length(); ++i) {
    const std::string key = names.Get(i).ToString().Utf8Value();
    numbers[key] = number_field(object, key.c_str());
  }
  return numbers;
}

OptimizerConfig optimizer_config(const Napi::Object& object) {
  const std::string kind = string_field(object, "kind");
  OptimizerConfig config;
  RuleSettings& settings = config.settings;
  config.rule = &find_rule(kind, kind == "adamax" ? string_field(object, "variant", "torch") : "");
  if (kind == "sgd") {
    settings.momentum = number_field(object, "momentum", 0);
    settings.dampening = number_field(object, "dampening", 0);
    settings.nesterov = boolean_field(object, "nesterov", false);
  } else {
    settings.beta1 = number_field(object, "beta1", 0.9);
    settings.beta2 = number_field(object, "beta2", 0.999);
    settings.epsilon = number_field(object, "epsilon", kind == "bert-adam" ? 1e-6 : 1e-8);
  }
  const Napi::Value groups = object.Get("groups");
  if (!groups.IsArray()) wrong("groups", groups, "an array");
  const Napi::Array array = groups.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value group = array.Get(i);
    if (!group.IsObject()) wrong("groups[" + std::to_string(i) + "]", group, "an object");
    const Napi::Object fields = group.As<Napi::Object>();
    config.groups.push_back({string_array(fields.Get("names"), "names of groups[" + std::to_string(i) + "]"),
                             number_field(fields, "weightDecay", 0), number_field(fields, "learningRateFactor", 1)});
  }
  return config;
}

Precision precision(const std::string& name) {
  if (name == "fp64") return Precision::fp64;
  if (name == "fp32") return Precision::fp32;
  if (name == "bf16") return Precision::bf16;
  if (name == "fp16") return Precision::fp16;
  fail("BAD_ARGUMENT", "precision is '", name, "'; fp64, fp32, bf16, fp16 or, for inference, int8 was expected");
}

Kernels kernels(const std::string& name) {
  if (name == "fast") return Kernels::fast;
  if (name == "portable") return Kernels::portable;
  if (name == "reference") return Kernels::reference;
  fail("BAD_ARGUMENT", "kernels is '", name, "'; fast, portable or reference was expected");
}

Pooling pooling(const std::string& name) {
  if (name == "mean") return Pooling::mean;
  if (name == "cls") return Pooling::cls;
  if (name == "max") return Pooling::max;
  fail("BAD_ARGUMENT", "pooling is '", name, "'; mean, cls or max was expected");
}

Napi::Value typed_array(Napi::Env env, const at::Tensor& tensor) {
  const auto count = static_cast<size_t>(tensor.numel());
  const auto copied = [&](auto array) -> Napi::Value {
    if (count > 0) std::memcpy(array.Data(), tensor.const_data_ptr(), tensor.nbytes());
    return array;
  };
  switch (tensor.scalar_type()) {
    case at::kFloat: return copied(Napi::Float32Array::New(env, count));
    case at::kDouble: return copied(Napi::Float64Array::New(env, count));
    case at::kInt: return copied(Napi::Int32Array::New(env, count));
    default: fail("NATIVE_ERROR", "a tensor of this type cannot be handed to JavaScript");
  }
}

Napi::Object shaped(Napi::Env env, const at::Tensor& tensor) {
  Napi::Object object = Napi::Object::New(env);
  const Napi::Array shape = Napi::Array::New(env, static_cast<size_t>(tensor.dim()));
  for (int64_t d = 0; d < tensor.dim(); ++d) shape.Set(static_cast<uint32_t>(d), static_cast<double>(tensor.size(d)));
  object.Set("shape", shape);
  object.Set("values", typed_array(env, tensor));
  return object;
}

at::Tensor tensor_from(const Napi::Value& value, const std::string& name) {
  if (value.IsTypedArray()) {
    const Napi::TypedArray array = value.As<Napi::TypedArray>();
    const auto count = static_cast<int64_t>(array.ElementLength());
    const auto copied = [&](at::ScalarType type, const void* data) {
      at::Tensor tensor = at::empty({count}, type);
      if (count > 0) std::memcpy(tensor.mutable_data_ptr(), data, tensor.nbytes());
      return tensor;
    };
    if (array.TypedArrayType() == napi_float32_array) return copied(at::kFloat, array.As<Napi::Float32Array>().Data());
    if (array.TypedArrayType() == napi_float64_array) return copied(at::kDouble, array.As<Napi::Float64Array>().Data());
  }
  wrong(name, value, "a Float32Array or Float64Array");
}

}  // namespace strata::binding
