// The boot addon: what must happen before libtorch is in the process, and small file services that need no tensor code.
// It links nothing but the system's own libraries, so it loads on every machine and can explain there what is missing.
// No JS handle lives in a static: the addon may be loaded by any number of worker threads.
#include "cuda_driver.h"
#include "platform/file.h"
#include "platform/library.h"
#include "processor.h"

#include <napi.h>

#include <cerrno>
#include <cstring>
#include <mutex>
#include <string>

namespace {

using namespace strata;

// A file error in Node's own shape (`code`, `syscall`, `path`), so that JS treats it like one of node:fs.
Napi::Error systemError(Napi::Env env, int number, const char* call, const std::string& path) {
  const char* name = "UNKNOWN";
  switch (number) {
    case ENOENT: name = "ENOENT"; break;
    case EACCES: name = "EACCES"; break;
    case EPERM: name = "EPERM"; break;
    case EISDIR: name = "EISDIR"; break;
    case ENOTDIR: name = "ENOTDIR"; break;
    case ENOMEM: name = "ENOMEM"; break;
    case ENOSPC: name = "ENOSPC"; break;
#ifdef EDQUOT  // Windows has none
    case EDQUOT: name = "EDQUOT"; break;
#endif
    case EROFS: name = "EROFS"; break;
    case EIO: name = "EIO"; break;
    case EMFILE: name = "EMFILE"; break;
    case EINVAL: name = "EINVAL"; break;
    default: break;
  }
  Napi::Error error = Napi::Error::New(env, std::string(name) + ": " + std::strerror(number) + ", " + call + " '" + path + "'");
  error.Set("code", name);
  error.Set("errno", Napi::Number::New(env, -number));
  error.Set("syscall", call);
  error.Set("path", path);
  return error;
}

std::string pathArgument(const Napi::CallbackInfo& info) {
  if (info.Length() < 1 || !info[0].IsString()) throw Napi::TypeError::New(info.Env(), "the path must be a string");
  std::string path = info[0].As<Napi::String>();
  // A NUL would cut the path short without a word.
  if (path.find('\0') != std::string::npos) throw Napi::TypeError::New(info.Env(), "the path holds a NUL byte");
  return path;
}

// open(path): null when the library is loaded, else the loader's own words.
Napi::Value Open(const Napi::CallbackInfo& info) {
  const std::string path = pathArgument(info);
  std::string words;
  if (platform::open_library(path, words) != nullptr) return info.Env().Null();
  return Napi::String::New(info.Env(), words);
}

// mapFile(path): the file's bytes as an ArrayBuffer. Pages are private copy-on-write: a write never reaches the file.
Napi::Value MapFile(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string path = pathArgument(info);
  const platform::File file(path, platform::File::Access::Read);
  if (!file) throw systemError(env, errno, "open", path);
  platform::FileStatus status;
  if (!file.status(status)) throw systemError(env, errno, "fstat", path);
  if (status.folder) throw systemError(env, EISDIR, "mmap", path);
  if (!status.plain) throw systemError(env, EINVAL, "mmap", path);
  const size_t bytes = static_cast<size_t>(status.bytes);
  if (bytes == 0) return Napi::ArrayBuffer::New(env, 0);
  void* address = file.map(bytes);
  if (address == nullptr) throw systemError(env, errno, "mmap", path);

  struct Mapping {
    void* address;
    size_t bytes;
  };
  auto* mapping = new Mapping{address, bytes};
  const auto unmap = [](napi_env, void*, void* hint) {
    auto* self = static_cast<Mapping*>(hint);
    platform::unmap(self->address, self->bytes);
    delete self;
  };
  napi_value buffer = nullptr;
  const napi_status created = napi_create_external_arraybuffer(env, address, bytes, unmap, mapping, &buffer);
  if (created == napi_ok) return Napi::Value(env, buffer);

  // Runtimes with a memory cage (Electron) allow no external memory, and a V8 build may refuse a second wrapper of one address: copy instead.
  const bool pending = env.IsExceptionPending();
  if (pending) env.GetAndClearPendingException();
  void* copy = nullptr;
  const napi_status copied = napi_create_arraybuffer(env, bytes, &copy, &buffer);
  if (copied == napi_ok) std::memcpy(copy, address, bytes);
  unmap(env, address, mapping);
  if (copied != napi_ok) throw systemError(env, ENOMEM, "mmap", path);
  return Napi::Value(env, buffer);
}

// syncDirectory(path): makes a rename inside the folder durable. node:fs cannot open a folder for fsync on every platform.
Napi::Value SyncDirectory(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string path = pathArgument(info);
  if (const char* call = platform::sync_folder(path)) throw systemError(env, errno, call, path);
  return env.Undefined();
}

// claim(directory?): the libtorch folder of this process. The first one given stays; null while none was. Worker threads ask here, since a
// second libtorch in one process would be matched against the first one's symbols.
Napi::Value Claim(const Napi::CallbackInfo& info) {
  static std::mutex mutex;
  static std::string* claimed = new std::string();  // never freed: no destructor at exit
  const std::lock_guard<std::mutex> lock(mutex);
  if (claimed->empty() && info.Length() > 0 && info[0].IsString()) *claimed = info[0].As<Napi::String>().Utf8Value();
  if (claimed->empty()) return info.Env().Null();
  return Napi::String::New(info.Env(), *claimed);
}

// cudaDriver(): what the NVIDIA driver says about itself and its devices (see cuda_driver.h). Starts the driver in this process.
Napi::Value InspectCudaDriver(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const CudaDriver driver = inspect_cuda_driver();
  Napi::Array devices = Napi::Array::New(env, driver.devices.size());
  for (uint32_t i = 0; i < driver.devices.size(); ++i) {
    const CudaDriver::Device& device = driver.devices[i];
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("name", device.name);
    entry.Set("capability", std::to_string(device.major) + "." + std::to_string(device.minor));
    devices.Set(i, entry);
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("library", driver.library);
  object.Set("words", driver.words);
  object.Set("status", driver.status);
  object.Set("version", driver.version);
  object.Set("devices", devices);
  return object;
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  shorten_spinning();
  bound_prepared_products();
  // True when the processor's AMX cannot be used (see processor.h); doctor reports it.
  exports.Set("avoidedTiles", Napi::Boolean::New(env, avoid_unusable_tiles()));
  exports.Set("open", Napi::Function::New(env, Open, "open"));
  exports.Set("mapFile", Napi::Function::New(env, MapFile, "mapFile"));
  exports.Set("syncDirectory", Napi::Function::New(env, SyncDirectory, "syncDirectory"));
  exports.Set("cudaDriver", Napi::Function::New(env, InspectCudaDriver, "cudaDriver"));
  exports.Set("claim", Napi::Function::New(env, Claim, "claim"));
  exports.Set("version", Napi::String::New(env, STRATABERT_VERSION));
  return exports;
}

}  // namespace

NODE_API_MODULE(stratabert_boot, Init)
