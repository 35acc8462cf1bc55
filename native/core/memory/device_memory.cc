#include "core/memory/device_memory.h"

#include "core/error.h"

#include <ATen/DeviceAccelerator.h>

namespace strata {
namespace {

constexpr auto kAllSizes = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);

c10::DeviceIndex index_of(at::Device device) { return device.has_index() ? device.index() : c10::DeviceIndex{0}; }

// The allocator's tables are made with the device's first tensor.
bool in_use(at::Device device) {
  if (device.is_cpu()) return false;
  c10::DeviceAllocator* allocator = c10::getDeviceAllocator(device.type());
  return allocator->initialized();
}

}  // namespace

DeviceMemory device_memory(at::Device device) {
  DeviceMemory memory;
  if (!in_use(device)) return memory;
  const auto statistics = at::accelerator::getDeviceStats(index_of(device));
  memory.bytes_in_use = statistics.allocated_bytes[kAllSizes].current;
  memory.peak_bytes = statistics.allocated_bytes[kAllSizes].peak;
  memory.bytes_cached = statistics.reserved_bytes[kAllSizes].current - memory.bytes_in_use;
  memory.bytes_total = static_cast<int64_t>(at::accelerator::getMemoryInfo(index_of(device)).second);
  return memory;
}

void reset_peak_device_memory(at::Device device) {
  if (in_use(device)) at::accelerator::resetPeakStats(index_of(device));
}

void release_device_memory(at::Device device) {
  if (in_use(device)) at::accelerator::emptyCache();
}

void synchronize(at::Device device) {
  if (in_use(device)) at::accelerator::synchronizeDevice(index_of(device));
}

void check_device(at::Device device) {
  if (device.is_cpu()) return;
  const int count = at::accelerator::deviceCount();
  if (index_of(device) >= count)
    fail("DEVICE_UNAVAILABLE", "device '", device.str(), "' was asked for; this process has ", count, count == 1 ? " device" : " devices");
}

}  // namespace strata
