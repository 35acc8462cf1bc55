// The addon's door: what `require` of the addon gives to lib/runtime.
#include "binding/addon_data.h"
#include "binding/arguments.h"
#include "binding/errors.h"
#include "binding/execution_thread.h"
#include "binding/gram_handle.h"
#include "binding/model_handle.h"
#include "binding/optimizer_handle.h"
#include "binding/probe_handle.h"
#include "binding/products.h"
#include "core/encoder/attention.h"
#include "core/error.h"
#include "core/memory/caching_allocator.h"
#include "core/memory/device_memory.h"
#include "core/ops.h"

#include <ATen/DeviceAccelerator.h>

namespace strata::binding {

Counters& counters() {
  static Counters shared;
  return shared;
}

namespace {

Napi::Value read_counters(const Napi::CallbackInfo& info) {
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("liveModels", static_cast<double>(counters().models.load()));
  object.Set("liveOptimizers", static_cast<double>(counters().optimizers.load()));
  object.Set("liveProbes", static_cast<double>(counters().probes.load()));
  object.Set("queuedJobs", static_cast<double>(queued_commands()));
  object.Set("nativeBytes", static_cast<double>(counters().bytes.load()));
  const AllocatorStatistics memory = allocator_statistics();
  object.Set("bufferBytes", static_cast<double>(memory.bytes_in_use));
  object.Set("cachedBytes", static_cast<double>(memory.bytes_cached));
  return object;
}

Napi::Value threads(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    if (info[0].IsNumber()) {
      const int count = info[0].As<Napi::Number>().Int32Value();
      if (count < 1 || count > 1024) fail("BAD_ARGUMENT", "threads is ", count, "; 1 to 1024 was expected");
      set_compute_threads(count);
    }
    return Napi::Number::New(info.Env(), compute_threads());
  });
}

Napi::Value prepare_exit(const Napi::CallbackInfo& info) {
  prepare_process_exit();
  return info.Env().Undefined();
}

// Usable CUDA devices; 0 without libtorch_cuda, driver or device.
Napi::Value cuda_device_count(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return Napi::Number::New(info.Env(), at::hasCUDA() ? static_cast<double>(at::accelerator::deviceCount()) : 0);
  });
}

// deviceMemory(device, resetPeak): what libtorch's allocator holds on an accelerator, after all work queued on it is done.
Napi::Value read_device_memory(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const at::Device device(string_argument(info, 0, "device"));
    check_device(device);
    synchronize(device);
    const DeviceMemory memory = device_memory(device);
    if (info[1].ToBoolean()) reset_peak_device_memory(device);
    Napi::Object object = Napi::Object::New(info.Env());
    object.Set("bytesInUse", static_cast<double>(memory.bytes_in_use));
    object.Set("peakBytes", static_cast<double>(memory.peak_bytes));
    object.Set("cachedBytes", static_cast<double>(memory.bytes_cached));
    object.Set("totalBytes", static_cast<double>(memory.bytes_total));
    return object;
  });
}

// flashAttention(device): whether packed attention in bf16 and fp16 runs on libtorch's flash kernel there.
Napi::Value flash_attention(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const at::Device device(string_argument(info, 0, "device"));
    check_device(device);
    return Napi::Boolean::New(info.Env(), has_flash_attention(device));
  });
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  use_caching_allocator();
  exports.Set("NativeModel", ModelHandle::define(env));
  exports.Set("NativeOptimizer", OptimizerHandle::define(env));
  exports.Set("NativeProbe", ProbeHandle::define(env));
  exports.Set("NativeGramSums", GramHandle::define(env));
  exports.Set("spanMeans", Napi::Function::New(env, model_span_means));
  exports.Set("counters", Napi::Function::New(env, read_counters));
  exports.Set("prepareExit", Napi::Function::New(env, prepare_exit));
  exports.Set("threads", Napi::Function::New(env, threads));
  exports.Set("deviceMemory", Napi::Function::New(env, read_device_memory));
  exports.Set("flashAttention", Napi::Function::New(env, flash_attention));
  exports.Set("floatProducts", Napi::Function::New(env, float_products_name));
  exports.Set("productRates", Napi::Function::New(env, product_rates));
  exports.Set("compareFloatProducts", Napi::Function::New(env, compare_float_products));
  exports.Set("cudaDeviceCount", Napi::Function::New(env, cuda_device_count));
  exports.Set("torchVersion", STRATABERT_TORCH_VERSION);
  exports.Set("version", STRATABERT_VERSION);
  return exports;
}

NODE_API_MODULE(stratabert, initialize)

}  // namespace
}  // namespace strata::binding
