#pragma once
// JavaScript values to the core's structs. Each failure names the field, what came and what was expected.
#include "core/batch.h"
#include "core/config.h"
#include "core/layers.h"
#include "core/optim/optimizer.h"
#include "core/precision.h"
#include "core/training/model.h"

#include <napi.h>

#include <map>
#include <string>
#include <vector>

namespace strata::binding {

double number_field(const Napi::Object& object, const char* name);
double number_field(const Napi::Object& object, const char* name, double fallback);
int64_t integer(const Napi::Value& value, const std::string& name);
int64_t integer_field(const Napi::Object& object, const char* name);
int64_t integer_field(const Napi::Object& object, const char* name, int64_t fallback);
// A whole number of at least 0 that JavaScript holds exactly.
uint64_t count_field(const Napi::Object& object, const char* name);
std::string string_field(const Napi::Object& object, const char* name);
std::string string_field(const Napi::Object& object, const char* name, const char* fallback);
bool boolean_field(const Napi::Object& object, const char* name, bool fallback);
Napi::Object object_argument(const Napi::CallbackInfo& info, size_t index, const char* name);
std::string string_argument(const Napi::CallbackInfo& info, size_t index, const char* name);
// The path unless it holds a NUL (BAD_ARGUMENT).
std::string checked_path(std::string path);
std::string path_argument(const Napi::CallbackInfo& info, size_t index);
std::vector<int32_t> int32_array(const Napi::Value& value, const std::string& name);
std::vector<float> float_array(const Napi::Value& value, const std::string& name);
std::vector<std::string> string_array(const Napi::Value& value, const std::string& name);

ModelConfig model_config(const Napi::Object& object);
HeadLabels head_labels(const Napi::Object& fields, const std::string& head);
HostBatch host_batch(const Napi::Object& object);
std::map<std::string, double> number_map(const Napi::Value& value, const std::string& name);
OptimizerConfig optimizer_config(const Napi::Object& object);
Precision precision(const std::string& name);
Kernels kernels(const std::string& name);
Pooling pooling(const std::string& name);

// A copy of a host tensor as Float32Array, Float64Array or Int32Array.
Napi::Value typed_array(Napi::Env env, const at::Tensor& tensor);
// { shape, values }
Napi::Object shaped(Napi::Env env, const at::Tensor& tensor);
// A copy of a Float32Array or Float64Array as a host tensor of one dimension.
at::Tensor tensor_from(const Napi::Value& value, const std::string& name);

}  // namespace strata::binding
