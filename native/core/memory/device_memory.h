#pragma once
// Memory of an accelerator as libtorch's caching allocator counts it. Device-generic: no header of CUDA is needed.
#include "core/ops.h"

namespace strata {

struct DeviceMemory {
  int64_t bytes_in_use = 0;  // in tensors
  int64_t peak_bytes = 0;    // the most that was in tensors since the last reset
  int64_t bytes_cached = 0;  // reserved from the driver and not in tensors
  int64_t bytes_total = 0;   // of the device
};

// Zeros for a device on which nothing was computed yet.
DeviceMemory device_memory(at::Device device);
void reset_peak_device_memory(at::Device device);
// Gives blocks without a tensor back to the driver, so that other processes may have them. Does nothing for the CPU.
void release_device_memory(at::Device device);
// Blocks until the device has done all work queued so far. Does nothing for the CPU.
void synchronize(at::Device device);

// Throws DEVICE_UNAVAILABLE when an accelerator with this index does not exist.
void check_device(at::Device device);

}  // namespace strata
