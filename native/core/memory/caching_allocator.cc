#include "core/memory/caching_allocator.h"

#include "core/memory/page_arena.h"
#include "platform/memory.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>

#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string_view>

namespace strata {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kLarge = 256 * 1024;  // smaller blocks go to malloc

// Set once, before libtorch is told of the allocator; never destroyed, since tensors may outlive every static destructor.
PageArena* arena = nullptr;

class CachingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    const c10::Device cpu(c10::DeviceType::CPU);
    if (bytes == 0) return {nullptr, nullptr, &give, cpu};
    void* data = bytes < kLarge ? platform::allocate_aligned(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment) : arena->take(bytes);
    TORCH_CHECK(data != nullptr, "can't allocate memory: you tried to allocate ", bytes, " bytes");
    // Context and data are one pointer: oneDNN allocates through raw_allocate, which asks for that.
    return {data, data, &give, cpu};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &give; }
  void copy_data(void* destination, const void* source, size_t count) const override { std::memcpy(destination, source, count); }

 private:
  static void give(void* data) {
    if (!arena->give(data)) platform::free_aligned(data);
  }
};

}  // namespace

void use_caching_allocator() {
  static std::once_flag once;
  std::call_once(once, [] {
    const char* choice = std::getenv("STRATABERT_ALLOCATOR");
    if (choice != nullptr && std::string_view(choice) == "system") return;
    arena = PageArena::reserve().release();
    if (arena == nullptr) return;
    static auto* allocator = new CachingAllocator();
    c10::SetCPUAllocator(allocator, 1);
  });
}

AllocatorStatistics allocator_statistics() {
  if (arena == nullptr) return {};
  const ArenaStatistics statistics = arena->statistics();
  return {statistics.bytes_in_use, statistics.bytes_kept};
}

void release_cached_memory() {
  if (arena != nullptr) arena->release();
}

}  // namespace strata
