#include "cuda_driver.h"

#include "platform/library.h"

namespace {

using namespace strata;

#if defined(_WIN32)
constexpr const char* kDriver = "nvcuda.dll";
#else
constexpr const char* kDriver = "libcuda.so.1";
#endif

// CUDA's driver interface, as its reference states it; CUresult and CUdevice are ints. On 64-bit Windows its calling convention is C's.
constexpr int kComputeCapabilityMajor = 75;
constexpr int kComputeCapabilityMinor = 76;
constexpr int kNotInitialized = 3;

template <typename Function>
Function find(void* library, const char* name) {
  return reinterpret_cast<Function>(platform::find_symbol(library, name));
}

}  // namespace

CudaDriver inspect_cuda_driver() {
  CudaDriver driver;
  void* library = platform::open_system_library(kDriver, driver.words);
  if (library == nullptr) return driver;
  driver.library = true;
  const auto init = find<int (*)(unsigned)>(library, "cuInit");
  const auto version = find<int (*)(int*)>(library, "cuDriverGetVersion");
  const auto count = find<int (*)(int*)>(library, "cuDeviceGetCount");
  const auto get = find<int (*)(int*, int)>(library, "cuDeviceGet");
  const auto name = find<int (*)(char*, int, int)>(library, "cuDeviceGetName");
  const auto attribute = find<int (*)(int*, int, int)>(library, "cuDeviceGetAttribute");
  if (!init || !version || !count || !get || !name || !attribute) {
    driver.status = kNotInitialized;
    return driver;
  }
  // The version is told before the initialisation, and also when that fails.
  if (version(&driver.version) != 0) driver.version = 0;
  int devices = 0;
  driver.status = init(0);
  if (driver.status == 0) driver.status = count(&devices);
  for (int i = 0; driver.status == 0 && i < devices; ++i) {
    int handle = 0;
    char text[256] = "";
    CudaDriver::Device device{"", 0, 0};
    driver.status = get(&handle, i);
    if (driver.status == 0) driver.status = name(text, static_cast<int>(sizeof text) - 1, handle);
    if (driver.status == 0) driver.status = attribute(&device.major, kComputeCapabilityMajor, handle);
    if (driver.status == 0) driver.status = attribute(&device.minor, kComputeCapabilityMinor, handle);
    if (driver.status != 0) break;
    device.name = text;
    driver.devices.push_back(device);
  }
  return driver;
}
