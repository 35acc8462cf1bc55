#include "core/memory/caching_allocator.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>

#include <bit>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string_view>
#include <unordered_map>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#endif

namespace strata {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kLarge = 256 * 1024;          // smaller blocks go to malloc
constexpr size_t kHugePage = 2 * 1024 * 1024;
constexpr int64_t kMaxCached = int64_t{2} << 30;

// Sizes are rounded to sixteenths of a power of two, so that near sizes share blocks: at most 6.25 % is lost.
size_t rounded(size_t bytes) {
  const size_t step = std::bit_floor(bytes) / 16;
  return (bytes + step - 1) / step * step;
}

class CachingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    const c10::Device cpu(c10::DeviceType::CPU);
    if (bytes == 0) return {nullptr, nullptr, &free_small, cpu};
    if (bytes < kLarge) {
      void* data = std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
      TORCH_CHECK(data != nullptr, "can't allocate memory: you tried to allocate ", bytes, " bytes");
      return {data, data, &free_small, cpu};
    }
    // Context and data are one pointer: oneDNN allocates through raw_allocate, which asks for that.
    void* data = take(rounded(bytes));
    return {data, data, &free_large, cpu};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &free_any; }
  void copy_data(void* destination, const void* source, size_t count) const override { std::memcpy(destination, source, count); }

  AllocatorStatistics statistics() {
    const std::lock_guard lock(mutex_);
    return statistics_;
  }

  void release_cached() {
    const std::lock_guard lock(mutex_);
    release_cached_locked();
  }

 private:
  static CachingAllocator& instance();
  static void free_small(void* data) { std::free(data); }
  static void free_large(void* data) { instance().give(data); }
  static void free_any(void* data) {
    if (!instance().give(data)) std::free(data);
  }
  friend CachingAllocator& caching_allocator();

  void* take(size_t bytes) {
    const std::lock_guard lock(mutex_);
    // A kept block up to an eighth larger will do.
    const auto found = kept_.lower_bound(bytes);
    if (found != kept_.end() && found->first <= bytes + bytes / 8) {
      const auto [size, data] = *found;
      kept_.erase(found);
      used_.emplace(data, size);
      statistics_.bytes_cached -= static_cast<int64_t>(size);
      statistics_.bytes_in_use += static_cast<int64_t>(size);
      return data;
    }
    void* data = map(bytes);
    if (data == nullptr) {
      release_cached_locked();
      data = map(bytes);
    }
    TORCH_CHECK(data != nullptr, "can't allocate memory: you tried to allocate ", bytes, " bytes");
    statistics_.bytes_in_use += static_cast<int64_t>(bytes);
    used_.emplace(data, bytes);
    return data;
  }

  // False when the block is not one of ours.
  bool give(void* data) {
    const std::lock_guard lock(mutex_);
    const auto found = used_.find(data);
    if (found == used_.end()) return false;
    const size_t bytes = found->second;
    used_.erase(found);
    statistics_.bytes_in_use -= static_cast<int64_t>(bytes);
    kept_.emplace(bytes, data);
    statistics_.bytes_cached += static_cast<int64_t>(bytes);
    if (statistics_.bytes_cached > kMaxCached) release_cached_locked();
    return true;
  }

  void release_cached_locked() {
    for (const auto& [bytes, data] : kept_) unmap(data, bytes);
    kept_.clear();
    statistics_.bytes_cached = 0;
  }

#if defined(__linux__)
  static void* map(size_t bytes) {
    // One huge page more than asked for, so that an aligned part can be cut out of it.
    const size_t slack = bytes >= kHugePage ? kHugePage : 0;
    void* raw = ::mmap(nullptr, bytes + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED) return nullptr;
    if (slack == 0) return raw;
    const auto address = reinterpret_cast<uintptr_t>(raw);
    const uintptr_t aligned = (address + kHugePage - 1) / kHugePage * kHugePage;
    if (aligned > address) ::munmap(raw, aligned - address);
    const uintptr_t page = 4096, end = (aligned + bytes + page - 1) / page * page, raw_end = address + bytes + slack;
    if (raw_end > end) ::munmap(reinterpret_cast<void*>(end), raw_end - end);
    ::madvise(reinterpret_cast<void*>(aligned), bytes, MADV_HUGEPAGE);
    return reinterpret_cast<void*>(aligned);
  }
  static void unmap(void* data, size_t bytes) { ::munmap(data, bytes); }
#else
  static void* map(size_t bytes) { return std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment); }
  static void unmap(void* data, size_t) { std::free(data); }
#endif

  std::mutex mutex_;
  std::multimap<size_t, void*> kept_;           // by size
  std::unordered_map<void*, size_t> used_;

  AllocatorStatistics statistics_;
};

// Never destroyed: tensors may outlive every static destructor.
CachingAllocator& caching_allocator() {
  static auto* allocator = new CachingAllocator();
  return *allocator;
}

CachingAllocator& CachingAllocator::instance() { return caching_allocator(); }

}  // namespace

void use_caching_allocator() {
  static std::once_flag once;
  std::call_once(once, [] {
    const char* choice = std::getenv("STRATABERT_ALLOCATOR");
    if (choice != nullptr && std::string_view(choice) == "system") return;
    c10::SetCPUAllocator(&caching_allocator(), 1);
  });
}

AllocatorStatistics allocator_statistics() { return caching_allocator().statistics(); }
void release_cached_memory() { caching_allocator().release_cached(); }

}  // namespace strata
